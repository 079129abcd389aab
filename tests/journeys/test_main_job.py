"""The main job at the gateway, and what its callers are promised."""

import asyncio
import base64
import contextlib
import json
import re
import secrets

import asyncpg
import pytest
from joserfc.jwk import OKPKey
from journey import SERVICES
from patience import until

from chassis.tokens import Caller, Signer
from contracts.ids import SUFFIX

pytestmark = pytest.mark.journeys


async def test_the_main_job_runs_end_to_end(world):
    from regulars.demo import Story  # noqa: PLC0415

    await Story(world.shop).tell()
    await world.settle()
    await world.verify()


async def test_a_customer_just_made_can_be_credited_at_once(world):
    """200 times: made over customers, credited over the wallet, which learns of them by event. No 404."""

    async def once(number: int) -> int:
        made = await world.shop.add_customer(f"fresh-{secrets.token_hex(6)}@example.com", f"Fresh {number}")
        reply = await world.shop.call("POST", f"/dev/v1/customers/{made['id']}/wallet/adjustments", {"amount": 1})
        return reply.status

    statuses = []
    for _ in range(10):
        statuses += await asyncio.gather(*(once(number) for number in range(20)))
    assert statuses == [201] * 200


async def test_one_key_fifty_times_at_once_converts_once(world):
    customer, available = await world.affiliate_with()
    replies = await asyncio.gather(*(world.convert(customer, 25, key="button-1") for _ in range(50)))
    assert {reply.status for reply in replies} == {200}
    assert len({str(reply.json) for reply in replies}) == 1
    balances = (await world.shop.affiliate(customer))["balances"]
    assert balances == {"available": available - 25, "requested": 0, "converted": 25}
    assert (await world.shop.wallet(customer))["balance"] == 25
    other_body = await world.shop.convert(customer, 26, key="button-1")
    assert (other_body.status, other_body.json.get("code")) == (422, "idempotency_key_reused")


async def test_fifty_different_keys_never_take_more_than_there_is(world):
    customer, available = await world.affiliate_with(price=1000)
    replies = await asyncio.gather(*(world.convert(customer, available / 10) for _ in range(50)))
    assert sorted(reply.status for reply in replies) == [200] * 10 + [409] * 40
    assert (await world.shop.wallet(customer))["balance"] == available


async def test_the_replies_are_those_of_the_feature_rows(world):
    customer, _ = await world.affiliate_with()
    reply = await world.convert(customer, 10)
    assert list(reply.data) == ["claim_id", "amount", "status", "wallet_transaction_id", "new_balance"]
    assert (reply.data["amount"], reply.data["status"], reply.data["new_balance"]) == (10, "COMPLETED", 10)
    summary = await world.shop.affiliate(customer)
    assert list(summary)[:4] == ["customer_id", "state", "link", "balances"]
    assert list(summary["link"]) == ["code", "url", "total_clicks", "total_sales", "total_revenue"]
    assert list(summary["balances"]) == ["available", "requested", "converted"]
    assert summary["link"]["url"].endswith(f"?ref={summary['link']['code']}")


async def test_an_affiliates_links_end_at_a_page_of_the_store(world):
    customer, _ = await world.affiliate_with()
    link = (await world.shop.affiliate(customer))["link"]
    for followed in (link["url"], f"{world.stack.gateway_url}/r/demo/{link['code']}"):
        async with world.session.get(followed) as page:
            assert (page.status, str(page.url)) == (200, link["url"])
            assert link["code"] in await page.text()


