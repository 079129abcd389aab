"""A payout to another address than before rests until it may be approved; the first and only one does not."""

import pytest
from payout_desk import ETHEREUM, OTHER_TRON, act, payout, shown


async def test_another_address_rests(shop, customer, later):
    await shop.program(cooling_days=3)
    first, second = await payout(shop, customer, amount=1), await payout(shop, customer, amount=1, address=OTHER_TRON)
    assert (await act(shop, first, "approve")).status == 200
    until = (await shown(shop, second))["approvable_at"]
    reply = await act(shop, second, "approve")
    assert (reply.status, reply.code) == (409, "cooling_period")
    assert until[:19] in reply.json["detail"]
    later(days=3)
    assert (await act(shop, second, "approve")).data["status"] == "APPROVED"
    third = await payout(shop, customer, amount=1, address=OTHER_TRON)
    assert (await act(shop, third, "approve")).status == 200


async def test_nobody_sits_out_the_rest_of_an_address_by_a_rejected_request(shop, customer, later):
    await shop.program(cooling_days=7)
    await payout(shop, customer, amount=1)
    stolen = await payout(shop, customer, "REJECTED", amount=1, address=OTHER_TRON)
    later(days=7.1)
    again = await payout(shop, customer, amount=1, address=OTHER_TRON)
    assert (await act(shop, again, "approve")).code == "cooling_period"
    later(days=14.2)
    assert (await act(shop, again, "approve")).status == 200
    assert (await act(shop, stolen, "reject")).status == 200  # what was rejected already ends nothing anew
    third = await payout(shop, customer, amount=1, address=OTHER_TRON)
    assert (await act(shop, third, "approve")).status == 200


@pytest.mark.parametrize(
    "same",
    [[{"address": OTHER_TRON}] * 2, [{"address": ETHEREUM, "network": each} for each in ("ethereum", "polygon")]],
)
async def test_what_waited_with_a_rejected_request_rests_from_its_own(shop, customer, later, same):
    await shop.program(cooling_days=7)
    await payout(shop, customer, amount=1)
    stolen = await payout(shop, customer, amount=1, **same[0])
    later(days=6)
    waiting = await payout(shop, customer, amount=1, **same[1])
    before = (await shown(shop, waiting))["approvable_at"]
    assert (await act(shop, stolen, "reject")).status == 200
    assert (await shown(shop, waiting))["approvable_at"] > before
    later(days=12.9)
    assert (await act(shop, waiting, "approve")).code == "cooling_period"
    later(days=13.1)
    assert (await act(shop, waiting, "approve")).status == 200


async def test_the_only_address_does_not_rest_though_a_request_was_rejected(shop, customer):
    await shop.program(cooling_days=7)
    await payout(shop, customer, "REJECTED", amount=1)
    waiting, other = [await payout(shop, customer, amount=1) for _ in range(2)]
    assert (await act(shop, other, "reject")).status == 200
    assert (await act(shop, waiting, "approve")).status == 200
