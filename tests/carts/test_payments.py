"""Paying what is due, once, whoever clicks how often."""

import asyncio
import random
from datetime import UTC, datetime

import pytest
from serving import Caller, merchant, new_store

from chassis import ids
from contracts.carts import OrderCompleted, OrderPlaced
from contracts.ids import ORDER, PAYMENT_SESSION
from contracts.wallet import CaptureRequested, HoldRequested

ROUNDS = 50


async def test_an_approved_payment_completes_the_order(shop):
    order = await shop.bought()
    reply = await shop.session(order)
    session = reply.data
    assert (reply.status, session["provider"], session["status"]) == (201, "sandbox", "OPEN")
    assert session["url"] == f"http://127.0.0.1:8080/sandbox/shop/{session['payment_session_id']}"
    decided = await shop.decide(session)
    assert decided.status == 200
    assert decided.data == session | {
        "status": "APPROVED",
        "order_id": order["order_id"],
        "order_status": "COMPLETED",
    }
    done = await shop.order(order)
    assert (done["status"], done["paid"], done["due"], done["gateway"]) == ("COMPLETED", 17, 0, "sandbox")
    assert done["invoice_number"] == 1
    await shop.drain()
    (completed,) = shop.of(OrderCompleted)
    assert (completed.version, completed.customer_id) == (2, order["customer_id"])
    assert completed.first_completed_at == datetime.fromisoformat(done["completed_at"]).astimezone(UTC)


async def test_a_declined_payment_leaves_the_order_waiting(shop):
    order = await shop.bought()
    session = (await shop.session(order)).data
    assert (await shop.decide(session, "decline")).data["order_status"] == "AWAITING_PAYMENT"
    assert (await shop.decide(session, "decline")).status == 200
    late = await shop.decide(session)
    assert (late.status, late.code) == (409, "payment_session_closed")
    assert (await shop.pay(order)).data["order_status"] == "COMPLETED"


async def test_credit_and_provider_share_the_bill(shop):
    order = await shop.bought(credit=7)
    assert order["due"] == 10
    async with shop.answering():
        assert (await shop.pay(order)).data["order_status"] == "AWAITING_PAYMENT"
    assert (await shop.order(order))["status"] == "COMPLETED"
    assert [asked.amount_minor for asked in shop.of(CaptureRequested)] == [700]
    assert [done.commission_base_minor for done in shop.of(OrderCompleted)] == [1000]


async def test_credit_that_vanished_after_the_provider_paid_is_due_again(shop):
    order = await shop.bought(credit=7)
    shop.capture_refused = True
    async with shop.answering():
        await shop.pay(order)
    waiting = await shop.order(order)
    assert (waiting["status"], waiting["paid"], waiting["credit"], waiting["due"]) == ("AWAITING_PAYMENT", 10, 0, 7)
    assert (await shop.pay(order)).data["order_status"] == "COMPLETED"
    assert (await shop.order(order))["paid"] == 17


async def test_only_one_of_two_open_sessions_is_paid(shop):
    order = await shop.bought()
    first, second = (await shop.session(order)).data, (await shop.session(order)).data
    replies = await asyncio.gather(shop.decide(first), shop.decide(second))
    assert sorted(reply.status for reply in replies) == [200, 409]
    assert [reply.code for reply in replies if reply.status == 409] == ["order_not_payable"]
    closed = await shop.session(order)
    assert (closed.status, closed.code) == (409, "order_not_payable")


async def test_an_order_that_was_not_accepted_takes_no_money(shop, impatient):
    order = (await shop.check_out(await shop.cart())).data
    reply = await shop.session(order)
    assert (reply.status, reply.code) == (409, "order_not_payable")


async def test_an_invoice_is_read_and_paid_by_the_merchant(shop):
    order = await shop.bought()
    path = f"/dev/v1/invoices/{order['invoice_id']}"
    invoice = (await shop.client.get(path)).data
    assert (invoice["number"], invoice["order_id"], invoice["due"]) == (None, order["order_id"], 17)
    session = await shop.client.post(f"{path}/payment-sessions", {"provider": "sandbox"}, key="k")
    await shop.decide(session.data)
    assert (await shop.client.get(path)).data["number"] == 1
    assert (await shop.client.get(f"/dev/v1/orders/{order['order_id']}")).data["status"] == "COMPLETED"


async def test_the_page_shows_what_is_paid_for_and_runs_nothing_of_it(shop):
    await shop.product("evil", 3, name="<script>alert(1)</script>")
    cart = await shop.cart({"sku": "evil"})
    async with shop.answering():
        order = (await shop.check_out(cart)).data
    session = (await shop.session(order)).data
    path = "/" + session["url"].split("/", 3)[3]
    visitor = shop.client.as_(Caller(shop.store_id, "storefront", "visitor"))
    page = await visitor.get(path)
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    html = page.body.decode()
    assert "&lt;script&gt;" in html
    assert "<script" not in html
    assert "//" not in html
    assert "3 EUR" in html
    assert "<form" in html
    form = {"content_type": "application/x-www-form-urlencoded"}
    sent = await visitor.call("POST", path, raw=b"outcome=approve", **form)
    assert (sent.status, sent.headers["location"]) == (303, path)
    html = (await visitor.get(path)).body.decode()
    assert "Paid" in html
    assert "<form" not in html


