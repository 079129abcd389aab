"""A payout that is settled: into the store balance, by the wallet's word, and once."""

import asyncio

import pytest
from payout_desk import BODIES, act, done, payout, shown, some


async def test_a_payout_is_settled_into_the_store_balance(shop, customer):
    await shop.program(conversion_bonus_percent=10)
    claim_id = await payout(shop, customer, "APPROVED")
    reply, (request,) = await asyncio.gather(act(shop, claim_id, "settle"), shop.answer())
    assert (reply.status, reply.data) == (200, await shown(shop, claim_id))
    assert (request.claim_id, request.amount_minor, request.customer_id) == (claim_id, 700, customer)
    expected = {"type": "payout", "status": "COMPLETED", "amount": 7, "bonus": 0, "new_balance": 25}
    assert expected.items() <= reply.data.items()
    assert some(await shop.buckets(customer)) == {"available": 18, "converted": 7}
    again = await act(shop, claim_id, "settle")
    assert (again.status, again.data) == (200, reply.data)
    assert len(await shop.requests()) == 1
    assert [action for _, action, _ in await done(shop, claim_id)] == ["payout.approve", "payout.settle"]


async def test_while_the_wallet_is_silent_a_settled_payout_is_processing(shop, customer, impatient):
    claim_id = await payout(shop, customer)
    heard = [await act(shop, claim_id, "settle", key=key) for key in ("k", "k", None)]
    assert {(reply.status, reply.data["status"]) for reply in heard} == {(202, "PROCESSING")}
    assert {reply.headers["location"] for reply in heard} == {f"/dev/v1/affiliates/payouts/{claim_id}"}
    for action in BODIES:
        assert (await act(shop, claim_id, action)).code == "claim_status"
    assert some(await shop.buckets(customer)) == {"available": 18, "requested": 7}
    await shop.answer()
    final = await act(shop, claim_id, "settle", key="k")
    assert (final.status, final.data["status"]) == (200, "COMPLETED")
    assert (await act(shop, claim_id, "settle", key="k")).body == final.body
    assert len(await shop.requests()) == 1


@pytest.mark.parametrize(("reason", "code"), [("balance_cap", "balance_cap"), ("balance_limit", "conversion_refused")])
async def test_what_the_wallet_refuses_is_available_again(shop, customer, reason, code):
    claim_id = await payout(shop, customer)
    reply, _ = await asyncio.gather(
        act(shop, claim_id, "settle"), shop.answer(lambda request: shop.refused(request, reason))
    )
    assert (reply.status, reply.code) == (409, code)
    assert (await act(shop, claim_id, "settle")).code == code
    assert some(await shop.buckets(customer)) == {"available": 25}
    assert (await shown(shop, claim_id))["status"] == "FAILED"
    assert (await act(shop, claim_id, "fail")).code == "claim_status"
    assert len(await shop.requests()) == 1


async def test_settling_and_rejecting_at_once_ends_one_way(shop, customer, impatient):
    claim_id = await payout(shop, customer)
    settled, rejected = await asyncio.gather(act(shop, claim_id, "settle"), act(shop, claim_id, "reject"))
    assert {settled.status, rejected.status} in ({202, 409}, {200, 409})
    assert len(await shop.requests()) == (settled.status == 202)