async def test_another_stores_key_gets_404_on_every_id(world):
    customer, _ = await world.affiliate_with()
    claim = (await world.shop.convert(customer, 5)).data["claim_id"]
    order = await world.buy("sku-1000000")
    rule = (
        await world.shop.call(
            "POST", "/dev/v1/blocks", {"type": "email", "value": f"{secrets.token_hex(4)}@bad.example"}
        )
    ).data
    cart = await world.shop.open_cart("sku-1000000", 1)
    paths = [
        f"/dev/v1/customers/{customer}",
        f"/dev/v1/customers/{customer}/wallet",
        f"/dev/v1/customers/{customer}/wallet/transactions",
        f"/dev/v1/customers/{customer}/affiliate",
        f"/dev/v1/customers/{customer}/affiliate/claims/{claim}",
        f"/dev/v1/orders/{order['order_id']}",
        f"/dev/v1/invoices/{order['invoice_id']}",
        f"/dev/v1/blocks/{rule['id']}",
        f"/storefront/v1/carts/{cart['id']}",
        f"/storefront/v1/orders/{order['order_id']}",
    ]
    stranger = world.other_store()
    for path in paths:
        assert (await world.shop.call("GET", path)).status == 200, path
    # At once: whoever was never heard of is waited for, a little.
    others = await asyncio.gather(*(stranger.call("GET", path) for path in paths))
    for path, other in zip(paths, others, strict=True):
        assert (other.status, other.json.get("code")) == (404, "not_found"), path
    posts = {
        f"/dev/v1/customers/{customer}/wallet/adjustments": {"amount": 1},
        f"/dev/v1/customers/{customer}/affiliate/convert-to-balance": {"amount": 1},
        f"/storefront/v1/carts/{cart['id']}/checkout": {"expected_total": 1},
        f"/storefront/v1/orders/{order['order_id']}/payment-sessions": {"provider": "sandbox"},
    }
    await world.settle()
    before = await world.snapshot("wallet", "affiliates", "carts")
    replies = await asyncio.gather(*(stranger.call("POST", path, body) for path, body in posts.items()))
    assert dict.fromkeys(posts, 404) == dict(zip(posts, (reply.status for reply in replies), strict=True))
    assert await world.snapshot("wallet", "affiliates", "carts") == before


async def test_a_connection_with_no_store_set_reads_nothing(world):
    """Of any table that has rows of stores in it."""
    await world.affiliate_with()
    filled = 0
    for service in SERVICES:
        api = await asyncpg.connect(world.stack.database_url(service, "api"))
        try:
            for (table,) in await world.sql(service, TENANT_TABLES):
                if await world.sql(service, f'SELECT FROM "{table}" LIMIT 1'):
                    filled += 1
                    with contextlib.suppress(asyncpg.InsufficientPrivilegeError):
                        assert await api.fetch(f'SELECT FROM "{table}" LIMIT 1') == [], f"{service}.{table}"
        finally:
            await api.close()
    assert filled > len(SERVICES)


TENANT_TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relrowsecurity"

OPEN_DOORS = {
    "customers": "/dev/v1/customers",
    "wallet": "/dev/v1/wallet/transactions",
    "affiliates": "/dev/v1/affiliates/program",
    "fraud-block": "/dev/v1/blocks",
    "carts": "/dev/v1/products",
}


@pytest.mark.parametrize("service", OPEN_DOORS)
async def test_a_request_straight_to_a_service_without_a_gateway_token_gets_401(world, service):
    strangers = ("", world.stack.api_key, "e30.e30.e30", *forged(world, service))
    for headers in ({}, *({"authorization": f"Bearer {token}"} for token in strangers)):
        async with world.session.get(world.stack.url(service) + OPEN_DOORS[service], headers=headers) as reply:
            body = await reply.json(content_type=None)
        assert (reply.status, body["code"]) == (401, "unauthenticated")


def forged(world, service: str) -> list[str]:
    """What the gateway would say, signed by another key of the same name, and not signed at all; and its true word to another."""
    environment = world.stack.environment("gateway")
    ours = json.loads(environment["REGULARS_TOKEN_PRIVATE_JWK"])
    theirs = OKPKey.generate_key("Ed25519", {"kid": ours["kid"]}, auto_kid=False).as_dict(private=True)
    merchant = Caller(world.stack.store_id, "merchant", "key", frozenset({"customers.read", "fraud.read"}))
    true, false = (Signer(json.dumps(key)) for key in (ours, theirs))
    _, claims, _ = false.sign(merchant, service).split(".")
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    return [false.sign(merchant, service), f"{unsigned}.{claims}.", true.sign(merchant, "another")]


async def test_a_blocked_buyer_sees_one_neutral_refusal(world):
    email = f"{secrets.token_hex(4)}@blocked.example"
    await world.shop.call("POST", "/dev/v1/blocks", {"type": "email", "value": email, "reason": "fraud"})
    await world.affiliate_with()
    cart = await world.shop.open_cart("sku-1000000", 1)
    await world.shop.give_contact(cart["id"], email, "Mallory")
    refused = await world.check_out(cart)
    assert (refused.status, refused.json.get("code")) == (409, "order_refused")
    assert not any(word in said_in(refused) for word in ("ban", "block", "fraud", email))


