"""Carts and the catalogue, as a hostile or clumsy caller would use them."""

import asyncio
import base64
import json

import pytest
from serving import merchant, new_store

from chassis import ids
from contracts.carts import CartContactGiven
from contracts.ids import CART, PRODUCT

CARTS = "/storefront/v1/carts"


async def test_a_product_is_listed_newest_first_and_only_if_it_is_for_sale_in_the_storefront(shop):
    await shop.product("tea", 4)
    await shop.product("old", 1, active=False)
    first = await shop.client.get("/dev/v1/products?limit=2")
    assert [product["sku"] for product in first.data] == ["old", "tea"]
    rest = await shop.client.get(f"/dev/v1/products?limit=2&cursor={first.json['next_cursor']}")
    assert [product["sku"] for product in rest.data] == ["mug"]
    assert [product["sku"] for product in (await shop.client.get("/storefront/v1/products")).data] == ["tea", "mug"]
    other_filter = await shop.client.get(f"/dev/v1/products?active=true&cursor={first.json['next_cursor']}")
    assert (other_filter.status, other_filter.code) == (400, "invalid_cursor")


async def test_a_sku_is_taken_once_in_a_store_whoever_is_first(shop, new_shop):
    body = {"sku": "new", "name": "New", "price": 1}
    replies = await asyncio.gather(*(shop.client.post("/dev/v1/products", body) for _ in range(8)))
    assert sorted(reply.status for reply in replies) == [201] + [409] * 7
    assert {reply.code for reply in replies if reply.status == 409} == {"sku_taken"}
    assert (await (await new_shop()).client.post("/dev/v1/products", body)).status == 201


@pytest.mark.parametrize(
    "fields",
    [
        {"price": -1},
        {"price": 0.005},
        {"price": "7"},
        {"price": 100_000_001},
        {"price": 10**40},
        {"sku": ""},
        {"sku": "  "},
        {"sku": "a\nb"},
        {"name": "x" * 201},
        {"name": None},
        {"active": "maybe"},
    ],
)
async def test_a_product_that_does_not_fit_is_refused(shop, fields):
    reply = await shop.client.post("/dev/v1/products", {"sku": "new", "name": "New", "price": 1} | fields)
    assert (reply.status, reply.code) == (422, "invalid")
    assert reply.json["errors"][0]["pointer"] == "/" + next(iter(fields))


@pytest.mark.parametrize("price", [b"1e400", b"NaN", b"-Infinity", b"1e1"])
async def test_a_number_nobody_writes_is_no_price(shop, price):
    body = b'{"sku": "new", "name": "New", "price": %s}' % price
    assert (await shop.client.post("/dev/v1/products", raw=body)).status in {400, 422}


async def test_yen_have_no_decimals(new_shop):
    shop = await new_shop("JPY", price=900)
    await shop.product("tea", 300)
    assert (await shop.cart({"sku": "tea", "quantity": 3}, email=None))["total"] == 900
    assert (await shop.client.post("/dev/v1/products", {"sku": "x", "name": "x", "price": 1.5})).status == 422


async def test_a_cart_adds_up(shop):
    tea = await shop.product("tea", 4)
    cart = await shop.cart({"sku": "mug", "quantity": 2}, {"product_id": tea["id"]}, {"sku": "mug"}, email=None)
    assert [(item["sku"], item["quantity"], item["amount"]) for item in cart["items"]] == [
        ("mug", 3, 25.5),
        ("tea", 1, 4),
    ]
    assert (cart["total"], cart["currency"], cart["status"]) == (29.5, "EUR", "open")
    path = f"{CARTS}/{cart['id']}/items"
    assert (await shop.client.post(path, {"sku": "tea", "quantity": 4})).data["total"] == 45.5
    assert (await shop.client.put(f"{path}/{tea['id']}", {"quantity": 1})).data["total"] == 29.5
    assert (await shop.client.delete(f"{path}/{tea['id']}")).data["total"] == 25.5
    assert (await shop.client.put(f"{path}/{tea['id']}", {"quantity": 1})).status == 404
    assert (await shop.client.get(f"{CARTS}/{cart['id']}")).data["total"] == 25.5


