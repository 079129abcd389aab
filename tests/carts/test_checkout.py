"""A cart becomes an order: screened, with its credit held, announced, and told to who waits."""

import asyncio
from itertools import permutations

import pytest
from serving import merchant, new_store, storefront

from carts.main import service
from chassis import idempotency
from contracts.carts import CartContactGiven, OrderCancelled, OrderCompleted, OrderPlaced, OrderStatus
from contracts.customers import CustomerIdentified
from contracts.fraud import Decision, ScreeningDecided, ScreeningRequested
from contracts.wallet import CaptureRequested, HoldPlaced, HoldRequested, ReleaseRequested


async def test_a_checkout_is_an_order_that_waits_for_its_payment(shop):
    cart = await shop.cart(affiliate_code="creator123")
    async with shop.answering():
        reply = await shop.check_out(cart, headers={"x_regulars_client_ip": "203.0.113.9"})
    order = reply.data
    assert reply.status == 201
    assert (order["status"], order["total"], order["credit"], order["due"]) == ("AWAITING_PAYMENT", 17, 0, 17)
    assert order["customer_id"] == shop.people["ann@example.com"]
    assert order["affiliate_code"] == "creator123"
    assert order["invoice_id"].startswith("inv_")
    assert order["invoice_number"] is None
    (asked,) = shop.of(ScreeningRequested)
    assert (asked.subject, asked.email, asked.ip) == (order["order_id"], "ann@example.com", "203.0.113.9")
    assert asked.customer_id == order["customer_id"]
    (placed,) = shop.of(OrderPlaced)
    assert (placed.order_id, placed.number, placed.version) == (order["order_id"], order["number"], 1)
    assert (placed.gross_minor, placed.commission_base_minor, placed.status) == (
        1700,
        1700,
        OrderStatus.AWAITING_PAYMENT,
    )
    assert await shop.asked_still() == []


async def test_the_order_waits_for_services_that_are_away_and_goes_on_when_they_are_back(shop, impatient, monkeypatch):
    cart = await shop.cart()
    reply = await shop.check_out(cart, key="k")
    assert (reply.status, reply.data["status"]) == (202, "PROCESSING")
    assert reply.headers["location"] == f"/storefront/v1/orders/{reply.data['order_id']}"
    assert (await shop.client.get(reply.headers["location"])).data["status"] == "PLACED"
    assert shop.of(OrderPlaced) == []
    monkeypatch.undo()  # patient again
    async with shop.answering():
        again = await shop.check_out(cart, key="k")
    assert (again.status, again.data["order_id"]) == (201, reply.data["order_id"])
    assert (await shop.check_out(cart, key="k")).body == again.body


async def test_the_buyers_address_is_the_gateways_word_and_nonsense_is_nobodys(shop):
    async with shop.answering():
        await shop.check_out(await shop.cart(), headers={"x_regulars_client_ip": "<script>"})
    assert shop.of(ScreeningRequested)[0].ip is None


async def test_a_blocked_buyer_gets_one_neutral_sentence_and_a_reference(shop):
    shop.decision = Decision.BLOCK
    cart = await shop.cart()
    async with shop.answering():
        reply = await shop.check_out(cart, credit=5, key="k")
    assert (reply.status, reply.code) == (409, "order_refused")
    (asked,) = shop.of(ScreeningRequested)
    assert reply.json["errors"] == [{"pointer": "", "code": "support_reference", "message": asked.screening_id}]
    assert not {"ban", "block", "fraud"} & set(reply.body.decode().lower().split())
    assert (await shop.check_out(cart, credit=5, key="k")).body == reply.body
    assert len(shop.of(ReleaseRequested)) == 1
    assert [event.version for event in shop.of(OrderCancelled)] == [1]
    assert await shop.asked_still() == []


async def test_a_blocked_order_asks_for_its_hold_no_more(shop):
    shop.decision = Decision.BLOCK
    shop.deaf.add(HoldRequested)
    async with shop.answering():
        assert (await shop.check_out(await shop.cart(), credit=5)).code == "order_refused"
    assert len(shop.of(ReleaseRequested)) == 1
    assert await shop.asked_still() == []


async def test_a_refused_cart_is_open_again_and_may_become_another_order(shop):
    shop.decision = Decision.BLOCK
    cart = await shop.cart()
    async with shop.answering():
        await shop.check_out(cart)
        shop.decision = Decision.ALLOW
        assert (await shop.contact(cart, "bob@example.com"))["status"] == "open"
        reply = await shop.check_out(cart)
    assert reply.status == 201
    assert reply.data["customer_id"] == shop.people["bob@example.com"]


