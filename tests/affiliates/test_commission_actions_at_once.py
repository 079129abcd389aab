"""Staff decide about a commission beside all else: who waits for whom, who comes too late, and what it dies on."""

import asyncio
from functools import partial

import pytest
from commission_desk import TAKEN, buckets, do, links, noted, path, seen
from dying import dies
from handling import somebody_waits

from affiliates import changes, reattribution, store, store_commissions, store_reattribution
from chassis import clock
from chassis.verdicts import NotYet


async def comes_while_it_is_given_away(shop, version, code):
    """Staff give an order's commission to whom the code belongs, while a version waits for it: that one has to come again."""
    async with shop.worker.transaction() as conn:
        grounds = await store_reattribution.lock_grounds(conn, (shop.store_id, version.order_id), code)
        coming = asyncio.create_task(shop.complete(version))
        await somebody_waits(shop.worker)
        after = reattribution.decide(grounds, clock.now())
        await changes.keep_commissions(conn, [(grounds.commission, after)], clock.now())
    with pytest.raises(NotYet) as verdict:
        await coming
    assert verdict.value.events == [version]


async def test_a_version_that_comes_while_a_commission_is_given_away_waits_for_whom_it_is_then(shop):
    """Who waited for the one affiliate has not locked the other: it comes again, and changes what the other has."""
    first, second = await shop.enrol("first"), await shop.enrol("second")
    order = await shop.order(code="first")
    refund = order.model_copy(update={"version": 2, "base_remaining_minor": 5_000})
    await comes_while_it_is_given_away(shop, refund, "second")
    await shop.complete(refund)
    assert (await buckets(shop, first), await buckets(shop, second)) == ({}, {"available": 5})


@pytest.mark.parametrize(
    ("verb", "body"), [("hold", {}), ("deny", TAKEN), ("reattribute", {"code": "third", "note": "x"})]
)
async def test_staff_who_waited_while_it_was_given_away_decide_about_what_it_is_then(shop, verb, body):
    for code in ("first", "second", "third"):
        await shop.enrol(code)
    order = await shop.order(code="first")
    async with shop.worker.transaction() as conn:
        grounds = await store_reattribution.lock_grounds(conn, (shop.store_id, order.order_id), "second")
        deciding = asyncio.create_task(do(shop, order, verb, **body))
        await somebody_waits(shop.worker)
        after = reattribution.decide(grounds, clock.now())
        await changes.keep_commissions(conn, [(grounds.commission, after)], clock.now())
    reply = await deciding
    assert reply.status == 200
    assert reply.data["code"] == body.get("code", "second")


async def test_whoever_decides_about_a_commission_has_locked_whose_it_is_by_then(shop):
    await shop.enrol("first")
    await shop.enrol("second")
    order = await shop.order(code="first")
    commission_id = (await seen(shop, order))["id"]

    async def locked():
        async with shop.worker.transaction() as conn:
            lock = partial(store_commissions.lock_commission, conn, shop.store_id, commission_id)
            its = await store.at_rest(conn, lock)
            free = "SELECT affiliate_id FROM affiliate WHERE store_id = $1 FOR UPDATE SKIP LOCKED"
            return its.affiliate_id, [row["affiliate_id"] for row in await shop.rows(free, shop.store_id)]

    async with shop.worker.transaction() as conn:
        grounds = await store_reattribution.lock_grounds(conn, (shop.store_id, order.order_id), "second")
        locking = asyncio.create_task(locked())
        await somebody_waits(shop.worker)
        after = reattribution.decide(grounds, clock.now())
        await changes.keep_commissions(conn, [(grounds.commission, after)], clock.now())
    assert await locking == (after.affiliate_id, [grounds.commission.affiliate_id])


