"""An order that fraud-block was not content with earns nothing that can be taken before staff had a look (§2.3)."""

import asyncio

import pytest
from commission_desk import buckets, do, seen

from affiliates import consumers, timers
from chassis import ids
from chassis.timers import one_slice
from contracts.affiliates import CommissionHeld
from contracts.fraud import Decision, ScreeningDecided
from contracts.ids import CART, RULE, SCREENING, STORE

pytestmark = pytest.mark.usefixtures("alone")
MATURE, SUSPECTS = timers.ALL[:2]


def doubt(order, decision=Decision.REVIEW, **more):
    """Fraud-block's word on an order."""
    given = {"screening_id": ids.new(SCREENING), "subject": order.order_id, "rule_ids": (ids.new(RULE),)} | more
    return ScreeningDecided(store_id=order.store_id, decision=decision, **given)


async def heard(shop, verdict):
    await shop.hear(consumers.on_screening_decided, verdict)
    await one_slice(shop.worker, SUSPECTS)


async def staff(shop, order, verb, **body):
    reply = await do(shop, order, verb, **body)
    assert reply.status == 200, reply.body
    return reply.data["status"]


@pytest.mark.parametrize("decision", [Decision.REVIEW, Decision.BLOCK])
async def test_a_verdict_before_the_commission_holds_it_from_the_beginning(shop, decision):
    customer, order = await shop.enrol(), shop.new_order()
    verdict = doubt(order, decision)
    await heard(shop, verdict)
    await shop.complete(order)
    shown = await seen(shop, order)
    assert (shown["status"], shown["reason"], shown["rule_ids"]) == ("held", "fraud", list(verdict.rule_ids))
    assert await buckets(shop, customer) == {"pending": 10}
    assert [event.reason for event in await shop.announced(CommissionHeld)] == ["fraud"]


async def test_a_verdict_after_the_commission_takes_it_back_into_waiting(shop):
    customer, order = await shop.enrol(), await shop.order()
    await heard(shop, doubt(order))
    assert await buckets(shop, customer) == {"pending": 10}
    assert await one_slice(shop.worker, SUSPECTS) == 0
    assert [event.order_id for event in await shop.announced(CommissionHeld)] == [order.order_id]


async def test_a_verdict_and_a_commission_at_once_come_to_the_same(shop):
    customer = await shop.enrol()
    orders = [shop.new_order() for _ in range(4)]
    verdicts = [shop.hear(consumers.on_screening_decided, doubt(order)) for order in orders]
    await asyncio.gather(*verdicts, *(shop.complete(order) for order in orders))
    await one_slice(shop.worker, SUSPECTS)
    assert await buckets(shop, customer) == {"pending": 40}
    assert len(await shop.announced(CommissionHeld)) == 4


async def are_open(shop):
    return [
        row["order_id"] for row in await shop.rows("SELECT * FROM verdict WHERE open AND store_id = $1", shop.store_id)
    ]


async def test_what_a_verdict_speaks_against_is_held_however_late_the_timer_comes(shop, later):
    customer, order = await shop.enrol(), await shop.order()
    await shop.hear(consumers.on_screening_decided, doubt(order))
    later(days=3)
    await one_slice(shop.worker, SUSPECTS)
    assert await buckets(shop, customer) == {"pending": 10}


async def test_a_verdict_is_looked_at_until_no_order_can_have_missed_it(shop, later):
    order = shop.new_order()
    await heard(shop, doubt(order))
    later(days=0.5 / 24)
    assert await one_slice(shop.worker, SUSPECTS) == 0
    assert await are_open(shop) == [order.order_id]
    later(days=1.5 / 24)
    assert await one_slice(shop.worker, SUSPECTS) == 1
    assert await are_open(shop) == []


async def test_a_verdict_is_looked_at_until_what_it_speaks_against_is_held(shop, later):
    customer, order = await shop.enrol(), await shop.order()
    async with shop.client.runtime.api.transaction(shop.store_id) as busy:
        await busy.execute("SELECT FROM affiliate FOR UPDATE")
        await shop.hear(consumers.on_screening_decided, doubt(order))
        later(days=3)
        assert await one_slice(shop.worker, SUSPECTS) == 0
        assert await are_open(shop) == [order.order_id]
    await one_slice(shop.worker, SUSPECTS)
    assert await buckets(shop, customer) == {"pending": 10}
    assert await are_open(shop) == []


def test_only_doubts_about_orders_are_heard(new_order):
    order = new_order(ids.new(STORE))
    (handler,) = [handler for handler, _ in consumers.router.handlers() if handler.event is ScreeningDecided]
    verdicts = [doubt(order), doubt(order, Decision.ALLOW), doubt(order, subject=ids.new(CART))]
    assert [handler.where(verdict) for verdict in verdicts] == [True, False, False]


async def test_what_staff_released_no_verdict_holds_again(shop):
    customer, order = await shop.enrol(), await shop.order()
    await heard(shop, doubt(order))
    assert await staff(shop, order, "release") == "payable"
    await heard(shop, doubt(order))
    later = order.model_copy(update={"version": 2, "base_remaining_minor": 5_000})
    await shop.complete(later)
    assert await one_slice(shop.worker, SUSPECTS) == 0
    assert await buckets(shop, customer) == {"available": 5}


