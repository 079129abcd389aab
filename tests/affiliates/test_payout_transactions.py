"""By which transaction a payout was sent: one of its network, and one payout's unless staff say that it is shared."""

import asyncio

import pytest
from handling import slowly
from payout_desk import HASH, act, codes, payout, shown

from affiliates import store_payouts


@pytest.mark.parametrize("given", ["", "cd" * 31, f"0x{HASH}", "z" * 64])
async def test_a_transaction_is_one_of_its_network(shop, customer, given):
    claim_id = await payout(shop, customer, "APPROVED")
    reply = await act(shop, claim_id, "sent", {"transaction_hash": given})
    assert codes(reply) == [("/transaction_hash", "transaction_hash_invalid")]
    assert (await shown(shop, claim_id))["status"] == "APPROVED"


async def test_one_transaction_is_one_payout(shop, customer):
    await payout(shop, customer, "SENT", amount=1)
    other = await payout(shop, customer, "APPROVED", amount=1)
    reply = await act(shop, other, "sent", {"transaction_hash": f" {HASH.upper()}"})
    assert (reply.status, reply.code) == (409, "transaction_known")
    assert "shared" in reply.json["detail"]
    assert (await shown(shop, other))["status"] == "APPROVED"


@pytest.mark.parametrize("shared", [True, False])
async def test_the_transaction_of_a_payout_that_failed_is_free_for_another(shop, customer, shared):
    failed = await payout(shop, customer, "APPROVED", amount=1)
    assert (await act(shop, failed, "sent", {"transaction_hash": HASH, "shared": shared})).status == 200
    assert (await act(shop, failed, "fail")).data["transaction_hash"] == HASH
    other = await payout(shop, customer, "SENT", amount=1)
    assert (await shown(shop, other))["transaction_hash"] == HASH
    third = await payout(shop, customer, "APPROVED", amount=1)
    assert (await act(shop, third, "sent")).code == "transaction_known"


@pytest.mark.parametrize("first", [True, False])
async def test_a_transaction_that_staff_share_pays_several(shop, customer, first):
    one, two, three = [await payout(shop, customer, "APPROVED", amount=1) for _ in range(3)]
    transfer = {"transaction_hash": HASH}
    assert (await act(shop, one, "sent", transfer | {"shared": first})).status == 200
    reply = await act(shop, two, "sent", transfer | {"shared": True})
    assert (reply.status, reply.data["transaction_hash"]) == (200, HASH)
    assert (await act(shop, three, "sent", transfer)).code == "transaction_known"
    assert (await act(shop, one, "sent", transfer)).status == 200  # it is done already
    for claim_id, shared in ((one, first), (two, True)):
        assert (await act(shop, claim_id, "confirm")).data["status"] == "CONFIRMED"
        noted = (await shop.client.get(f"/dev/v1/affiliates/activity?subject={claim_id}")).data
        assert [each["detail"]["transaction_shared"] for each in noted] == [shared, shared, False]


@pytest.mark.parametrize("shared", ["yes", 1, None])
async def test_shared_is_said_by_true_or_false(shop, customer, shared):
    claim_id = await payout(shop, customer, "APPROVED")
    assert (await act(shop, claim_id, "sent", {"transaction_hash": HASH, "shared": shared})).status == 422


async def test_one_transaction_is_one_payout_also_of_two_affiliates_at_once(shop, customer, monkeypatch):
    """They have no lock in common but that of the transaction."""
    monkeypatch.setattr(store_payouts, "lock_transaction", slowly(store_payouts.lock_transaction))
    other = await shop.enrol("other")
    await shop.order(base=25_000, code="other")
    payouts = [await payout(shop, each, "APPROVED") for each in (customer, other)]
    heard = await asyncio.gather(*(act(shop, each, "sent") for each in payouts))
    assert sorted(reply.status for reply in heard) == [200, 409]


async def test_a_shared_transaction_is_several_payouts_also_at_once(shop, customer):
    claims = [await payout(shop, customer, "APPROVED", amount=1) for _ in range(3)]
    other = await shop.enrol("other")
    await shop.order(base=25_000, code="other")
    claims += [await payout(shop, other, "APPROVED", amount=1) for _ in range(3)]
    transfer = {"transaction_hash": HASH, "shared": True}
    heard = await asyncio.gather(*(act(shop, each, "sent", transfer) for each in claims))
    assert {reply.status for reply in heard} == {200}


async def test_the_database_refuses_a_transaction_of_two_that_do_not_share_it(shop, customer, monkeypatch):
    """Planted: nobody looks whether it is known."""

    async def unlocked(*_):
        return True

    monkeypatch.setattr(store_payouts, "lock_transaction", unlocked)
    await payout(shop, customer, "SENT", amount=1)
    other = await payout(shop, customer, "APPROVED", amount=1)
    assert (await act(shop, other, "sent")).status == 500
    assert (await shown(shop, other))["status"] == "APPROVED"