async def test_an_order_under_review_is_202_for_the_buyer(shop):
    shop.decision = Decision.REVIEW
    async with shop.answering():
        reply = await asyncio.wait_for(shop.check_out(await shop.cart()), 50)
    assert (reply.status, reply.data["status"]) == (202, "PROCESSING")
    assert (await shop.order(reply.data))["status"] == "UNDER_REVIEW"
    assert shop.of(OrderPlaced) == []


async def test_the_key_of_an_order_under_review_is_kept_until_that_ends(shop):
    async def left():
        async with shop.client.runtime.worker.transaction() as conn:
            await conn.execute("UPDATE idempotency SET created_at = created_at - interval '2 days'")
            await idempotency.sweep(conn, service.at_work)
            return await conn.value("SELECT count(*) FROM idempotency WHERE store_id = $1", shop.store_id)

    shop.decision = Decision.REVIEW
    async with shop.answering():
        order = (await shop.check_out(await shop.cart())).data
    assert await left() == 1
    (asked,) = shop.of(ScreeningRequested)
    about = {"screening_id": asked.screening_id, "subject": order["order_id"]}
    await shop.hear(shop.says(ScreeningDecided, decision=Decision.ALLOW, **about))
    assert (await shop.order(order))["status"] == "AWAITING_PAYMENT"
    assert await left() == 0


async def test_more_credit_than_there_is_is_refused_and_the_cart_stays_usable(shop):
    shop.credit = 499
    cart = await shop.cart()
    async with shop.answering():
        refused = await shop.check_out(cart, credit=5)
        assert (refused.status, refused.code) == (409, "insufficient_credit")
        assert (await shop.check_out(cart, credit=4.99)).data["due"] == 12.01


async def test_an_order_paid_with_credit_alone_completes_at_once(shop):
    async with shop.answering():
        reply = await shop.check_out(await shop.cart(), credit=17)
    assert reply.status == 201
    assert (reply.data["status"], reply.data["due"], reply.data["gateway"]) == ("COMPLETED", 0, "wallet")
    assert reply.data["invoice_number"] == 1
    (completed,) = shop.of(OrderCompleted)
    assert (completed.version, completed.credit_minor, completed.commission_base_minor) == (2, 1700, 0)
    assert [type(event) for event in shop.told].index(CaptureRequested) < shop.told.index(completed)


async def test_the_wallet_away_keeps_the_order_waiting_not_lost(shop, impatient):
    shop.deaf.add(CaptureRequested)
    async with shop.answering():
        reply = await shop.check_out(await shop.cart(), credit=17)
    assert (reply.status, await shop.asked_still()) == (202, ["wallet.capture_requested"])
    assert shop.of(OrderCompleted) == []
    shop.deaf.clear()
    for answer in shop.answers(shop.of(CaptureRequested)[0]):
        await shop.hear(answer)
    assert (await shop.order(reply.data))["status"] == "COMPLETED"


async def test_a_capture_refused_for_an_order_of_credit_alone_makes_it_payable(shop):
    shop.capture_refused = True
    async with shop.answering():
        reply = await shop.check_out(await shop.cart(), credit=17)
        assert (reply.status, reply.data["due"]) == (201, 17)
        await shop.pay(reply.data)
    assert (await shop.order(reply.data))["status"] == "COMPLETED"
    assert shop.of(OrderCompleted)[0].credit_minor == 0


async def test_another_total_than_expected_is_itemised(shop):
    cart = await shop.cart({"sku": "mug", "quantity": 2})
    async with shop.client.runtime.worker.transaction() as conn:
        await conn.execute("UPDATE product SET price_minor = 900 WHERE store_id = $1", shop.store_id)
    reply = await shop.check_out(cart)
    assert (reply.status, reply.code) == (409, "cart_changed")
    assert reply.json["errors"] == [
        {"pointer": "/expected_total", "code": "total_changed", "message": "the cart costs 18 EUR"},
        {"pointer": "/items/0", "code": "price_changed", "message": "2 x mug at 9 = 18 EUR, was 8.5"},
    ]
    assert shop.of(ScreeningRequested) == []


async def test_the_same_wish_twice_is_one_order_and_another_wish_is_refused(shop):
    cart = await shop.cart()
    async with shop.answering():
        first, second = await asyncio.gather(shop.check_out(cart), shop.check_out(cart))
        assert first.data["order_id"] == second.data["order_id"]
        other = await shop.check_out(cart, credit=1)
    assert (other.status, other.code) == (409, "cart_closed")


