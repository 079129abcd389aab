"""Asking for payouts: once, never more than there is, to an address that there can be."""

import asyncio
import collections

import pytest
from dying import dies
from handling import slowly
from payout_desk import (
    ASKED,
    ETHEREUM,
    TRON,
    act,
    ask,
    codes,
    payout,
    shown,
    some,
    told,
)
from serving import merchant

from affiliates import consumers, store
from contracts.affiliates import (
    PayoutRequested,
)


async def test_the_reply_is_the_one_of_the_seed(shop, customer):
    reply = await ask(shop, customer, amount=7)
    assert reply.status == 201
    claim_id = reply.data["claim_id"]
    assert reply.json == {
        "data": {
            "claim_id": claim_id,
            "amount": 7,
            "status": "PENDING",
            "asset": "USDT",
            "address": TRON,
            "network": "tron",
            "note": "Pay out weekly affiliate earnings",
        }
    }
    assert some(await shop.buckets(customer)) == {"available": 18, "requested": 7}
    (event,) = await shop.announced(PayoutRequested)
    assert (event.claim_id, event.amount_minor, event.asset, event.network) == (claim_id, 700, "USDT", "tron")
    assert TRON not in event.body().decode()
    path = f"/dev/v1/customers/{customer}/affiliate/claims/{claim_id}"
    assert reply.data.items() <= (await shop.client.get(path)).data.items()


async def test_what_is_written_by_hand_is_put_in_form(shop, customer):
    body = {"amount": 7.5, "asset": " Usdt ", "address": f" {TRON}\n", "network": "TRON"}
    path = f"/dev/v1/customers/{customer}/affiliate/payout-requests"
    reply = await shop.client.post(path, body, key="k")
    expected = {"amount": 7.5, "asset": "USDT", "address": TRON, "network": "tron", "note": None}
    assert expected.items() <= reply.data.items()


async def test_an_address_in_capitals_is_shown_as_it_was_given_and_is_the_same_address(shop, customer):
    address = "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4"
    for each in (address, address.lower()):
        reply = await ask(shop, customer, asset="btc", network="bitcoin", address=each)
        assert reply.data["address"] == each
    (row,) = await shop.rows("SELECT key FROM payout_address WHERE store_id = $1", shop.store_id)
    assert row["key"] == address.lower()


async def test_an_address_of_ethereums_kind_is_one_persons_on_all_such_networks(shop, customer):
    """Who holds its key holds it everywhere: it does not rest again, and its two affiliates buy from themselves."""
    await shop.program(cooling_days=3)
    buyer = await shop.enrol("buyer")
    await shop.order(base=25_000, code="buyer")
    for asset, network in (("USDT", "ethereum"), ("USDT", "polygon"), ("ETH", "base")):
        claim_id = await payout(shop, customer, amount=1, asset=asset, network=network, address=ETHEREUM)
        assert (await act(shop, claim_id, "approve")).status == 200
    claim_id = await payout(shop, buyer, amount=1, asset="AVAX", network="avalanche", address=ETHEREUM.lower())
    assert (await shown(shop, claim_id))["address_shared_with"] == 1
    order = await shop.order(code="creator123", customer_id=buyer)
    (row,) = await shop.rows("SELECT state, reason FROM commission WHERE order_id = $1", order.order_id)
    assert tuple(row) == ("declined", "own_purchase")


