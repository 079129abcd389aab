"""Planted faults: the second lock holds without the first, and what neither could prevent `verify` finds."""

import asyncio

import asyncpg
import pytest

from carts import orders, progress, store_carts, store_orders, store_payments
from carts.api import sandbox as hosted
from carts.orders import Order
from carts.sandbox import Outcome
from carts.store_faults import faults
from chassis.db import Conn
from contracts.fraud import Decision, ScreeningRequested
from contracts.wallet import HoldRequested

WRONG = {
    "an order is not the sum of its lines": "UPDATE order_line SET quantity = quantity + 1",
    "an order says more was paid than was": """UPDATE payment_session SET status = 'DECLINED'""",
    "an order is completed, but not paid": """UPDATE "order" SET status = 'COMPLETED' WHERE status = 'AWAITING_PAYMENT'""",
    "an order is completed, its credit not captured": """UPDATE "order" SET credit = 'held' WHERE credit = 'captured'""",
    "a cart has two living orders": """
        DROP INDEX order_one_living_per_cart;
        UPDATE "order" SET status = 'AWAITING_PAYMENT', refusal = NULL WHERE status = 'CANCELLED'
    """,
    "a completed order has no invoice number": "UPDATE invoice SET number = NULL WHERE number = 1",
    "an order that is not completed has an invoice number": """
        UPDATE invoice SET number = 3 WHERE number IS NULL AND order_id IN (SELECT order_id FROM "order"
                                                                          WHERE status = 'AWAITING_PAYMENT');
        UPDATE invoice_counter SET last = 3
    """,
    "the numbers have a gap": "UPDATE invoice SET number = 9 WHERE number = 2; UPDATE invoice_counter SET last = 9",
    "the counter ran ahead": "UPDATE invoice_counter SET last = 7",
    "the counter fell behind": "UPDATE invoice_counter SET last = 1",
}


@pytest.fixture
async def admin(database):
    connection = await asyncpg.connect(database.admin_url)
    yield connection
    await connection.close()


async def test_verify_finds_whatever_is_wrong(shop, admin):
    paid = await shop.bought(credit=5)
    async with shop.answering():
        await shop.pay(paid)
        await shop.check_out(await shop.cart(), credit=17)
        shop.credit = 0
        cart = await shop.cart()
        assert (await shop.check_out(cart, credit=5)).status == 409
        assert (await shop.check_out(cart)).data["status"] == "AWAITING_PAYMENT"
    found = {}
    for what, sql in WRONG.items():
        undone = admin.transaction()
        await undone.start()
        await admin.execute(sql)
        found[what] = await faults(Conn(admin))
        await undone.rollback()
    assert [what for what, sentences in found.items() if not sentences] == []
    assert await faults(Conn(admin)) == []


async def test_without_the_carts_lock_the_index_still_lets_one_order_live(shop, monkeypatch, impatient):
    everybody_has_read = asyncio.Barrier(2)

    async def unlocked(conn: Conn, store_id: str, cart_id: str) -> store_carts.Cart | None:
        cart = await store_carts.cart_of(conn, store_id, cart_id)
        await everybody_has_read.wait()
        return cart

    cart = await shop.cart()
    await shop.rounds()
    monkeypatch.setattr(store_carts, "lock_cart", unlocked)
    replies = await asyncio.gather(*(shop.check_out(cart) for _ in range(2)))
    assert sorted(reply.status for reply in replies) == [202, 500]
    assert len(await shop.rows('SELECT 1 FROM "order" WHERE cart_id = $1', cart["id"])) == 1


async def test_without_the_orders_lock_the_index_still_takes_one_payment(shop, monkeypatch):
    everybody_has_read = asyncio.Barrier(2)

    async def unlocked(conn: Conn, store_id: str, order_id: str) -> Order | None:
        order = await store_orders.order_of(conn, store_id, order_id)
        await everybody_has_read.wait()
        return order

    order = await shop.bought()
    sessions = [(await shop.session(order)).data for _ in range(2)]
    monkeypatch.setattr(store_orders, "lock_order", unlocked)
    replies = await asyncio.gather(*(shop.decide(session) for session in sessions))
    assert sorted(reply.status for reply in replies) == [200, 500]
    assert (await shop.order(order))["paid"] == 17


async def test_two_answers_for_one_order_at_once_never_wait_in_a_circle(shop, impatient):
    """Planted fault: an answer that closes its question before it has the order meets the verdict that closes it too."""
    shop.deaf = {ScreeningRequested, HoldRequested}
    cart = await shop.cart()
    await shop.rounds()
    order = (await shop.check_out(cart, credit=5)).data
    await shop.rounds()
    shop.deaf.clear()
    (held,) = shop.answers(shop.of(HoldRequested)[0])
    async with shop.client.runtime.worker.transaction() as conn:
        locked = await store_orders.lock_order(conn, shop.store_id, order["order_id"])
        other = asyncio.create_task(shop.hear(held))
        await shop.until("SELECT 1 FROM pg_locks WHERE NOT granted")
        await progress.settle(conn, orders.screened(locked, Decision.BLOCK))
    await other
    await shop.rounds()
    assert (await shop.order(order))["status"] == "CANCELLED"
    assert await shop.asked_still() == ["screening.requested"]


@pytest.mark.parametrize("drawn", ["DEFERRED", "IMMEDIATE"])
async def test_a_batch_that_completes_an_order_and_then_wants_another_never_waits_in_a_circle(shop, drawn):
    """Planted fault: with the number drawn at once, the counter is held while the batch waits for the next order."""
    first, second = [(await shop.session(await shop.bought())).data for _ in range(2)]
    database = shop.client.runtime.worker

    async def approve(conn, session):
        named = await store_payments.session_of(conn, shop.store_id, session["payment_session_id"])
        order = await store_orders.lock_order(conn, shop.store_id, named.order_id)
        await hosted._decide(conn, order, named, Outcome.APPROVE)

    async def click(done_by_batch):
        async with database.transaction() as conn:
            await conn.execute(f"SET CONSTRAINTS ALL {drawn}")
            named = await store_payments.session_of(conn, shop.store_id, second["payment_session_id"])
            await store_orders.lock_order(conn, shop.store_id, named.order_id)
            clicked.set()
            await done_by_batch.wait()
            await approve(conn, second)

    async def batch(done):
        await clicked.wait()
        async with database.transaction() as conn:
            await conn.execute(f"SET CONSTRAINTS ALL {drawn}")
            await approve(conn, first)
            done.set()
            named = await store_payments.session_of(conn, shop.store_id, second["payment_session_id"])
            await store_orders.lock_order(conn, shop.store_id, named.order_id)

    clicked, done = asyncio.Event(), asyncio.Event()
    ends = await asyncio.gather(click(done), batch(done), return_exceptions=True)
    circles = [end for end in ends if isinstance(end, asyncpg.DeadlockDetectedError)]
    assert (len(circles), [end for end in ends if end and end not in circles]) == (int(drawn == "IMMEDIATE"), [])