@pytest.mark.parametrize(
    ("item", "flaw"),
    [
        ({"sku": "mug", "quantity": 0}, None),
        ({"sku": "mug", "quantity": -1}, None),
        ({"sku": "mug", "quantity": 1000}, None),
        ({"sku": "mug", "quantity": 1.5}, None),
        ({"sku": "mug", "quantity": "2"}, None),
        ({"sku": "mug", "quantity": True}, None),
        ({"sku": "mug", "quantity": None}, None),
        ({"quantity": 1}, None),
        ({"sku": "mug", "product_id": ids.new(PRODUCT)}, None),
        ({"product_id": "mug"}, None),
        ({"sku": ["mug"]}, None),
        ({"sku": "unknown"}, "product_unknown"),
        ({"product_id": ids.new(PRODUCT)}, "product_unknown"),
        ({"sku": "gone"}, "product_unavailable"),
    ],
)
async def test_an_item_that_does_not_fit_is_refused_by_name(shop, item, flaw):
    await shop.product("gone", active=False)
    reply = await shop.client.post(CARTS, {"items": [{"sku": "mug"}, item]})
    assert (reply.status, reply.code) == (422, "invalid")
    (error,) = reply.json["errors"]
    assert error["pointer"].startswith("/items/1")
    assert flaw in {None, error["code"]}
    assert await shop.rows("SELECT 1 FROM cart WHERE store_id = $1", shop.store_id) == []


async def test_a_quantity_no_json_number_holds_is_refused(shop):
    for number in (b"1e400", b"9" * 5000, b"-0", b"1e0"):
        reply = await shop.client.post(CARTS, raw=b'{"items": [{"sku": "mug", "quantity": %s}]}' % number)
        assert (number, reply.status in {400, 422}) == (number, True)


async def test_a_cart_has_room_for_so_much_and_no_more(shop):
    cart = await shop.cart({"sku": "mug", "quantity": 999}, email=None)
    reply = await shop.client.post(f"{CARTS}/{cart['id']}/items", {"sku": "mug"})
    assert (reply.status, reply.json["errors"][0]["code"]) == (422, "quantity_range")
    for number in range(50):
        await shop.product(f"p{number}", 1)
    fifty = [{"sku": f"p{number}"} for number in range(50)]
    full = await shop.cart(*fifty, email=None)
    reply = await shop.client.post(f"{CARTS}/{full['id']}/items", {"sku": "mug"})
    assert (reply.status, reply.json["errors"][0]["code"]) == (422, "too_many_items")
    assert (await shop.client.post(CARTS, {"items": [*fifty, {"sku": "mug"}]})).status == 422


async def test_two_hands_in_one_cart_lose_nothing(shop):
    cart = await shop.cart({"sku": "mug"}, email=None)
    await asyncio.gather(*(shop.client.post(f"{CARTS}/{cart['id']}/items", {"sku": "mug"}) for _ in range(20)))
    assert (await shop.client.get(f"{CARTS}/{cart['id']}")).data["items"][0]["quantity"] == 21


async def test_another_stores_cart_does_not_exist(shop, new_shop):
    other = await new_shop()
    cart, product = await other.cart(), (await other.client.get("/dev/v1/products")).data[0]
    path = f"{CARTS}/{cart['id']}"
    replies = [
        await shop.client.get(path),
        await shop.client.post(f"{path}/items", {"sku": "mug"}),
        await shop.client.put(f"{path}/items/{product['id']}", {"quantity": 1}),
        await shop.client.delete(f"{path}/items/{product['id']}"),
        await shop.client.put(f"{path}/contact", {"email": "eve@example.com"}),
        await shop.client.post(f"{path}/checkout", {"expected_total": 17}, key="k"),
    ]
    assert [(reply.status, reply.code) for reply in replies] == [(404, "not_found")] * 6
    foreign = await shop.client.post(CARTS, {"items": [{"product_id": product["id"]}]})
    assert foreign.json["errors"][0]["code"] == "product_unknown"


@pytest.mark.parametrize(
    "name", ["x", "cart_", ids.new(CART), ids.new(PRODUCT), "%00", "cart_%00", "a" * 5000, "%F0%9F%92%A9"]
)
async def test_what_is_no_cart_is_a_404(shop, name):
    assert (await shop.client.get(f"{CARTS}/{name}")).status == 404
    assert (await shop.client.put(f"{CARTS}/{name}/contact", {"email": "ann@example.com"})).status == 404
    assert (await shop.client.post(f"{CARTS}/{name}/checkout", {"expected_total": 1}, key="k")).status == 404


async def test_without_a_scope_nothing_works(shop):
    nobody = shop.client.as_(merchant(shop.store_id, ()))
    assert (await nobody.get(f"{CARTS}/{ids.new(CART)}")).status == 403
    assert (await nobody.get("/dev/v1/products")).status == 403
    assert (await shop.client.as_(None).get("/dev/v1/products")).status == 401
    assert (await shop.client.as_(merchant(new_store())).get("/dev/v1/products")).status == 503


