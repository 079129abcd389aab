"""A merchant's server places an order, or draws up an invoice: each makes the other, in one call (features A3, A11)."""

import asyncio

import pytest
from dying import dies
from serving import merchant, new_store, storefront

from chassis import ids
from contracts.carts import CartBuyerNamed, CartContactGiven, OrderCompleted, OrderPlaced
from contracts.fraud import Decision, ScreeningRequested
from contracts.ids import CUSTOMER, PRODUCT
from contracts.wallet import HoldRequested

ORDERS, INVOICES = "/dev/v1/orders", "/dev/v1/invoices"
BOTH = pytest.mark.parametrize("path", [ORDERS, INVOICES])
LONG_AGO = "cus_00000000000000000000000000"


@pytest.fixture
async def ann(shop):
    """A customer that carts has heard of."""
    return await known(shop)


async def known(shop, customer_id=None, state="active", merged_into=None):
    customer_id = customer_id or ids.new(CUSTOMER)
    async with shop.client.runtime.worker.transaction() as conn:
        await conn.execute(
            "INSERT INTO known_customer VALUES ($1, $2, 1, $3, $4)", shop.store_id, customer_id, state, merged_into
        )
    return customer_id


def mugs(**more):
    return {"items": [{"sku": "mug", "quantity": 2}]} | more


async def sell(shop, path, body, *, key=None, **headers):
    return await shop.client.post(path, body, key=key or ids.new("key"), **headers)


async def made(shop):
    """What there is of carts and orders."""
    rows = await shop.rows(
        """SELECT (SELECT count(*) FROM cart WHERE store_id = $1), (SELECT count(*) FROM "order" WHERE store_id = $1),
                  (SELECT count(*) FROM ask WHERE store_id = $1), (SELECT count(*) FROM outbox WHERE store_id = $1)""",
        shop.store_id,
    )
    return tuple(rows[0])


async def test_an_order_is_placed_for_a_customer_with_its_invoice(shop, ann):
    async with shop.answering():
        reply = await sell(shop, ORDERS, mugs(customer_id=ann, affiliate_code="creator123"))
    order = reply.data
    assert reply.status == 201
    assert (order["status"], order["total"], order["due"], order["customer_id"]) == ("AWAITING_PAYMENT", 17, 17, ann)
    assert (order["affiliate_code"], order["invoice_number"]) == ("creator123", None)
    assert (await shop.client.get(f"{ORDERS}/{order['order_id']}")).data == order
    invoice = (await shop.client.get(f"{INVOICES}/{order['invoice_id']}")).data
    assert (invoice["order_id"], invoice["affiliate_code"]) == (order["order_id"], "creator123")
    cart = (await shop.client.get(f"/storefront/v1/carts/{order['cart_id']}")).data
    assert (cart["status"], cart["customer_id"], cart["affiliate_code"]) == ("closed", ann, "creator123")
    (placed,) = shop.of(OrderPlaced)
    assert (placed.order_id, placed.customer_id, placed.affiliate_code, placed.touches) == (
        order["order_id"],
        ann,
        "creator123",
        (),
    )
    assert await shop.asked_still() == []


async def test_an_invoice_is_drawn_up_for_a_contact_with_its_order(shop):
    contact = {"email": "ann@example.com", "name": "Ann", "phone": "+49 30 1234567"}
    async with shop.answering():
        reply = await sell(shop, INVOICES, mugs(contact=contact, affiliate_code="creator123"))
    invoice = reply.data
    assert reply.status == 201
    assert (invoice["status"], invoice["total"], invoice["due"], invoice["number"]) == (
        "AWAITING_PAYMENT",
        17,
        17,
        None,
    )
    assert invoice["affiliate_code"] == "creator123"
    assert (await shop.client.get(f"{INVOICES}/{invoice['invoice_id']}")).data == invoice
    (asked,) = shop.of(CartContactGiven)
    assert (asked.email, asked.name, asked.phone) == tuple(contact.values())
    order = (await shop.client.get(f"{ORDERS}/{invoice['order_id']}")).data
    assert (order["customer_id"], order["affiliate_code"]) == (shop.people["ann@example.com"], "creator123")
    assert shop.of(ScreeningRequested)[0].email == "ann@example.com"


