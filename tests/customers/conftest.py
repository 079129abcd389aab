"""A customers database with a store, and short ways to tell it things and to ask it."""

from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from chassis import ids
from chassis.db import Database
from contracts.carts import CartContactGiven, OrderCancelled, OrderCompleted, OrderPlaced, OrderStatus
from contracts.ids import CART, ORDER, STORE, WALLET_ENTRY
from contracts.wallet import Cause, EntryType, WalletPosted
from customers import consumers, store, store_figures
from customers.contacts import parse_email
from customers.figures import Who

DAY = datetime(2026, 1, 1, tzinfo=UTC)
STATUSES = {
    OrderPlaced: OrderStatus.PLACED,
    OrderCompleted: OrderStatus.COMPLETED,
    OrderCancelled: OrderStatus.CANCELLED,
}


@dataclass
class Shop:
    """One store in euros. ``tell`` gives back what was announced; there is no inbox here to hide a repeat."""

    worker: Database
    store_id: str

    async def tell(self, handler, *events):
        async with self.worker.transaction() as conn:
            await handler(events, conn)
        return [announced.event for announced in conn.announced]

    def contact(self, email="ann@example.com", **more):
        return CartContactGiven(store_id=self.store_id, email=email, **{"cart_id": ids.new(CART)} | more)

    async def meet(self, email="ann@example.com", **more):
        """The id of whoever has this e-mail, met by a cart."""
        return (await self.tell(consumers.on_cart_contact_given, self.contact(email, **more)))[-1].customer_id

    def order(self, customer_id, event=OrderCompleted, version=2, gross=1000, day=0, **more):
        fields = {
            "order_id": ids.new(ORDER),
            "number": "1001",
            "currency": "EUR",
            "gateway": "sandbox",
            "first_completed_at": DAY + timedelta(days=day) if event is OrderCompleted else None,
        }
        return event(
            store_id=self.store_id,
            customer_id=customer_id,
            current_customer_id=customer_id,
            status=STATUSES[event],
            version=version,
            gross_minor=gross,
            commission_base_minor=gross,
            base_remaining_minor=gross,
            placed_at=DAY,
            lines=(),
            **fields | more,
        )

    def entry(self, customer_id, epoch: UUID, sequence, balance):
        return WalletPosted(
            store_id=self.store_id,
            entry_id=ids.new(WALLET_ENTRY),
            customer_id=customer_id,
            epoch=epoch,
            sequence=sequence,
            type=EntryType.CREDIT,
            amount_minor=1,
            balance_after_minor=balance,
            currency="EUR",
            cause=Cause(kind="adjustment", id="x"),
            posted_at=DAY,
        )

    async def customer(self, customer_id):
        async with self.worker.transaction() as conn:
            return await store.customer(conn, Who(self.store_id, customer_id))

    async def customer_by_email(self, email):
        async with self.worker.transaction() as conn:
            return await store.id_by_email(conn, self.store_id, parse_email(email).canonical)

    async def count(self):
        async with self.worker.transaction() as conn:
            return await conn.value("SELECT count(*) FROM customer WHERE store_id = $1", self.store_id)

    @asynccontextmanager
    async def holding(self, customer_id):
        """Somebody else is at work on this customer."""
        async with self.worker.transaction() as conn:
            await conn.execute(
                "SELECT FROM customer WHERE store_id = $1 AND id = $2 FOR UPDATE", self.store_id, customer_id
            )
            yield

    async def is_free(self, customer_id):
        async with self.worker.transaction() as conn:
            return (
                await conn.row(
                    "SELECT FROM customer WHERE store_id = $1 AND id = $2 FOR UPDATE SKIP LOCKED",
                    self.store_id,
                    customer_id,
                )
                is not None
            )

    async def execute(self, sql, *args):
        async with self.worker.transaction() as conn:
            return await conn.execute(sql, *args)


@pytest.fixture
async def new_shop(worker):
    """`await new_shop()` is a store that this service has heard of."""

    async def made(currency="EUR"):
        shop = Shop(worker, ids.new(STORE))
        await shop.execute("INSERT INTO store VALUES ($1, $1, $2, 'en', 'shop')", shop.store_id, currency)
        return shop

    return made


@pytest.fixture
async def shop(new_shop, worker):
    """A store of its own for each test, with the figures proven after it."""
    yield await new_shop()
    async with worker.transaction() as conn:
        assert await store_figures.faults(conn) == []
