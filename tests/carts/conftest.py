"""The carts service on its port, and the other services' parts spoken by hand."""

import asyncio
import itertools
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from patience import until
from serving import Client, merchant, new_store

from carts import consumers, store_faults
from carts.main import service
from chassis import ids, known_customers, replies
from contracts.carts import CartBuyerNamed, CartContactGiven
from contracts.customers import CustomerIdentified
from contracts.event import Event
from contracts.fraud import Decision, ScreeningDecided, ScreeningRequested
from contracts.ids import CUSTOMER, WALLET_ENTRY
from contracts.wallet import (
    Captured,
    CaptureRefused,
    CaptureRequested,
    HoldPlaced,
    HoldRefused,
    HoldReleased,
    HoldRequested,
    ReleaseRequested,
)

keys = itertools.count(1)


@dataclass
class Shop:
    """A store of its own. ``told`` is what carts has said to other services, in order; ``heard`` what they said back."""

    client: Client
    told: list = field(default_factory=list)
    heard: list = field(default_factory=list)
    people: dict = field(default_factory=dict)
    decision: Decision = Decision.ALLOW
    credit: int = 10**9
    capture_refused: bool = False
    deaf: set = field(default_factory=set)

    @property
    def store_id(self):
        return self.client.caller.store_id

    async def product(self, sku="mug", price=8.5, **more):
        return (
            await self.client.post("/dev/v1/products", {"sku": sku, "name": sku.title(), "price": price} | more)
        ).data

    async def cart(self, *items, email="ann@example.com", **more):
        """A cart with a mug, unless told; somebody's, unless ``email`` is None."""
        wanted = items or ({"sku": "mug", "quantity": 2},)
        cart = (await self.client.post("/storefront/v1/carts", {"items": list(wanted)} | more)).data
        return cart if email is None else await self.contact(cart, email)

    async def contact(self, cart, email, **more):
        return (await self.client.put(f"/storefront/v1/carts/{cart['id']}/contact", {"email": email} | more)).data

    async def check_out(self, cart, *, key=None, headers=None, **body):
        body = {"expected_total": cart["total"]} | body
        path = f"/storefront/v1/carts/{cart['id']}/checkout"
        return await self.client.post(path, body, key=key or f"key{next(keys)}", **headers or {})

    async def session(self, order):
        path = f"/storefront/v1/orders/{order['order_id']}/payment-sessions"
        return await self.client.post(path, {"provider": "sandbox"}, key=f"key{next(keys)}")

    async def decide(self, session, outcome="approve"):
        path = "/" + session["url"].split("/", 3)[3]
        return await self.client.post(path, {"outcome": outcome})

    async def pay(self, order):
        return await self.decide((await self.session(order)).data)

    async def order(self, order):
        return (await self.client.get(f"/storefront/v1/orders/{order['order_id']}")).data

    async def bought(self, **body):
        """An order that waits for its payment, by a cart with two mugs."""
        async with self.answering():
            return (await self.check_out(await self.cart(), **body)).data

    async def hear(self, event):
        """Deliver an event as the worker does; there is no inbox here to hide a repeat."""
        handler = consumers.router.handler(event.TOPIC.name, event.TYPE)
        async with self.client.runtime.worker.transaction() as conn:
            await handler.run(event, conn)

    async def drain(self):
        """Take what was announced since."""
        async with self.client.runtime.worker.transaction() as conn:
            rows = await conn.rows(
                "WITH taken AS (DELETE FROM outbox WHERE store_id = $1 RETURNING *) SELECT * FROM taken ORDER BY seq",
                self.store_id,
            )
        types = {cls.TYPE: cls for cls in Event.__subclasses__()}
        types |= {cls.TYPE: cls for base in Event.__subclasses__() for cls in base.__subclasses__()}
        fresh = [types[row["type"]].parse(row["store_id"], row["payload"]) for row in rows]
        self.told += fresh
        return fresh

    def of(self, event_type):
        return [event for event in self.told if isinstance(event, event_type)]

    async def rounds(self):
        """Answer what is asked until nothing more is."""
        while fresh := await self.drain():
            for answer in [answer for event in fresh for answer in self.answers(event)]:
                self.heard.append(answer)
                await self.hear(answer)

    @asynccontextmanager
    async def answering(self):
        """The other services are up."""

        going_home = asyncio.Event()

        async def answer():
            while not going_home.is_set():
                await self.rounds()
                await asyncio.sleep(0.005)
            await self.rounds()

        task = asyncio.create_task(answer())
        try:
            yield
        finally:
            going_home.set()
            await task

    async def until(self, sql, *args):
        """Wait until a query finds something."""
        return await until(lambda: self.rows(sql, *args), seconds=60)

    def answers(self, event):  # noqa: PLR0911  (one for each question)
        """What customers, fraud-block and the wallet say to this."""
        if type(event) in self.deaf:
            return []
        match event:
            case CartContactGiven(cart_id=cart_id, revision=revision, email=email):
                who = self.people.setdefault(email, ids.new(CUSTOMER))
                return [self.says(CustomerIdentified, cart_id=cart_id, revision=revision, customer_id=who)]
            case ScreeningRequested() | CartBuyerNamed():  # the latter customers asks on
                screening_id, subject = event.screening_id, event.subject
                return [self.says(ScreeningDecided, screening_id=screening_id, subject=subject, decision=self.decision)]
            case HoldRequested(hold_id=hold_id, customer_id=who, amount_minor=amount):
                if amount > self.credit:
                    return [self.says(HoldRefused, hold_id=hold_id, customer_id=who, reason="insufficient_credit")]
                return [self.says(HoldPlaced, hold_id=hold_id, customer_id=who, amount_minor=amount)]
            case ReleaseRequested(hold_id=hold_id, customer_id=who):
                return [self.says(HoldReleased, hold_id=hold_id, customer_id=who, reason="released")]
            case CaptureRequested(hold_id=hold_id, customer_id=who, order_id=order_id, amount_minor=amount):
                about = {"hold_id": hold_id, "customer_id": who, "order_id": order_id}
                if self.capture_refused:
                    return [self.says(CaptureRefused, reason="hold_ended", **about)]
                return [self.says(Captured, entry_id=ids.new(WALLET_ENTRY), amount_minor=amount, **about)]
            case _:
                return []

    def says(self, event_type, **fields):
        return event_type(store_id=self.store_id, **fields)

    async def asked_still(self):
        """The types of questions that would be sent again."""
        rows = await self.rows("SELECT type FROM ask WHERE store_id = $1", self.store_id)
        return sorted(row["type"] for row in rows)

    async def rows(self, sql, *args):
        async with self.client.runtime.worker.transaction() as conn:
            return await conn.rows(sql, *args)


@pytest.fixture(scope="module")
async def client(database, serve):
    """Who waits for an answer, or for a customer, waits as long as a busy machine takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replies.Waiters.wait, "__defaults__", (60.0,))
        patch.setattr(known_customers, "_PATIENCE", 60.0)
        yield await serve(service, database)


@pytest.fixture
async def new_shop(client):
    """`await new_shop()` is a store that this service has heard of, with mugs."""

    async def made(currency="EUR", price=8.5):
        shop = Shop(client.as_(merchant(new_store())))
        async with client.runtime.worker.transaction() as conn:
            await conn.execute("INSERT INTO store VALUES ($1, 'shop', $2, 'en', 'shop')", shop.store_id, currency)
        await shop.product(price=price)
        return shop

    return made


@pytest.fixture
async def shop(new_shop, client):
    """A store of its own for each test, with its books proven after it."""
    yield await new_shop()
    async with client.runtime.worker.transaction() as conn:
        assert await store_faults.faults(conn) == []
