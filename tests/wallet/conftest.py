"""A wallet's database with a store, and a short way to post to it."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from giving import Issuer, Promoter
from serving import merchant

from chassis import clock, ids
from chassis.db import Database
from contracts.ids import CLAIM, CUSTOMER, HOLD, ORDER, STORE
from contracts.wallet import EntryType
from wallet.entries import Cause
from wallet.postings import Capture, Expiry, Place, Post, Release
from wallet.store import append_batch
from wallet.store_faults import faults


@dataclass
class Purchase:
    """An order to be paid with credit."""

    customer_id: str
    amount: int
    hold_id: str = field(default_factory=lambda: ids.new(HOLD))
    order_id: str = field(default_factory=lambda: ids.new(ORDER))

    @property
    def place(self):
        return Place(self.hold_id, self.customer_id, self.order_id, self.amount, "EUR")

    @property
    def capture(self):
        return Capture(self.hold_id, self.customer_id, self.order_id, self.amount)

    @property
    def release(self):
        return Release(self.hold_id, self.customer_id)


@dataclass
class Ledger:
    """One store's wallet under one role. ``told`` is what it announced, in order."""

    database: Database
    store_id: str
    told: list = field(default_factory=list)

    Purchase = Purchase

    @staticmethod
    def customer():
        return ids.new(CUSTOMER)

    @staticmethod
    def gift(customer_id, amount, note=None, expires_at=Expiry.DEFAULT):
        return Post(customer_id, EntryType.ADJUSTMENT, amount, "EUR", note=note, expires_at=expires_at)

    @staticmethod
    def credit(customer_id, amount, claim_id=None, currency="EUR"):
        cause = Cause("claim", claim_id or ids.new(CLAIM))
        return Post(customer_id, EntryType.CREDIT, amount, currency, cause)

    async def append(self, *postings, because=()):
        async with self.database.transaction(self.store_id) as conn:
            outcomes = await append_batch(conn, self.store_id, postings, because)
        self.told.extend(announced.event for announced in conn.announced)
        return outcomes

    async def append_each(self, postings):
        """Every posting in a transaction of its own, all at once."""
        return [outcome for (outcome,) in await asyncio.gather(*(self.append(posting) for posting in postings))]

    async def funded(self, amount):
        """A new customer with credit."""
        customer_id = self.customer()
        await self.append(self.gift(customer_id, amount))
        return customer_id

    async def balance(self, customer_id):
        """(balance, held) in minor units."""
        sql = "SELECT balance_minor, held_minor FROM account WHERE store_id = $1 AND customer_id = $2"
        return tuple(await self.row(sql, self.store_id, customer_id))

    async def row(self, sql, *args):
        async with self.database.transaction(self.store_id) as conn:
            return await conn.row(sql, *args)


@pytest.fixture
async def new_store(worker):
    """`await new_store()` is the id of a store in euros that this service has heard of."""

    async def made(currency="EUR"):
        store_id = ids.new(STORE)
        async with worker.transaction() as conn:
            await conn.execute("INSERT INTO store VALUES ($1, $1, $2, 'en', 'shop')", store_id, currency)
        return store_id

    return made


@pytest.fixture
async def ledger(api, worker, new_store):
    """A store of its own for each test, with the books proven after it."""
    ledger = Ledger(api, await new_store())
    yield ledger
    async with worker.transaction() as conn:
        assert await faults(conn) == []


@pytest.fixture(scope="module")
async def served(database, serve):
    from wallet.main import service  # noqa: PLC0415  (rules are tested without the whole of it)

    return await serve(service, database)


@pytest.fixture
def store(served, ledger):
    """The ledger's store over HTTP, as its merchant's client."""
    return served.as_(merchant(ledger.store_id))


@pytest.fixture
async def promoter(store, worker, ledger):
    """The ledger's store as one that promotes; what its promotions say is proven after the test."""
    promoter = Promoter(store, worker, ledger.store_id)
    yield promoter
    await promoter.execute("DELETE FROM outbox")
    await promoter.execute("UPDATE promotion SET status = 'CANCELLED', finished_at = now() WHERE finished_at IS NULL")
    wrong = await promoter.rows(
        """
        SELECT p.promotion_id FROM promotion p WHERE p.store_id = $1 AND (p.granted, p.granted_minor) <> (
            SELECT count(*), coalesce(sum(e.amount_minor), 0) FROM promotion_recipient r
            JOIN entry e USING (store_id, entry_id)
            WHERE r.store_id = $1 AND r.promotion_id = p.promotion_id AND r.status = 'GRANTED'
              AND e.cause_id = p.promotion_id)
        """
    )
    assert wrong == [], "the figures of a promotion are its entries"


@pytest.fixture
def issuer(store, worker, ledger):
    """The ledger's store as one that makes gift codes."""
    return Issuer(store, worker, ledger.store_id)


@pytest.fixture
def terms(ledger):
    """`await terms(cap=1000)`: what the store has decided, with nothing else decided."""

    async def decided(*, days=None, cap=None, over="clip", reminder=None):
        async with ledger.database.transaction(ledger.store_id) as conn:
            await conn.execute(
                """
                INSERT INTO terms (store_id, version, refunds_as_credit, default_expiry_days, balance_cap_minor,
                                   promo_over_cap, reminder_days, changed_at)
                VALUES ($1, 1, true, $2, $3, $4, $5, now())
                """,
                ledger.store_id,
                days,
                cap,
                over,
                reminder,
            )

    return decided


@pytest.fixture
async def know(ledger, worker):
    """`await know(customer_id)`: this service has heard of a customer of the ledger's store."""

    async def heard(customer_id):
        async with worker.transaction() as conn:
            await conn.execute(
                "INSERT INTO known_customer (store_id, id, version, state) VALUES ($1, $2, 1, 'active')",
                ledger.store_id,
                customer_id,
            )

    return heard


@pytest.fixture
async def customer_id(ledger, know):
    """A customer of the ledger's store whom this service has heard of."""
    customer_id = ledger.customer()
    await know(customer_id)
    return customer_id


@pytest.fixture
def on(monkeypatch):
    """`on(2026, 3, 1)` makes it that day's midnight in business time."""

    def move(*when):
        moment = datetime(*when, tzinfo=UTC)
        monkeypatch.setattr(clock, "now", lambda: moment)
        return moment

    return move
