"""What staff decide about commissions: held, released, denied (features §2.3)."""

from typing import get_args

import pytest
from commission_desk import TAKEN, buckets, do, links, noted, path, seen, take
from serving import merchant, new_store

from affiliates.api.commission_actions import Denial
from chassis import ids
from contracts.affiliates import CommissionHeld, CommissionPayable, CommissionReversed
from contracts.ids import COMMISSION


async def test_a_held_commission_cannot_be_taken_until_it_is_released(shop):
    customer, order = await shop.enrol(), await shop.order()
    for _ in range(2):
        reply = await do(shop, order, "hold", note="odd basket")
        assert (reply.status, reply.data["status"], reply.data["reason"]) == (200, "held", "staff")
    assert await buckets(shop, customer) == {"pending": 10}
    assert (await shop.convert(customer, 1)).code == "insufficient_balance"
    for _ in range(2):
        assert (await do(shop, order, "release")).data["status"] == "payable"
    assert await buckets(shop, customer) == {"available": 10}
    assert await noted(shop, order) == [("commission.held", "odd basket"), ("commission.released", None)]
    told = await shop.announced(CommissionHeld, CommissionPayable)
    assert [(event.TYPE, event.order_id) for event in told] == [
        ("commission.held", order.order_id),
        ("commission.payable", order.order_id),
    ]


async def test_it_is_kept_what_changed_and_who_did_it(shop):
    await shop.enrol()
    order = await shop.order()
    await do(shop, order, "deny", reason="duplicate", note="twice")
    (activity,) = (await shop.client.get("/dev/v1/affiliates/activity")).data[:1]
    assert (activity["actor"], activity["action"]) == ("merchant", "commission.denied")
    assert (activity["detail"]["from"]["status"], activity["detail"]["from"]["amount_minor"]) == ("payable", 1000)
    assert (activity["detail"]["to"]["status"], activity["detail"]["to"]["reason"]) == ("denied", "duplicate")


@pytest.mark.parametrize("reason", get_args(Denial.model_fields["reason"].annotation))
async def test_what_is_denied_is_gone_for_good(shop, reason):
    customer, order = await shop.enrol(), await shop.order()
    replies = [await do(shop, order, "deny", reason=reason, note="a ring") for _ in range(2)]
    assert [(reply.status, reply.data["status"], reply.data["reason"], reply.data["amount"]) for reply in replies] == [
        (200, "denied", "staff" if reason == "other" else reason, None)
    ] * 2
    await shop.complete(order.model_copy(update={"version": 2, "base_remaining_minor": 20_000}))
    assert await buckets(shop, customer) == {}
    assert await links(shop, customer) == {"creator123": (0, 0)}
    assert [(event.reversed_minor, event.reason) for event in await shop.announced(CommissionReversed)] == [
        (1000, "denied")
    ]
    another = "fraud" if reason == "terms" else "terms"
    again = [await do(shop, order, verb) for verb in ("hold", "release")] + [
        await do(shop, order, "deny", reason=another)
    ]
    assert [reply.code for reply in again] == ["commission_denied"] * 3


async def test_what_was_taken_and_is_denied_is_owed(shop):
    customer, order = await shop.enrol(), await shop.order()
    await take(shop, customer, 8)
    assert (await do(shop, order, "deny", reason="other")).data["reason"] == "staff"
    assert await buckets(shop, customer) == {"requested": 8, "debt": 8}
    await shop.order()
    assert await buckets(shop, customer) == {"requested": 8, "available": 2}


async def test_where_nothing_is_owed_nothing_is_held_released_or_denied(shop):
    declined = await shop.order(code="nobody-has-it")
    replies = [
        await do(shop, declined, verb, **body) for verb, body in [("hold", {}), ("release", {}), ("deny", TAKEN)]
    ]
    assert [reply.code for reply in replies] == ["commission_declined"] * 3


async def test_without_a_rate_a_commission_can_only_be_denied(shop):
    await shop.enrol()
    order = await shop.order(currency="USD")
    assert [(await do(shop, order, verb)).code for verb in ("hold", "release")] == ["no_rate"] * 2
    assert (await do(shop, order, "deny", reason="terms")).data["status"] == "denied"


async def test_a_denial_says_why(shop):
    await shop.enrol()
    order = await shop.order()
    assert (await do(shop, order, "deny")).status == 422
    assert (await do(shop, order, "deny", reason="because")).status == 422


@pytest.mark.parametrize(
    ("verb", "body"),
    [("hold", {}), ("release", {}), ("deny", TAKEN), ("reattribute", {"code": "creator123", "note": "x"})],
)
async def test_only_staff_of_the_store_decide(shop, verb, body):
    await shop.enrol()
    commission = await seen(shop, await shop.order())
    assert (await shop.client.post(path(commission["id"], verb), body)).code == "idempotency_key_missing"
    other = shop.client.as_(merchant(new_store()))
    assert (await other.post(path(commission["id"], verb), body, key="k")).code == "not_found"
    assert (await shop.client.post(path(ids.new(COMMISSION), verb), body, key="k")).code == "not_found"
    assert (await shop.client.post(path("com_1", verb), body, key="k")).code == "not_found"
    reader = shop.client.as_(merchant(shop.store_id, {"affiliates.read", "customers.write"}))
    assert (await reader.post(path(commission["id"], verb), body, key="k")).code == "insufficient_scope"
