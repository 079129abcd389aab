"""A served affiliates service with a database of its own, and one store of it per test."""

import itertools
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import pytest
from merges import FOLLOW
from patience import until
from serving import merchant, new_store

from affiliates import consumers
from affiliates.main import service
from affiliates.store_faults import faults
from chassis import clock, idempotency, ids, known_customers, replies, stores
from chassis.timers import one_slice
from chassis.verdicts import NotYet
from contracts.affiliates import ClaimConverted
from contracts.carts import OrderCompleted, OrderLine, OrderStatus
from contracts.customers import CustomerCreated, CustomerState, CustomerUpdated
from contracts.ids import CUSTOMER, ORDER, PRODUCT, WALLET_ENTRY
from contracts.stores import StoreCreated
from contracts.wallet import Cause, CreditRefused, EntryType, WalletPosted

EPOCH = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


def completed(store_id, *, code="creator123", base=10_000, version=1, **more) -> OrderCompleted:
    """An order of 100 EUR that is all commission base, unless told."""
    customer_id = more.pop("customer_id", None) or ids.new(CUSTOMER)
    now = datetime.now(UTC)
    given = {
        "order_id": ids.new(ORDER),
        "number": "1",
        "version": version,
        "customer_id": customer_id,
        "current_customer_id": customer_id,
        "status": OrderStatus.COMPLETED,
        "currency": "EUR",
        "gross_minor": base,
        "commission_base_minor": base,
        "base_remaining_minor": base,
        "placed_at": now,
        "first_completed_at": now,
        "lines": (OrderLine(product_id=ids.new(PRODUCT), sku="MUG", quantity=1, amount_minor=base),),
        "affiliate_code": code,
    }
    return OrderCompleted(store_id=store_id, **(given | more))


def credited(request: ClaimConverted, balance: int = 2500, **more) -> WalletPosted:
    """The wallet's entry for a claim."""
    given = {
        "entry_id": ids.new(WALLET_ENTRY),
        "customer_id": request.customer_id,
        "epoch": EPOCH,
        "sequence": 1,
        "type": EntryType.CREDIT,
        "amount_minor": request.amount_minor,
        "balance_after_minor": balance,
        "currency": request.currency,
        "cause": Cause(kind="claim", id=request.claim_id),
        "posted_at": datetime.now(UTC),
    }
    return WalletPosted(store_id=request.store_id, **(given | more))


def refused(request: ClaimConverted, reason: str = "balance_limit") -> CreditRefused:
    """The wallet's no to a claim."""
    cause = Cause(kind="claim", id=request.claim_id)
    return CreditRefused(store_id=request.store_id, customer_id=request.customer_id, cause=cause, reason=reason)


