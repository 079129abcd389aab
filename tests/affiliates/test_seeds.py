"""The bodies of features A4-A6, field by field as the seeds show them: names, nesting, order, plain numbers, statuses."""

import asyncio
import json

import pytest

from chassis import clock, ids

SUMMARY = """
{
  "data": {
    "customer_id": "cus_123",
    "state": "active",
    "link": {
      "code": "creator123",
      "url": "https://example.test/?ref=creator123",
      "total_clicks": 14,
      "total_sales": 3,
      "total_revenue": 299
    },
    "balances": {
      "available": 25,
      "requested": 0,
      "converted": 0
    }
  }
}
"""
CONVERTED = """
{
  "data": {
    "claim_id": "claim_123",
    "amount": 10,
    "status": "COMPLETED",
    "wallet_transaction_id": "wallet_tx_123",
    "new_balance": 10
  }
}
"""
REQUEST = """
{
  "amount": 7,
  "asset": "usdt",
  "address": "TQ2nBylQp1n7hT8t9r3V7A4C6X9K1M2P3Q",
  "network": "tron",
  "note": "Pay out weekly affiliate earnings"
}
"""
REQUESTED = """
{
  "data": {
    "claim_id": "claim_456",
    "amount": 7,
    "status": "PENDING",
    "asset": "USDT",
    "address": "TQ2nBylQp1n7hT8t9r3V7A4C6X9K1M2P3Q",
    "network": "tron",
    "note": "Pay out weekly affiliate earnings"
  }
}
"""
VALID = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"


@pytest.fixture
async def customer(shop):
    """An affiliate as the seed has one: 14 clicks, 3 sales of 299 together, 25 available."""
    customer_id = await shop.enrol("creator123")
    click = {"code": "creator123", "visitor": "somebody", "bot": False, "at": clock.now().isoformat()}
    batch = {"batch_id": ids.new("batch"), "clicks": [click] * 14}
    assert (await shop.client.post("/internal/v1/clicks", batch)).status == 200
    for base, gross in ((10_000, 10_000), (10_000, 10_000), (5_000, 9_900)):
        await shop.order(base=base, gross_minor=gross)
    return customer_id


def text(body, seed, **ours):
    """What a reply has of the fields of a seed's body, with the seed's value where the id is ours; as text, so that
    order and numbers count."""

    def shown(reply, like):
        if not isinstance(like, dict):
            return reply
        return {name: ours.get(name, shown(its, like[name])) for name, its in reply.items() if name in like}

    return json.dumps(shown(json.loads(body), seed), indent=2)


async def test_the_summary_is_as_the_seed_shows_it(shop, customer):
    reply = await shop.client.get(f"/dev/v1/customers/{customer}/affiliate")
    assert (reply.status, reply.data["customer_id"]) == (200, customer)
    assert text(reply.body, json.loads(SUMMARY), customer_id="cus_123") == SUMMARY.strip()
    assert set(reply.data) - set(json.loads(SUMMARY)["data"]) == {"pending", "paid", "debt", "commissions", "claims"}


async def test_a_conversion_is_as_the_seed_shows_it(shop, customer):
    reply, (asked,) = await asyncio.gather(
        shop.convert(customer, 10, key="affiliate-convert-001"),
        shop.answer(lambda request: shop.credited(request, balance=1000)),
    )
    assert (reply.status, reply.data["claim_id"]) == (200, asked.claim_id)
    assert reply.data["wallet_transaction_id"].startswith("wallet_tx_")
    seed = json.loads(CONVERTED)
    assert text(reply.body, seed, claim_id="claim_123", wallet_transaction_id="wallet_tx_123") == CONVERTED.strip()
    assert set(reply.data) == set(seed["data"])


async def test_a_payout_request_is_as_the_seed_shows_it(shop, customer):
    path, body = f"/dev/v1/customers/{customer}/affiliate/payout-requests", json.loads(REQUEST)
    reply = await shop.client.post(path, body | {"address": VALID}, key="affiliate-payout-001")
    assert (reply.status, reply.data["claim_id"][:6], reply.data["address"]) == (201, "claim_", VALID)
    seed = json.loads(REQUESTED)
    assert text(reply.body, seed, claim_id="claim_456", address=body["address"]) == REQUESTED.strip()
    assert set(reply.data) == set(seed["data"])


async def test_the_seeds_own_address_is_none(shop, customer):
    path = f"/dev/v1/customers/{customer}/affiliate/payout-requests"
    reply = await shop.client.post(path, raw=REQUEST.encode(), key="affiliate-payout-001")
    assert (reply.status, reply.code) == (422, "invalid")
    assert [(flaw["pointer"], flaw["code"]) for flaw in reply.json["errors"]] == [("/address", "address_invalid")]
    assert (await shop.buckets(customer))["available"] == 25