def said_in(refusal) -> str:
    """All that a refusal says but the ids in it: any letters come together in those."""
    return re.sub(SUFFIX, "", str(refusal.json)).lower()


@pytest.mark.parametrize("path", ["/dev/v1/orders", "/dev/v1/invoices"])
async def test_a_blocked_buyer_is_not_sold_to_by_their_id_either(world, path):
    """A merchant's server names them: customers knows their e-mail, the server their address."""
    domain, address = f"{secrets.token_hex(4)}.example", f"2001:db8::{secrets.token_hex(2)}"
    blocks = {"email": f"mallory@{domain}", "email_domain": f"sub.{domain}", "ip": address}
    for rule_type, value in blocks.items():
        rule = {"type": rule_type, "value": value, "reason": "fraud"}
        assert (await world.shop.call("POST", "/dev/v1/blocks", rule)).status == 201
    await world.affiliate_with(orders=0)

    async def sell(email, **more):
        buyer = (await world.shop.add_customer(email, "Mallory"))["id"]
        sale = {"items": [{"sku": "sku-1000000"}], "customer_id": buyer}
        return await world.shop.call("POST", path, sale | more)

    for refused in (
        await sell(f"Mallory@{domain}"),
        await sell(f"eve@sub.{domain}"),
        await sell(f"eve@{domain}", client_ip=address.upper()),
    ):
        assert (refused.status, refused.json.get("code")) == (409, "order_refused")
        assert not any(word in said_in(refused) for word in ("ban", "block", "fraud", domain))
    assert (await sell(f"bo@{domain}", client_ip="2001:db8:1::1")).status == 201


async def test_credit_pays_a_part_and_the_provider_the_rest(world):
    customer, _ = await world.affiliate_with()
    known = await world.shop.customer(customer)
    await world.convert(customer, 30)
    await world.shop.add_product("sku-100", "A small thing", 100)
    cart = await world.shop.open_cart("sku-100", 1)
    await world.shop.give_contact(cart["id"], known["email"], "Ada")
    order = (await world.check_out(cart, credit=30)).data
    assert (order["credit"], order["due"]) == (30, 70)
    assert (await world.shop.wallet(customer))["held"] == 30
    await world.shop.pay(order["order_id"])
    await until(lambda: world.shop.order(order["order_id"]), lambda it: it["status"] == "COMPLETED")
    assert (await world.shop.wallet(customer))["balance"] == 0


async def test_an_invoice_with_a_code_earns_when_it_is_paid(world):
    """A merchant's server draws it up, for a customer made a moment ago (features A3, A11)."""
    seller, _ = await world.affiliate_with(orders=0)
    code = (await world.shop.affiliate(seller))["link"]["code"]
    buyer = (await world.shop.add_customer(f"{secrets.token_hex(5)}@example.com", "Bo"))["id"]
    sale = {"items": [{"sku": "sku-1000000"}], "customer_id": buyer, "affiliate_code": code}
    drawn_up = await world.shop.call("POST", "/dev/v1/invoices", sale)
    invoice = drawn_up.data
    assert (drawn_up.status, invoice["due"], invoice["affiliate_code"]) == (201, 1_000_000, code)
    path = f"/dev/v1/invoices/{invoice['invoice_id']}"
    session = (await world.shop.call("POST", f"{path}/payment-sessions", {"provider": "sandbox"})).data
    page = "/" + session["url"].split("/", 3)[3]
    assert (await world.shop.call("POST", page, {"outcome": "approve"}, merchant=False)).status == 200
    await until(lambda: world.shop.affiliate(seller), lambda it: it["balances"]["available"] == 100_000)
    paid = (await world.shop.call("GET", path)).data
    assert (paid["status"], paid["affiliate_code"]) == ("COMPLETED", code)
    visitor = await world.shop.call("POST", "/dev/v1/orders", sale, merchant=False)
    assert (visitor.status, visitor.json["code"]) == (403, "insufficient_scope")


async def test_more_credit_than_there_is_is_refused_and_the_cart_can_be_used_again(world):
    customer, _ = await world.affiliate_with()
    known = await world.shop.customer(customer)
    cart = await world.shop.open_cart("sku-1000000", 1)
    await world.shop.give_contact(cart["id"], known["email"], "Ada")
    refused = await world.check_out(cart, credit=50)
    assert (refused.status, refused.json.get("code")) == (409, "insufficient_credit")
    assert (await world.check_out(cart)).status in {200, 201}