async def test_who_waits_for_an_affiliate_that_staff_let_go_has_them_at_once(shop):
    """It owes nothing: who gives it away has locked no affiliate."""
    first, second = await shop.enrol("first"), await shop.enrol("second")
    order = await shop.order(code="second", base=5)
    key = shop.store_id, order.order_id
    async with shop.worker.transaction() as conn:
        grounds = await store_reattribution.lock_grounds(conn, key, "first")
    given = grounds.commission, reattribution.decide(grounds, clock.now())

    async def decided():
        async with shop.worker.transaction() as conn:
            commission_id = grounds.commission.commission_id
            lock = partial(store_commissions.lock_commission, conn, shop.store_id, commission_id)
            return (await store.at_rest(conn, lock)).affiliate_id

    async def both():
        async with shop.worker.transaction() as conn:
            await conn.row("SELECT 1 FROM affiliate WHERE customer_id = $1 FOR NO KEY UPDATE", first)
            await conn.row("SELECT 1 FROM affiliate WHERE customer_id = $1 FOR UPDATE", second)

    async with shop.worker.transaction() as conn:
        await store_commissions.commissions_of(conn, [key])
        deciding = asyncio.create_task(decided())
        await somebody_waits(shop.worker)
        locking = asyncio.create_task(both())
        await somebody_waits(shop.worker, 2)
        await changes.keep_commissions(conn, [given], clock.now())
    await locking
    assert await deciding == given[1].affiliate_id


async def test_staff_who_always_come_too_late_try_again(shop, monkeypatch):
    """The refusal is not kept under their key."""

    async def too_late(*_):
        raise NotYet("another's")

    await shop.enrol()
    hold = path((await seen(shop, await shop.order()))["id"], "hold")
    with monkeypatch.context() as always:
        always.setattr(store_commissions, "lock_commission", too_late)
        reply = await shop.client.post(hold, key="k")
        assert (reply.status, reply.code, reply.headers["retry-after"]) == (409, "commission_busy", "1")
    assert (await shop.client.post(hold, key="k")).data["status"] == "held"


async def test_nobodys_commission_is_not_decided_twice_at_once(shop):
    """It has no affiliate to lock: its own row is."""
    customer = await shop.enrol()
    order = await shop.order(code="typo")
    later = order.model_copy(update={"version": 2, "base_remaining_minor": 5_000})
    await comes_while_it_is_given_away(shop, later, "creator123")
    await shop.complete(later)
    assert await buckets(shop, customer) == {"available": 5}


async def test_whatever_staff_do_at_once_one_thing_is_so_in_the_end(shop):
    customers = [await shop.enrol(f"code-{n}") for n in range(3)]
    orders = [await shop.order(code="code-0") for _ in range(2)]
    orders.append(await shop.order(code="typo"))
    work = [do(shop, order, "reattribute", code=f"code-{n}", note="x") for order in orders for n in range(3)]
    work += [do(shop, order, verb) for order in orders for verb in ("hold", "release")]
    work += [shop.complete(order.model_copy(update={"version": 2})) for order in orders]
    replies = await asyncio.gather(*work, return_exceptions=True)
    assert all(isinstance(reply, NotYet) or reply is None or reply.status in {200, 409} for reply in replies)
    owners = {(await seen(shop, order))["customer_id"] for order in orders}
    assert owners <= set(customers)


@pytest.mark.parametrize(
    ("verb", "body"), [("hold", {}), ("deny", TAKEN), ("reattribute", {"code": "second", "note": "x"})]
)
async def test_a_process_that_dies_on_any_statement_has_decided_nothing(shop, monkeypatch, verb, body):
    first = await shop.enrol("first")
    await shop.enrol("second")
    order = await shop.order(code="first")
    commission_id = (await seen(shop, order))["id"]
    before, lived = await standing(shop, first, order), 0
    while await dies(lambda: shop.client.post(path(commission_id, verb), body, key="k"), monkeypatch, after=lived):
        assert await standing(shop, first, order) == before
        lived += 1
    assert lived > 5
    assert await standing(shop, first, order) != before


async def standing(shop, customer, order):
    return await seen(shop, order), await buckets(shop, customer), await links(shop, customer), await noted(shop, order)