@pytest.mark.parametrize(
    "fields",
    [
        {"email": "nobody"},
        {"email": "a@b"},
        {"email": "a b@example.com"},
        {"email": "ann@example.com\r\nBcc: all@example.com"},
        {"email": "x" * 300 + "@example.com"},
        {"email": None},
        {"name": "x" * 300},
        {"name": "Ann\u0007"},
        {"phone": "call me"},
        {"phone": "1" * 40},
        {"country": "Germany"},
        {"country": "D1"},
    ],
)
async def test_a_contact_that_does_not_fit_is_refused_and_not_repeated(shop, fields):
    cart = await shop.cart(email=None)
    body = {"email": "ann@example.com"} | fields
    reply = await shop.client.put(f"{CARTS}/{cart['id']}/contact", body)
    assert (reply.status, reply.code) == (422, "invalid")
    assert reply.json["errors"][0]["pointer"] == "/" + next(iter(fields))
    assert "nobody" not in reply.body.decode()
    assert await shop.drain() == []


@pytest.mark.parametrize("escape", [b"\\u0000", b"\\ud800", b"\x00", b"\xff"])
async def test_a_name_no_database_can_store_is_refused(shop, escape):
    cart = await shop.cart(email=None)
    body = b'{"email": "ann@example.com", "name": "Ann%s"}' % escape
    assert (await shop.client.put(f"{CARTS}/{cart['id']}/contact", raw=body)).status in {400, 422}


async def test_a_contact_is_kept_asked_about_and_answered(shop):
    cart = await shop.contact(
        await shop.cart(email=None), " ann@EXAMPLE.com ", name="Ann", phone="+49 30 123456", country="de"
    )
    assert cart["contact"] == {"email": "ann@example.com", "name": "Ann", "phone": "+49 30 123456", "country": "DE"}
    assert (cart["customer_id"], await shop.asked_still()) == (None, ["cart.contact_given"])
    await shop.rounds()
    assert (await shop.client.get(f"{CARTS}/{cart['id']}")).data["customer_id"] == shop.people["ann@example.com"]
    assert await shop.asked_still() == []


async def test_the_same_contact_again_is_asked_once(shop):
    cart = await shop.cart(email="ann@example.com")
    await shop.contact(cart, "ann@example.com")
    await shop.drain()
    assert len(shop.of(CartContactGiven)) == 1


async def test_the_answer_to_an_earlier_contact_is_not_taken_for_the_later_one(shop, impatient):
    cart = await shop.cart(email="ann@example.com")
    cart = await shop.contact(cart, "bob@example.com")
    await shop.drain()
    ann, bob = (shop.answers(asked)[0] for asked in shop.of(CartContactGiven))
    path = f"{CARTS}/{cart['id']}"
    await shop.hear(ann)
    assert (await shop.client.get(path)).data["customer_id"] is None
    checkout = await shop.check_out(cart)
    await shop.hear(ann)
    assert (await shop.order(checkout.data))["customer_id"] is None
    await shop.hear(bob)
    await shop.hear(ann)
    assert (await shop.order(checkout.data))["customer_id"] == shop.people["bob@example.com"]
    assert await shop.asked_still() == ["screening.requested"]


async def test_a_new_contact_is_a_new_person_until_answered(shop):
    cart = await shop.cart(email="ann@example.com")
    await shop.rounds()
    assert (await shop.contact(cart, "bob@example.com"))["customer_id"] is None
    await shop.rounds()
    assert (await shop.client.get(f"{CARTS}/{cart['id']}")).data["customer_id"] == shop.people["bob@example.com"]


@pytest.mark.parametrize(
    "keys", [[], ["\u0000"], ["\ud800"], ["x"], [1], [True], ["a", "b"], ["cus_01hf3z7k8mfq5r1v0000000000"]]
)
async def test_a_cursor_that_a_caller_made_up_is_refused(shop, keys):
    for number in range(2):
        await shop.product(sku=f"p{number}")
    cursor = (await shop.client.get("/dev/v1/products?limit=1")).json["next_cursor"]
    mark, _ = json.loads(base64.urlsafe_b64decode(cursor))
    forged = base64.urlsafe_b64encode(json.dumps([mark, keys]).encode()).decode()
    reply = await shop.client.get(f"/dev/v1/products?cursor={forged}")
    assert (reply.status, reply.code) == (400, "invalid_cursor")


async def test_a_misspelt_field_is_refused_not_forgotten(shop):
    reply = await shop.client.post("/storefront/v1/carts", {"item": [], "affiliatecode": "abc"})
    assert (reply.status, {flaw["code"] for flaw in reply.json["errors"]}) == (422, {"extra_forbidden"})
    cart = await shop.cart()
    body = {"expected_total": 17, "credits": 5}
    assert (await shop.client.post(f"/storefront/v1/carts/{cart['id']}/checkout", body, key="k")).status == 422