@pytest.mark.parametrize(
    ("more", "flaws"),
    [
        ({"address": "TQ2nBylQp1n7hT8t9r3V7A4C6X9K1M2P3Q"}, [("/address", "address_invalid")]),
        ({"address": ""}, [("/address", "address_invalid")]),
        ({"asset": "gold"}, [("/asset", "asset_unknown")]),
        ({"network": "trc20"}, [("/network", "network_unknown")]),
        ({"asset": "BTC"}, [("/asset", "asset_not_on_network")]),
        ({"asset": "USDC"}, [("/asset", "asset_not_on_network")]),
        ({"amount": 0}, [("/amount", "amount_not_positive")]),
        ({"amount": -7}, [("/amount", "amount_not_positive")]),
        ({"amount": 0.001}, [("/amount", "amount_precision")]),
        ({"amount": 10**13}, [("/amount", "amount_range")]),
        ({"note": "x" * 501}, [("/note", "string_too_long")]),
        ({"address": None}, [("/address", "string_type")]),
        ({"state": "PAID"}, [("/state", "extra_forbidden")]),
    ],
)
async def test_a_request_that_is_not_in_order_changes_nothing(shop, customer, more, flaws):
    reply = await ask(shop, customer, **more)
    assert (reply.status, reply.code, codes(reply)) == (422, "invalid", flaws)
    assert some(await shop.buckets(customer)) == {"available": 25}
    assert await told(shop) == []
    assert await shop.rows("SELECT FROM payout_address WHERE store_id = $1", shop.store_id) == []


async def test_the_program_says_what_it_pays_in_and_how_much_at_least(shop, customer):
    await shop.program(payout_methods=[{"asset": "TRX", "network": "tron"}], minimum_payout=8)
    reply = await ask(shop, customer)
    assert codes(reply) == [("/asset", "method_not_accepted")]
    reply = await ask(shop, customer, asset="trx")
    assert (reply.status, reply.code, reply.json["detail"]) == (409, "below_minimum_payout", "the least is 8 EUR")
    assert (await ask(shop, customer, asset="trx", amount=8)).status == 201


async def test_nobody_asks_for_more_than_is_available(shop, customer):
    assert (await ask(shop, customer, amount=25.01)).code == "insufficient_balance"
    assert (await ask(shop, customer, amount=25)).status == 201
    assert (await ask(shop, customer, amount=0.01)).code == "insufficient_balance"


async def test_only_an_active_affiliate_asks(shop, customer):
    await shop.step(customer, "suspend")
    assert (await ask(shop, customer)).code == "not_active"
    assert (await ask(shop, await shop.customer())).status == 404


async def test_asking_needs_a_key_and_the_scope_of_customers(shop, customer):
    path = f"/dev/v1/customers/{customer}/affiliate/payout-requests"
    assert (await shop.client.post(path, ASKED)).code == "idempotency_key_missing"
    for scope, status in (("customers.read", 403), ("affiliates.write", 403), ("customers.write", 201)):
        client = shop.client.as_(merchant(shop.store_id, [scope]))
        assert (await client.post(path, ASKED, key="k")).status == status


async def test_one_key_fifty_times_at_once_is_one_payout(shop, customer):
    heard = await asyncio.gather(*(ask(shop, customer, key="k") for _ in range(50)))
    assert {(reply.status, reply.body) for reply in heard} == {(201, heard[0].body)}
    assert some(await shop.buckets(customer)) == {"available": 18, "requested": 7}
    assert await told(shop) == ["claim.payout_requested"]


async def test_fifty_payouts_and_conversions_at_once_never_take_more_than_is_available(shop, customer, monkeypatch):
    monkeypatch.setattr(store, "lock_affiliate_of", slowly(store.lock_affiliate_of))
    monkeypatch.setattr(consumers.replies.Waiters.wait, "__defaults__", (0.05,))
    calls = [ask(shop, customer, amount=2) if n % 2 else shop.convert(customer, 2) for n in range(50)]
    heard = collections.Counter(reply.status for reply in await asyncio.gather(*calls))
    assert heard[201] + heard[202] == 12
    assert heard[409] == 38
    assert some(await shop.buckets(customer)) == {"available": 1, "requested": 24}


async def test_a_request_that_dies_on_any_statement_leaves_nothing(shop, customer, monkeypatch):
    lived = 0
    while await dies(lambda: ask(shop, customer, key="k"), monkeypatch, after=lived, once_done=True):
        assert some(await shop.buckets(customer)) == {"available": 25}
        assert await shop.rows("SELECT FROM payout_address WHERE store_id = $1", shop.store_id) == []
        lived += 1
    assert lived > 5
    assert await told(shop) == ["claim.payout_requested"]