async def test_what_is_paid_completes_the_order_and_numbers_the_invoice(shop, ann):
    async with shop.answering():
        invoice = (await sell(shop, INVOICES, mugs(customer_id=ann, affiliate_code="creator123"))).data
        path = f"{INVOICES}/{invoice['invoice_id']}"
        session = (await sell(shop, f"{path}/payment-sessions", {"provider": "sandbox"})).data
        await shop.decide(session)
    paid = (await shop.client.get(path)).data
    assert (paid["status"], paid["number"], paid["affiliate_code"]) == ("COMPLETED", 1, "creator123")
    assert [event.affiliate_code for event in shop.of(OrderCompleted)] == ["creator123"]


@BOTH
async def test_the_server_that_calls_is_not_the_buyer(shop, ann, path):
    """Neither its address nor a cookie it may have is theirs."""
    told = {"x_regulars_client_ip": "203.0.113.9", "x_regulars_touches": "other.1700000000"}
    async with shop.answering():
        await sell(shop, path, mugs(customer_id=ann), **told)
    assert [(asked.customer_id, asked.ip) for asked in shop.of(CartBuyerNamed)] == [(ann, None)]
    assert [placed.touches for placed in shop.of(OrderPlaced)] == [()]


async def test_who_is_named_by_their_id_is_screened_by_way_of_customers_who_know_their_email(shop, ann):
    async with shop.answering():
        order = (await sell(shop, ORDERS, mugs(customer_id=ann, client_ip="203.0.113.7"))).data
    (asked,) = shop.of(CartBuyerNamed)
    assert (asked.cart_id, asked.subject) == (order["cart_id"], order["order_id"])
    assert (asked.customer_id, asked.ip) == (ann, "203.0.113.7")
    assert shop.of(ScreeningRequested) == []
    assert await shop.asked_still() == []


@BOTH
@pytest.mark.parametrize(
    ("said", "screened"),
    [(" 203.0.113.7 ", "203.0.113.7"), ("2001:DB8:0::7", "2001:db8::7")],
)
async def test_the_buyers_address_that_the_merchant_tells_is_screened(shop, path, said, screened):
    async with shop.answering():
        await sell(shop, path, mugs(contact={"email": "ann@example.com"}, client_ip=said))
    assert [asked.ip for asked in shop.of(ScreeningRequested)] == [screened]


async def test_a_refused_sale_whose_cart_gets_a_contact_is_not_asked_about_for_ever(shop, ann):
    """The verdict comes after the wallet's refusal, when the cart is somebody's who gave an e-mail."""
    shop.credit, shop.deaf = 0, {CartBuyerNamed}
    async with shop.answering():
        assert (await sell(shop, ORDERS, mugs(customer_id=ann, credit=5))).code == "insufficient_credit"
    (asked,) = shop.of(CartBuyerNamed)
    await shop.contact({"id": asked.cart_id}, "bo@example.com")
    await shop.rounds()
    assert await shop.asked_still() == ["cart.buyer_named"]
    shop.deaf = set()
    for answer in shop.answers(asked):
        await shop.hear(answer)
    assert await shop.asked_still() == []


async def test_whom_a_customer_was_merged_into_buys(shop, ann):
    merged = await known(shop, state="merged", merged_into=ann)
    async with shop.answering():
        order = (await sell(shop, ORDERS, mugs(customer_id=merged))).data
    cart = (await shop.client.get(f"/storefront/v1/carts/{order['cart_id']}")).data
    assert order["customer_id"] == cart["customer_id"] == ann


async def test_a_customer_made_a_moment_ago_is_waited_for(shop):
    customer = ids.new(CUSTOMER)
    async with shop.answering():
        reply = asyncio.create_task(sell(shop, ORDERS, mugs(customer_id=customer)))
        await asyncio.sleep(0.2)
        assert not reply.done()
        pool = shop.client.runtime.api.pool
        assert pool.get_size() - pool.get_idle_size() <= 1
        await known(shop, customer)
        assert (await reply).data["customer_id"] == customer