async def test_a_shop_without_a_storefront_has_a_front_page(shop):
    visitor = shop.client.as_(Caller(shop.store_id, "storefront", "visitor"))
    page = await visitor.get("/sandbox/shop/shop?ref=%3Cscript%3Ecreator123&utm_source=x")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    html = page.body.decode()
    assert "&lt;script&gt;creator123" in html
    assert "//" not in html
    without = await visitor.get("/sandbox/shop/shop")
    assert (without.status, b"You came by" in without.body) == (200, False)


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b'{"outcome": "maybe"}', 422),
        ("application/json", b'{"outcome": ["approve"]}', 422),
        ("application/json", b'{"outcome": {"approve": 1}}', 422),
        ("application/json", b"[]", 422),
        ("application/json", b"NaN", 400),
        ("application/json", b"", 400),
        ("application/json", b"\xff", 400),
        ("application/x-www-form-urlencoded", b"", 422),
        ("application/x-www-form-urlencoded", b"outcome=%00", 422),
        ("application/x-www-form-urlencoded", b"\xff\xfe" + b"a=1&" * 5000, 422),
        ("", b"outcome=decline&outcome=approve", 303),
    ],
)
async def test_a_decision_that_is_none_is_refused(shop, content_type, body, status):
    order = await shop.bought()
    session = (await shop.session(order)).data
    path = "/" + session["url"].split("/", 3)[3]
    reply = await shop.client.call("POST", path, raw=body, content_type=content_type)
    assert reply.status == status
    assert (await shop.order(order))["status"] == "AWAITING_PAYMENT"


async def test_what_is_no_session_of_this_store_is_a_404(shop, new_shop):
    order = await shop.bought()
    path = "/" + (await shop.session(order)).data["url"].split("/", 3)[3]
    other = (await new_shop()).client
    unknown = f"/sandbox/shop/{ids.new(PAYMENT_SESSION)}"
    elsewhere = path.replace("/shop/", "/elsewhere/")
    for client, page in (
        (other, path),
        (shop.client, unknown),
        (shop.client, elsewhere),
        (shop.client, "/sandbox/shop/%00"),
    ):
        assert (await client.get(page)).status == 404
        assert (await client.post(page, {"outcome": "approve"})).status == 404
    for path in (f"/storefront/v1/orders/{order['order_id']}", f"/dev/v1/orders/{order['order_id']}"):
        assert (await other.get(path)).status == 404
    assert (await other.get(f"/dev/v1/invoices/{order['invoice_id']}")).status == 404
    assert (
        await other.post(
            f"/storefront/v1/orders/{order['order_id']}/payment-sessions", {"provider": "sandbox"}, key="k"
        )
    ).status == 404
    assert (await shop.client.get(f"/dev/v1/orders/{ids.new(ORDER)}")).status == 404
    assert (await shop.client.as_(merchant(new_store())).get(path)).status == 404


async def test_orders_completing_at_once_are_numbered_without_gaps(shop):
    async def bought(number):
        cart = await shop.cart(email=f"buyer{number}@example.com")
        return (await shop.check_out(cart, credit=17 if number % 2 else 5)).data

    async with shop.answering():
        orders = await asyncio.gather(*(bought(number) for number in range(16)))
        await asyncio.gather(*(shop.pay(order) for order in orders if order["due"]))
    rows = await shop.rows("SELECT number FROM invoice WHERE store_id = $1 ORDER BY number", shop.store_id)
    assert [row["number"] for row in rows] == list(range(1, 17))


async def test_checkout_and_payment_racing_in_every_way_make_one_order_one_capture_one_completion(shop):
    """The race that the best-known shops lose (reliability.md §0.1): 50 rounds of everything at once, shuffled and repeated."""
    chance = random.Random(20260101)
    for _ in range(ROUNDS):
        before = len(shop.heard)
        cart = await shop.cart()
        async with shop.answering():
            checkouts = await asyncio.gather(*(shop.check_out(cart, credit=7) for _ in range(4)))
            assert {reply.status for reply in checkouts} == {201}
            (order_id,) = {reply.data["order_id"] for reply in checkouts}
            order = checkouts[0].data
            sessions = [(await shop.session(order)).data for _ in range(2)]
            again = [shop.hear(event) for event in shop.heard[before:] * 2]
            clicks = [shop.decide(session) for session in sessions * 4]
            everything = [*again, *clicks, *(shop.check_out(cart, credit=7) for _ in range(4))]
            chance.shuffle(everything)
            await asyncio.gather(*everything)
        for event in chance.sample(shop.heard[before:], len(shop.heard) - before):
            await shop.hear(event)
        await shop.drain()
        assert (await shop.order(order))["status"] == "COMPLETED"
        asked = [event for event in shop.told if getattr(event, "order_id", None) == order_id]
        for once in (HoldRequested, CaptureRequested, OrderPlaced, OrderCompleted):
            assert len([event for event in asked if isinstance(event, once)]) == 1
        orders = await shop.rows('SELECT order_id FROM "order" WHERE cart_id = $1', cart["id"])
        assert [row["order_id"] for row in orders] == [order_id]
    numbers = await shop.rows("SELECT number FROM invoice WHERE store_id = $1 ORDER BY number", shop.store_id)
    assert [row["number"] for row in numbers] == list(range(1, ROUNDS + 1))