async def test_a_closed_cart_does_not_change(shop):
    cart = await shop.cart()
    await shop.contact(cart, "ann@example.com")
    async with shop.answering():
        await shop.check_out(cart)
    path = f"/storefront/v1/carts/{cart['id']}"
    item = f"{path}/items/{cart['items'][0]['product_id']}"
    replies = [
        await shop.client.post(f"{path}/items", {"sku": "mug"}),
        await shop.client.put(item, {"quantity": 5}),
        await shop.client.delete(item),
        await shop.client.put(f"{path}/contact", {"email": "eve@example.com"}),
    ]
    assert [(reply.status, reply.code) for reply in replies] == [(409, "cart_closed")] * 4


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"credit": 17.01}, 422, "invalid"),
        ({"credit": -1}, 422, "invalid"),
        ({"credit": 0.001}, 422, "invalid"),
        ({"credit": "5"}, 422, "invalid"),
        ({"credit": True}, 422, "invalid"),
        ({"expected_total": -17}, 422, "invalid"),
        ({"expected_total": None}, 422, "invalid"),
        ({"expected_total": 16.99}, 409, "cart_changed"),
        ({"currency": "USD"}, 422, "currency_mismatch"),
    ],
)
async def test_a_checkout_that_does_not_fit_is_refused_and_leaves_no_order(shop, body, status, code):
    reply = await shop.check_out(await shop.cart(), **body)
    assert (reply.status, reply.code) == (status, code)
    assert await shop.rows('SELECT 1 FROM "order" WHERE store_id = $1', shop.store_id) == []


async def test_nothing_and_nobody_cannot_check_out(shop):
    empty = (await shop.client.post("/storefront/v1/carts", {})).data
    assert (await shop.check_out(empty)).code == "cart_empty"
    assert (await shop.check_out(await shop.cart(email=None))).code == "contact_missing"


async def test_what_is_no_longer_for_sale_is_not_sold(shop):
    cart = await shop.cart()
    async with shop.client.runtime.worker.transaction() as conn:
        await conn.execute("UPDATE product SET active = false WHERE store_id = $1", shop.store_id)
    reply = await shop.check_out(cart)
    assert reply.json["errors"][1]["code"] == "product_unavailable"


async def test_a_checkout_needs_its_key_and_its_scope(shop):
    cart = await shop.cart()
    path = f"/storefront/v1/carts/{cart['id']}/checkout"
    body = {"expected_total": cart["total"]}
    assert (await shop.client.post(path, body)).code == "idempotency_key_missing"
    reader = shop.client.as_(merchant(shop.store_id, {"orders.read"}))
    assert (await reader.post(path, body, key="k")).status == 403
    stranger = shop.client.as_(merchant(new_store()))
    assert (await stranger.post(path, body, key="k")).status == 404


async def test_every_arrival_order_of_the_answers_ends_in_the_same_order(shop):
    for answers in permutations(range(3)):
        shop.deaf = {CartContactGiven, ScreeningRequested, HoldRequested}
        cart = await shop.cart(email=f"ann{len(shop.told)}@example.com")
        checkout = asyncio.create_task(shop.check_out(cart, credit=5))
        await shop.until('SELECT 1 FROM "order" WHERE cart_id = $1', cart["id"])
        await shop.drain()
        shop.deaf.clear()
        (identified,) = shop.answers(shop.of(CartContactGiven)[-1])
        await shop.hear(identified)
        await shop.drain()
        screened, held = (shop.answers(shop.of(kind)[-1])[0] for kind in (ScreeningRequested, HoldRequested))
        for which in answers:
            for _ in range(2):
                await shop.hear((identified, screened, held)[which])
        order = (await checkout).data
        assert (order["status"], order["due"]) == ("AWAITING_PAYMENT", 12)
        await shop.drain()
    assert len(shop.of(OrderPlaced)) == 6
    assert [type(event) for event in shop.told].count(CustomerIdentified) == 0
    assert {event.version for event in shop.of(OrderPlaced)} == {1}


async def test_answers_to_what_nobody_asked_change_nothing(shop):
    order = await shop.bought(credit=5)
    other = HoldPlaced(
        store_id=shop.store_id,
        hold_id="hold_01kb0000000000000000000000",
        customer_id=order["customer_id"],
        amount_minor=1,
    )
    before = len(shop.told)
    await shop.hear(other)
    for answer in list(shop.heard):
        await shop.hear(answer)
    await shop.drain()
    assert len(shop.told) == before
    assert (await shop.order(order))["status"] == "AWAITING_PAYMENT"


async def test_a_publishable_key_cannot_spend_credit_that_an_email_names(shop):
    async with shop.answering():
        cart = await shop.cart()
        visitor = shop.client.as_(storefront(shop.store_id))
        body = {"expected_total": 17, "credit": 5}
        refused = await visitor.post(f"/storefront/v1/carts/{cart['id']}/checkout", body, key="k")
        assert (refused.status, refused.code) == (403, "credit_needs_customer")
        assert shop.of(HoldRequested) == []