async def test_what_staff_released_is_not_held_when_it_is_owed_anew(shop):
    """It was the affiliate's own purchase in between."""
    customer, order = await shop.enrol(), shop.new_order()
    await heard(shop, doubt(order))
    await shop.complete(order)
    await staff(shop, order, "release")
    own = order.model_copy(update={"version": 2, "current_customer_id": customer})
    await shop.complete(own)
    assert (await seen(shop, order))["reason"] == "own_purchase"
    await shop.complete(order.model_copy(update={"version": 3}))
    assert await buckets(shop, customer) == {"available": 10}


@pytest.mark.parametrize("reason", ["staff", "fraud"])
async def test_what_is_held_is_held_again_when_it_is_owed_anew(shop, reason):
    """It was the affiliate's own purchase in between, and nobody has released it."""
    customer, order = await shop.enrol(), await shop.order()
    if reason == "fraud":
        await heard(shop, doubt(order))
    else:
        await staff(shop, order, "hold")
    await shop.complete(order.model_copy(update={"version": 2, "current_customer_id": customer}))
    await shop.complete(order.model_copy(update={"version": 3}))
    shown = await seen(shop, order)
    assert (shown["status"], shown["reason"]) == ("held", reason)
    assert await buckets(shop, customer) == {"pending": 10}
    assert await staff(shop, order, "release") == "payable"
    await shop.complete(order.model_copy(update={"version": 4, "current_customer_id": customer}))
    await shop.complete(order.model_copy(update={"version": 5}))
    assert await buckets(shop, customer) == {"available": 10}


async def test_what_is_held_is_held_also_with_whom_it_is_given_to(shop):
    first, second = await shop.enrol("first"), await shop.enrol("second")
    order = await shop.order(code="first")
    await staff(shop, order, "hold")
    await shop.complete(order.model_copy(update={"version": 2, "current_customer_id": first}))
    assert await staff(shop, order, "reattribute", code="second", note="x") == "held"
    assert (await seen(shop, order))["reason"] == "staff"
    assert await buckets(shop, second) == {"pending": 10}


async def test_a_second_verdict_on_what_is_held_changes_nothing(shop):
    await shop.enrol()
    order = await shop.order()
    first = doubt(order)
    await heard(shop, first)
    await heard(shop, doubt(order, Decision.BLOCK))
    await heard(shop, first)
    assert (await seen(shop, order))["rule_ids"] == list(first.rule_ids)
    assert len(await shop.announced(CommissionHeld)) == 1


async def test_what_is_held_follows_its_order(shop):
    customer, order = await shop.enrol(), shop.new_order()
    await heard(shop, doubt(order))
    for version, base in [(1, 10_000), (3, 4_000), (2, 7_000)]:
        await shop.complete(order.model_copy(update={"version": version, "base_remaining_minor": base}))
    assert await buckets(shop, customer) == {"pending": 4}
    assert await staff(shop, order, "release") == "payable"
    assert await buckets(shop, customer) == {"available": 4}


async def test_a_refund_of_what_was_denied_takes_nothing_more(shop):
    customer, order = await shop.enrol(), shop.new_order()
    await heard(shop, doubt(order))
    await shop.complete(order)
    assert await staff(shop, order, "deny", reason="fraud") == "denied"
    await shop.complete(order.model_copy(update={"version": 2, "base_remaining_minor": 0}))
    await shop.complete(order.model_copy(update={"version": 3}))
    assert await buckets(shop, customer) == {}


async def test_what_is_released_before_its_time_waits_on(shop, later):
    await shop.program(waiting_days=14)
    customer, order = await shop.enrol(), shop.new_order()
    await heard(shop, doubt(order))
    await shop.complete(order)
    assert await staff(shop, order, "release") == "pending"
    later(days=14.1)
    assert await one_slice(shop.worker, MATURE) == 1
    assert await buckets(shop, customer) == {"available": 10}


async def test_what_is_held_does_not_mature(shop, later):
    await shop.program(waiting_days=14)
    customer, order = await shop.enrol(), shop.new_order()
    await heard(shop, doubt(order))
    await shop.complete(order)
    later(days=14.1)
    assert await one_slice(shop.worker, MATURE) == 0
    assert await buckets(shop, customer) == {"pending": 10}
    assert await staff(shop, order, "release") == "payable"
    assert await buckets(shop, customer) == {"available": 10}


async def test_held_and_released_again_and_again_it_is_there_once(shop):
    customer, order = await shop.enrol(), await shop.order()
    for _ in range(3):
        assert await staff(shop, order, "hold") == "held"
        assert await staff(shop, order, "release") == "payable"
    assert await buckets(shop, customer) == {"available": 10}


async def test_a_doubtful_order_that_staff_give_to_somebody_is_held(shop):
    customer = await shop.enrol()
    order = await shop.order(code="typo")
    await heard(shop, doubt(order))
    assert (await seen(shop, order))["reason"] == "unknown_code"
    assert await staff(shop, order, "reattribute", code="creator123", note="a typo") == "held"
    assert await buckets(shop, customer) == {"pending": 10}


async def test_a_commission_that_another_affiliate_got_stays_held(shop):
    first, second = await shop.enrol("first"), await shop.enrol("second")
    order = await shop.order(code="first")
    await heard(shop, doubt(order))
    assert await staff(shop, order, "reattribute", code="second", note="theirs") == "held"
    assert (await buckets(shop, first), await buckets(shop, second)) == ({}, {"pending": 10})
    assert await staff(shop, order, "release") == "payable"
    assert await buckets(shop, second) == {"available": 10}