@BOTH
async def test_nobody_is_sold_nothing(shop, path, impatient):
    for customer in (LONG_AGO, ids.new(CUSTOMER), await known(shop, state="erased")):
        reply = await sell(shop, path, mugs(customer_id=customer))
        assert (reply.status, reply.code) == (422, "invalid")
        assert [(flaw["pointer"], flaw["code"]) for flaw in reply.json["errors"]] == [
            ("/customer_id", "customer_unknown")
        ]
    assert await made(shop) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"items": []}, "/items"),
        ({"items": None}, "/items"),
        ({"items": [{"sku": "mug"}] * 51}, "/items"),
        ({"items": [{"sku": "unknown"}]}, "/items/0"),
        ({"items": [{"sku": "mug"}, {"product_id": ids.new(PRODUCT)}]}, "/items/1"),
        ({"items": [{"sku": "gone"}]}, "/items/0"),
        ({"items": [{"sku": "mug", "quantity": 0}]}, "/items/0/quantity"),
        ({"items": [{"sku": "mug", "quantity": 600}, {"sku": "mug", "quantity": 600}]}, "/items/1"),
        ({"items": [{}]}, "/items/0"),
        ({"contact": {"email": "ann@example.com"}}, ""),
        ({"customer_id": None}, ""),
        ({"customer_id": "cus_1"}, "/customer_id"),
        ({"customer_id": 7}, "/customer_id"),
        ({"customer_id": None, "contact": {"email": "ann"}}, "/contact/email"),
        ({"customer_id": None, "contact": {"name": "Ann"}}, "/contact/email"),
        ({"customer_id": None, "contact": {"email": "ann@example.com", "phone": "x"}}, "/contact/phone"),
        ({"affiliate_code": "no code"}, "/affiliate_code"),
        ({"affiliate_code": ""}, "/affiliate_code"),
        ({"affiliate_code": "x" * 65}, "/affiliate_code"),
        ({"affiliate_code": 7}, "/affiliate_code"),
        ({"credit": 17.01}, "/credit"),
        ({"credit": -1}, "/credit"),
        ({"credit": 0.001}, "/credit"),
        ({"credit": "5"}, "/credit"),
        ({"expected_total": 17}, "/expected_total"),
        ({"client_ip": ""}, "/client_ip"),
        ({"client_ip": "203.0.113"}, "/client_ip"),
        ({"client_ip": "203.0.113.7:443"}, "/client_ip"),
        ({"client_ip": "203.0.113.0/24"}, "/client_ip"),
        ({"client_ip": "fe80::1%eth0"}, "/client_ip"),
        ({"client_ip": "unknown"}, "/client_ip"),
        ({"client_ip": 3405803783}, "/client_ip"),
    ],
)
async def test_what_does_not_fit_is_refused_and_leaves_nothing(shop, ann, change, pointer):
    await shop.product("gone", active=False)
    path = (ORDERS, INVOICES)[len(pointer) % 2]
    reply = await sell(shop, path, mugs(customer_id=ann) | change)
    assert (reply.status, reply.code) == (422, "invalid")
    assert [flaw["pointer"] for flaw in reply.json["errors"]] == [pointer]
    assert await made(shop) == (0, 0, 0, 0)


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b'{"customer_id": "cus_1"', b'{"customer_id": {}}'])
async def test_what_is_no_sale_is_refused(shop, raw):
    reply = await shop.client.post(ORDERS, raw=raw, key="k")
    assert reply.status in {400, 422}
    assert await made(shop) == (0, 0, 0, 0)


@BOTH
async def test_a_blocked_buyer_is_refused_as_at_checkout(shop, ann, path):
    shop.decision = Decision.BLOCK
    async with shop.answering():
        reply = await sell(shop, path, mugs(customer_id=ann, credit=5), key="k")
    assert (reply.status, reply.code) == (409, "order_refused")
    assert reply.json["errors"][0]["message"] == shop.of(CartBuyerNamed)[0].screening_id
    assert (await sell(shop, path, mugs(customer_id=ann, credit=5), key="k")).body == reply.body
    assert await shop.asked_still() == []


