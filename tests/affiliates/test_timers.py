"""What waits becomes available when its time has come, by business time."""

import asyncio

import pytest
from handling import somebody_waits
from payout_desk import some

from affiliates import reattribution, store_commissions, store_reattribution, timers
from affiliates.changes import keep_commissions
from chassis import clock
from chassis.timers import one_slice

pytestmark = pytest.mark.usefixtures("alone")
MATURE, SUSPECTS, _, FORGET = timers.ALL


async def waiting(shop, orders=1):
    await shop.program(waiting_days=14)
    customer = await shop.enrol()
    await shop.complete(*(shop.new_order() for _ in range(orders)))
    return customer


async def test_a_commission_waits_and_then_is_available(shop, later):
    customer = await waiting(shop)
    await one_slice(shop.worker, MATURE)
    assert some(await shop.buckets(customer)) == {"pending": 10}
    assert (await shop.convert(customer, 1)).code == "insufficient_balance"
    later(days=14.1)
    assert await one_slice(shop.worker, MATURE) == 1
    assert some(await shop.buckets(customer)) == {"available": 10}
    assert (await shop.summary(customer))["commissions"][0]["status"] == "payable"
    assert await one_slice(shop.worker, MATURE) == 0


async def test_a_commission_that_owes_nothing_matures_too(shop, later):
    await shop.program(waiting_days=14)
    await shop.enrol()
    await shop.order(base=5)
    later(days=14.1)
    assert [await one_slice(shop.worker, MATURE) for _ in range(2)] == [1, 0]


async def test_an_affiliate_at_work_is_left_for_the_next_beat(shop, later):
    customer = await waiting(shop)
    later(days=14.1)
    async with shop.worker.transaction() as conn:
        await conn.row("SELECT 1 FROM affiliate WHERE customer_id = $1 FOR UPDATE", customer)
        assert await asyncio.wait_for(one_slice(shop.worker, MATURE), 20) == 0
    assert await one_slice(shop.worker, MATURE) == 1


async def test_what_is_given_away_under_the_timer_is_left_for_the_next_beat(shop, later):
    """It owes nothing: who gives it away waits for no affiliate that the timer has locked."""
    await shop.program(waiting_days=14)
    await shop.enrol("first")
    await shop.enrol("second")
    order = await shop.order(code="first", base=5)
    key = shop.store_id, order.order_id
    async with shop.worker.transaction() as conn:
        grounds = await store_reattribution.lock_grounds(conn, key, "second")
    given = grounds.commission, reattribution.decide(grounds, clock.now())
    later(days=14.1)
    async with shop.worker.transaction() as conn:
        await store_commissions.commissions_of(conn, [key])
        maturing = asyncio.create_task(one_slice(shop.worker, MATURE))
        await somebody_waits(shop.worker)
        await keep_commissions(conn, [given], clock.now())
    assert await maturing == 0
    assert await one_slice(shop.worker, MATURE) == 1


async def test_a_version_that_comes_while_waiting_changes_what_matures(shop, later):
    customer = await shop.enrol()
    await shop.program(waiting_days=14)
    order = await shop.order()
    await shop.complete(order.model_copy(update={"version": 2, "base_remaining_minor": 3_000}))
    later(days=14.1)
    await one_slice(shop.worker, MATURE)
    await shop.complete(order.model_copy(update={"version": 3, "base_remaining_minor": 4_000}))
    assert some(await shop.buckets(customer)) == {"available": 4}


async def test_old_batches_of_clicks_are_forgotten(shop, later):
    await shop.client.post("/internal/v1/clicks", {"batch_id": "b1", "clicks": []})
    await one_slice(shop.worker, FORGET)
    assert len(await shop.rows("SELECT 1 FROM click_batch WHERE store_id = $1", shop.store_id)) == 1
    later(days=15)
    await one_slice(shop.worker, FORGET)
    assert await shop.rows("SELECT 1 FROM click_batch WHERE store_id = $1", shop.store_id) == []