@dataclass
class Shop:
    """One store: its HTTP client, and events as they come from the topics. ``told`` is what was announced on them."""

    client: object
    store_id: str
    told: list = field(default_factory=list)
    expected: list = field(default_factory=list)  # faults that a test planted

    @property
    def worker(self):
        return self.client.runtime.worker

    async def hear(self, handler, events) -> None:
        """One delivery, as the inbox makes it."""
        matters = next((its.where for its, _ in consumers.router.handlers() if its.run is handler), None)
        if matters is not None and isinstance(events, Sequence):
            events = [event for event in events if matters(event)]
        async with self.worker.transaction() as conn:
            await handler(events, conn)
        self.told.extend(announced.event for announced in conn.announced)

    async def complete(self, *orders: OrderCompleted) -> None:
        await self.hear(consumers.on_orders_completed, orders)

    async def deliver(self, handler, events) -> None:
        """The same, again where it was too early."""
        while True:
            with suppress(NotYet):
                return await self.hear(handler, events)

    def new_order(self, **more) -> OrderCompleted:
        return completed(self.store_id, **more)

    async def order(self, **more) -> OrderCompleted:
        order = completed(self.store_id, **more)
        await self.complete(order)
        return order

    async def customer(self, customer_id: str | None = None) -> str:
        """A customer this service has heard of."""
        customer_id = customer_id or ids.new(CUSTOMER)
        event = CustomerCreated(
            store_id=self.store_id,
            customer_id=customer_id,
            version=1,
            state=CustomerState.ACTIVE,
            created_at=datetime.now(UTC),
        )
        await self.hear(known_customers.on_customer_created, [event])
        return customer_id

    async def enrol(self, code: str = "creator123", customer_id: str | None = None) -> str:
        customer_id = await self.customer(customer_id)
        reply = await self.client.post(f"/dev/v1/customers/{customer_id}/affiliate", {"code": code})
        assert reply.status == 201, reply.body
        return customer_id

    async def step(self, customer_id: str, step: str) -> None:
        """``suspend``, ``approve`` or ``reactivate`` an affiliate."""
        body = {"reason": "x"} if step == "suspend" else None
        reply = await self.client.post(f"/dev/v1/customers/{customer_id}/affiliate/{step}", body)
        assert reply.status == 200, reply.body

    async def summary(self, customer_id: str) -> dict:
        return (await self.client.get(f"/dev/v1/customers/{customer_id}/affiliate")).data

    async def buckets(self, customer_id: str) -> dict:
        shown = await self.summary(customer_id)
        return shown["balances"] | {name: shown[name] for name in ("pending", "paid", "debt")}

    async def program(self, **terms) -> None:
        assert (await self.client.put("/dev/v1/affiliates/program", terms)).status == 200

    async def merge(self, *customers: str) -> None:
        """What is heard when the first was merged into the second, and that into the third."""
        for customer, into in itertools.pairwise(customers):
            about = {"customer_id": customer, "version": 2, "state": CustomerState.MERGED, "merged_into": into}
            await self.hear(known_customers.on_customer_updated, [CustomerUpdated(store_id=self.store_id, **about)])

    async def follow(self) -> None:
        """The timer that looks who affiliates are, until nothing is left."""
        for _ in range(1000):
            if not await one_slice(self.worker, FOLLOW):
                return
        raise AssertionError("it never ends")

    async def about_to_merge(self, old: str, into: str) -> None:
        """The next beat of that timer merges these two."""
        await self.follow()
        await self.merge(old, into)
        assert await one_slice(self.worker, FOLLOW) == 1

    def convert(self, customer_id: str, amount: float, key: str | None = None):
        path = f"/dev/v1/customers/{customer_id}/affiliate/convert-to-balance"
        return self.client.post(path, {"amount": amount}, key=key or ids.new("key"))

    async def requests(self) -> list[ClaimConverted]:
        """What the wallet was asked, in order."""
        rows = await self.rows(
            "SELECT payload FROM outbox WHERE store_id = $1 AND type = 'claim.converted' ORDER BY seq", self.store_id
        )
        return [ClaimConverted.parse(self.store_id, row["payload"]) for row in rows]

    async def announced(self, *kinds) -> list:
        """What the outbox has of these events, in order."""
        by_type = {kind.TYPE: kind for kind in kinds}
        rows = await self.rows(
            "SELECT type, payload FROM outbox WHERE store_id = $1 AND type = ANY($2) ORDER BY seq",
            self.store_id,
            list(by_type),
        )
        return [by_type[row["type"]].parse(self.store_id, row["payload"]) for row in rows]

    credited = staticmethod(credited)
    refused = staticmethod(refused)

    async def answer(self, make=credited, count: int = 1) -> Sequence[ClaimConverted]:
        """Wait until the wallet was asked ``count`` times, and answer each."""
        requests = await until(self.requests, lambda made: len(made) >= count)
        for request in requests:
            answer = make(request)
            if isinstance(answer, WalletPosted):
                await self.hear(consumers.on_wallet_posted, [answer])
            else:
                await self.hear(consumers.on_credits_refused, [answer])
        return requests

    async def rows(self, sql, *args):
        async with self.worker.transaction() as conn:
            return await conn.rows(sql, *args)

    async def faults(self) -> list[str]:
        async with self.worker.transaction() as conn:
            return [fault for fault in await faults(conn) if self.store_id in fault]


@pytest.fixture(scope="session")
def new_order():
    """``new_order(store_id, version=2, …)``: an order.completed."""
    return completed


@pytest.fixture(scope="module")
async def client(database, serve):
    return await serve(service, database)


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """HTTP waits for an answer that a test gives, and for another request with its key, also on a slow machine."""
    monkeypatch.setattr(replies.Waiters.wait, "__defaults__", (60.0,))
    monkeypatch.setattr(idempotency, "WAIT", 60.0)


@pytest.fixture
async def shop(client):
    """A store in EUR; its books are proven after every test."""
    store_id = new_store()
    shop = Shop(client.as_(merchant(store_id)), store_id)
    event = StoreCreated(
        store_id=store_id, slug=store_id[-12:], currency="EUR", locale="en", url="https://example.test"
    )
    await shop.hear(stores.on_store_created, [event])
    yield shop
    assert await shop.faults() == shop.expected


@pytest.fixture
async def alone(shop):
    """Timers, which are of all stores, find nothing that other tests left."""
    await shop.rows("UPDATE commission SET payable_at = 'infinity' WHERE state = 'pending'")
    await shop.rows("UPDATE verdict SET open = false")
    await shop.rows("UPDATE known_customer SET followed_into = merged_into WHERE merged_into IS NOT NULL")
    await shop.rows("DELETE FROM look_again")


@pytest.fixture
def later(tmp_path):
    """``later(days=3)`` moves business time."""

    def move(days: float) -> None:
        (tmp_path / "clock").write_text(str(days * 86_400))
        clock.follow(tmp_path / "clock")

    yield move
    clock.follow(None)


@pytest.fixture
async def customer(shop):
    """An affiliate with 25 available."""
    customer_id = await shop.enrol()
    await shop.order(base=25_000)
    return customer_id