@BOTH
async def test_an_order_under_review_is_202(shop, ann, path):
    shop.decision = Decision.REVIEW
    async with shop.answering():
        reply = await sell(shop, path, mugs(customer_id=ann))
    assert (reply.status, reply.data["status"]) == (202, "PROCESSING")
    assert (await shop.client.get(reply.headers["location"])).data["status"] == "UNDER_REVIEW"


async def test_credit_pays_what_there_is_of_it(shop, ann):
    shop.credit = 1699
    async with shop.answering():
        refused = await sell(shop, ORDERS, mugs(customer_id=ann, credit=17))
        assert (refused.status, refused.code) == (409, "insufficient_credit")
        shop.credit = 1700
        order = (await sell(shop, ORDERS, mugs(customer_id=ann, credit=17))).data
    assert (order["status"], order["due"], order["invoice_number"]) == ("COMPLETED", 0, 1)
    assert shop.of(HoldRequested)[-1].customer_id == ann


@BOTH
async def test_what_waits_for_services_that_are_away_goes_on_when_they_are_back(shop, impatient, monkeypatch, path):
    body = mugs(contact={"email": "ann@example.com"})
    reply = await sell(shop, path, body, key="k")
    assert (reply.status, reply.data["status"]) == (202, "PROCESSING")
    assert (await shop.client.get(f"{ORDERS}/{reply.data['order_id']}")).data["status"] == "PLACED"
    seen = (await shop.client.get(reply.headers["location"])).data
    assert (seen["order_id"], seen["invoice_id"]) == (reply.data["order_id"], reply.data["invoice_id"])
    monkeypatch.undo()  # patient again
    async with shop.answering():
        again = await sell(shop, path, body, key="k")
    assert (again.status, again.data["order_id"]) == (201, reply.data["order_id"])
    assert (await sell(shop, path, body, key="k")).body == again.body
    assert len(shop.of(OrderPlaced)) == 1


@BOTH
async def test_one_key_many_times_at_once_is_one_order(shop, ann, path):
    async with shop.answering():
        replies = await asyncio.gather(*(sell(shop, path, mugs(customer_id=ann), key="k") for _ in range(10)))
        other = await sell(shop, path, mugs(customer_id=ann, affiliate_code="other"), key="k")
    assert {(reply.status, reply.body) for reply in replies} == {(201, replies[0].body)}
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    assert (await made(shop))[:2] == (1, 1)


async def test_a_process_that_dies_on_any_statement_leaves_nothing_or_an_order(shop, ann, monkeypatch, impatient):
    body, deaths = mugs(contact={"email": "ann@example.com"}, affiliate_code="creator123"), 0
    while await dies(lambda: sell(shop, INVOICES, body, key="k"), monkeypatch, after=deaths):
        assert await made(shop) in {(0, 0, 0, 0), (1, 1, 1, 1)}
        deaths += 1
    assert deaths > 5
    async with shop.answering():
        assert (await sell(shop, INVOICES, body, key="k")).status == 201
    assert (await made(shop))[:2] == (1, 1)


@BOTH
async def test_a_sale_needs_its_key_and_its_scope_and_is_of_its_store(shop, ann, path, impatient):
    body = mugs(customer_id=ann)
    assert (await shop.client.post(path, body)).code == "idempotency_key_missing"
    for scopes in ({"orders.read", "invoices.read", "carts.write"}, set()):
        assert (await shop.client.as_(merchant(shop.store_id, scopes)).post(path, body, key="k")).status == 403
    visitor = shop.client.as_(storefront(shop.store_id))
    assert (await visitor.post(path, body | {"credit": 1}, key="k")).code == "credit_needs_customer"
    stranger = shop.client.as_(merchant(new_store()))
    assert (await stranger.post(path, body, key="k")).status == 422
    assert await made(shop) == (0, 0, 0, 0)
