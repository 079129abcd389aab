"""A merge of affiliates beside all else: who waits for it, who comes at once, what it dies on and what fails."""

import asyncio
import itertools
from datetime import UTC, datetime

import asyncpg
import pytest
from commission_desk import do
from handling import somebody_waits
from merges import FOLLOW, two
from payout_desk import OTHER_TRON, act, ask, payout, some

from affiliates import consumers, store, store_links, store_merges
from affiliates.enrolment import Affiliate, State
from affiliates.links import new_link
from chassis import clock, ids
from chassis.db import Conn
from chassis.timers import one_slice
from contracts.ids import AFFILIATE

NOW = datetime(2030, 1, 1, tzinfo=UTC)


async def test_an_order_that_waits_for_the_merge_counts_for_who_is_left(shop):
    """The handler has found the old affiliate and waits for their row; the merge commits under it."""
    old, new = await two(shop)
    order = await shop.order(code="old-code")
    await shop.about_to_merge(old, new)
    refund = order.model_copy(update={"version": 2, "base_remaining_minor": 1_000})
    async with shop.worker.transaction() as conn:
        await FOLLOW.run(conn, clock.now())
        orders = [refund, shop.new_order(code="old-code", customer_id=new)]
        heard = asyncio.create_task(shop.deliver(consumers.on_orders_completed, orders))
        await somebody_waits(shop.worker)
    await heard
    assert (await shop.buckets(new))["available"] == 1
    (row,) = await shop.rows(
        "SELECT state FROM commission WHERE store_id = $1 AND customer_id = $2", shop.store_id, new
    )
    assert row["state"] == "declined"


async def test_a_claim_that_waits_for_the_merge_is_whose_is_left(shop, impatient):
    old, new = await two(shop)
    await shop.order(code="old-code")
    await shop.about_to_merge(old, new)
    async with shop.worker.transaction() as conn:
        await FOLLOW.run(conn, clock.now())
        taking = asyncio.create_task(shop.convert(new, 10))
        await somebody_waits(shop.worker)
    assert (await taking).status == 202
    assert (await shop.buckets(new))["requested"] == 10


@pytest.mark.parametrize("named", ["old", "new"])
async def test_nothing_is_refused_for_good_by_half_of_the_money(shop, impatient, named):
    """The merge is heard and has not been followed: each of the two has 10, and the customer 20."""
    old, new = await two(shop)
    for code in ("old-code", "new-code"):
        await shop.order(code=code)
    await shop.merge(old, new)
    customer = {"old": old, "new": new}[named]
    for take in (lambda: shop.convert(customer, 12, key="a"), lambda: ask(shop, customer, amount=12, key="b")):
        reply = await take()
        assert (reply.status, reply.code, reply.headers["retry-after"]) == (503, "unavailable", "1")
    assert (await shop.convert(customer, 8, key="c")).status == 202
    await shop.follow()
    assert (await shop.convert(customer, 12, key="a")).status == 202
    reply = await ask(shop, customer, amount=12, key="b")
    assert (reply.status, reply.code) == (409, "insufficient_balance")


async def test_who_is_one_with_no_other_affiliate_is_refused_at_once(shop):
    old, new = await shop.enrol("old-code"), await shop.customer()
    await shop.merge(old, new)
    assert (await shop.convert(new, 1)).code == "insufficient_balance"


async def test_staff_are_refused_nothing_for_debt_that_the_other_pays(shop, impatient):
    old, new = await two(shop)
    order = await shop.order(code="old-code")
    await shop.order(code="new-code")
    claim_id = await payout(shop, old)
    await shop.complete(order.model_copy(update={"version": 2, "base_remaining_minor": 0}))
    assert (await act(shop, claim_id, "approve", key="before")).code == "in_debt"
    await shop.merge(old, new)
    assert (await act(shop, claim_id, "approve", key="a")).code == "unavailable"
    await shop.follow()
    assert (await act(shop, claim_id, "approve", key="a")).status == 200


@pytest.mark.parametrize(("status", "action"), [("PENDING", "approve"), ("PENDING", "settle")])
async def test_nobody_is_paid_by_half_of_a_person_while_the_other_half_owes(shop, impatient, status, action):
    old, new = await two(shop)
    order = await shop.order(code="old-code")
    await shop.order(code="new-code")
    await payout(shop, old, amount=10)
    claim_id = await payout(shop, new, status)
    await shop.complete(order.model_copy(update={"version": 2, "base_remaining_minor": 0}))
    await shop.merge(old, new)
    reply = await act(shop, claim_id, action, key="a")
    assert (reply.status, reply.code, reply.headers["retry-after"]) == (503, "unavailable", "1")
    await shop.follow()
    assert (await act(shop, claim_id, action, key="a")).code == "in_debt"


async def test_an_address_rests_though_only_the_other_half_was_paid_before(shop, impatient):
    old, new = await two(shop)
    await shop.program(cooling_days=3)
    for code in ("old-code", "new-code"):
        await shop.order(code=code)
    await payout(shop, old)
    await shop.merge(old, new)
    assert (await ask(shop, new, key="a", address=OTHER_TRON)).code == "unavailable"
    await shop.follow()
    claim_id = (await ask(shop, new, key="a", address=OTHER_TRON)).data["claim_id"]
    assert (await act(shop, claim_id, "approve")).code == "cooling_period"


@pytest.mark.parametrize("action", ["convert", "ask", "approve", "settle"])
async def test_nobody_is_refused_for_good_for_the_state_of_half_of_a_person(shop, impatient, action):
    old, new = await two(shop)
    await shop.order(code="new-code")
    claim_id = await payout(shop, new, amount=1)
    await shop.step(new, "suspend")
    do = {"convert": lambda: shop.convert(new, 1, key="a"), "ask": lambda: ask(shop, new, amount=1, key="a")}.get(
        action, lambda: act(shop, claim_id, action, key="a")
    )
    await shop.merge(old, new)
    assert (await do()).code == "unavailable"
    await shop.follow()
    assert (await do()).code == "not_active"


async def give(shop, order, code, key):
    return await do(shop, order, "reattribute", key=key, code=code, note="x")


async def test_a_commission_is_not_taken_while_the_other_half_may_have_it(shop, impatient):
    old, new = await two(shop)
    await shop.enrol("heir")
    order = await shop.order(code="old-code")
    await shop.order(code="new-code")
    await payout(shop, old)
    assert (await give(shop, order, "heir", "before")).code == "commission_taken"
    await shop.merge(old, new)
    reply = await give(shop, order, "heir", "a")
    assert (reply.status, reply.code, reply.headers["retry-after"]) == (503, "unavailable", "1")
    await shop.follow()
    assert (await give(shop, order, "heir", "a")).data["code"] == "heir"


async def test_an_heir_is_not_refused_for_the_state_of_half_of_them(shop, impatient):
    """Pending, and about to be one with who is active."""
    pending, active, _ = await shop.customer(), await shop.enrol("active"), await shop.enrol("first")
    path = f"/dev/v1/customers/{pending}/affiliate"
    assert (await shop.client.post(path, {"code": "heir", "state": "pending"})).status == 201
    order = await shop.order(code="first")
    assert (await give(shop, order, "heir", "before")).code == "not_active"
    await shop.merge(pending, active)
    assert (await give(shop, order, "heir", "a")).code == "unavailable"
    await shop.follow()
    assert (await give(shop, order, "heir", "a")).data["code"] == "heir"


async def test_an_answer_of_the_wallet_that_waits_for_the_merge_ends_the_claim(shop, impatient):
    old, new = await two(shop)
    await shop.order(code="old-code")
    await shop.convert(old, 10)
    (request,) = await shop.requests()
    await shop.about_to_merge(old, new)
    async with shop.worker.transaction() as conn:
        await FOLLOW.run(conn, clock.now())
        heard = asyncio.create_task(shop.deliver(consumers.on_wallet_posted, [shop.credited(request)]))
        await somebody_waits(shop.worker)
    await heard
    assert (await shop.buckets(new))["converted"] == 10


@pytest.mark.parametrize("statement", range(1, 9))
async def test_whatever_statement_it_dies_on_it_is_done_once(shop, monkeypatch, statement):
    """The process is gone right after this one of the eight that write."""
    old, new = await two(shop)
    await shop.order(code="old-code")
    await shop.about_to_merge(old, new)
    execute, count = Conn.execute, itertools.count(1)

    async def dying(conn, sql, *args):
        await execute(conn, sql, *args)
        if next(count) == statement:
            raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(Conn, "execute", dying)
        with pytest.raises(ConnectionError):
            await one_slice(shop.worker, FOLLOW)
    await shop.follow()
    assert (await shop.buckets(new))["available"] == 10
    assert len(await shop.rows("SELECT 1 FROM journal WHERE store_id = $1 AND kind = 'merged'", shop.store_id)) == 2


async def test_two_processes_at_once_merge_once(shop):
    old, new = await two(shop)
    await shop.order(code="old-code")
    await shop.about_to_merge(old, new)
    await asyncio.gather(*(one_slice(shop.worker, FOLLOW) for _ in range(5)))
    assert len(await shop.rows("SELECT 1 FROM journal WHERE store_id = $1 AND kind = 'merged'", shop.store_id)) == 2
    assert (await shop.buckets(new))["available"] == 10


async def test_the_database_refuses_the_same_merge_twice(shop):
    old, new = await two(shop)
    await shop.order(code="old-code")
    await shop.merge(old, new)
    await shop.follow()
    (row,) = await shop.rows(
        "SELECT store_id, affiliate_id, merged_into FROM affiliate WHERE store_id = $1 AND merged_into IS NOT NULL",
        shop.store_id,
    )
    with pytest.raises(asyncpg.UniqueViolationError):
        await shop.rows(
            """
            INSERT INTO journal (store_id, affiliate_id, kind, source, target, amount_minor, at, other_affiliate_id)
            VALUES ($1, $2, 'merged', 'settled', 'program', 1, now(), $3)
            """,
            *row,
        )


async def merging_that_waits_for(shop, held, leaves_alone):
    """The timer's beat while somebody has the lock of one; the other's is free meanwhile."""
    lock = "SELECT 1 FROM affiliate WHERE customer_id = $1 FOR UPDATE"
    async with shop.worker.transaction() as conn:
        await conn.row(lock, held)
        merging_ = asyncio.create_task(one_slice(shop.worker, FOLLOW))
        await somebody_waits(shop.worker)
        assert await shop.rows(f"{lock} SKIP LOCKED", leaves_alone)
    return await merging_


async def test_the_two_are_locked_sorted(shop):
    """Who waits for the first holds not the second, whichever of them is the older."""
    old, new = await two(shop)
    await shop.about_to_merge(new, old)
    assert await merging_that_waits_for(shop, old, leaves_alone=new) == 1


async def test_who_was_merged_before_is_locked_sorted_with_the_two(shop):
    """Whoever waited for that one has their lock, and may wait for one of the two."""
    first, old, new = [await shop.enrol(f"code-{n}") for n in range(3)]
    await shop.merge(first, old)
    await shop.about_to_merge(old, new)
    assert await merging_that_waits_for(shop, first, leaves_alone=old) == 1


@pytest.mark.parametrize("waits", ["order", "staff", "answer"])
async def test_who_waited_for_a_merge_holds_nobody_while_they_wait_for_who_is_left(shop, impatient, waits):
    """The one who is left is the older: whoever has their lock may wait for the other's."""
    left, old = await shop.enrol("left-code"), await shop.enrol("old-code")
    order = await shop.order(code="old-code")
    await shop.convert(old, 1)
    (request,) = await shop.requests()
    ((shown,),) = [(await shop.client.get("/dev/v1/affiliates/commissions")).data]
    first = {
        "order": lambda: shop.deliver(consumers.on_orders_completed, [shop.new_order(code="old-code")]),
        "staff": lambda: shop.client.post(f"/dev/v1/affiliates/commissions/{shown['id']}/hold", key="k"),
        "answer": lambda: shop.deliver(consumers.on_wallet_posted, [shop.credited(request)]),
    }[waits]
    both = [shop.new_order(code="left-code"), order.model_copy(update={"version": 2})]
    await shop.about_to_merge(old, left)
    async with shop.worker.transaction() as conn:
        await FOLLOW.run(conn, clock.now())
        waiting = asyncio.create_task(first())
        await somebody_waits(shop.worker)
        others = asyncio.create_task(shop.deliver(consumers.on_orders_completed, both))
        await somebody_waits(shop.worker, 2)
    answered, _ = await asyncio.gather(waiting, others)
    assert answered is None or answered.status == 200


async def test_a_merge_waits_for_no_commission_and_no_claim(shop, impatient):
    """However many they are: none is written."""
    old, new = await two(shop)
    await shop.order(code="old-code")
    await shop.convert(old, 3)
    await shop.about_to_merge(old, new)
    async with shop.worker.transaction() as conn:
        await conn.rows("SELECT 1 FROM commission WHERE store_id = $1 FOR UPDATE", shop.store_id)
        await conn.rows("SELECT 1 FROM claim WHERE store_id = $1 FOR UPDATE", shop.store_id)
        await asyncio.wait_for(shop.follow(), 20)
    assert (await shop.buckets(new))["available"] == 7


async def test_merges_and_orders_and_claims_at_once_add_up(shop, impatient):
    customers = [await shop.enrol(f"code-{n}") for n in range(6)]
    orders = [shop.new_order(code=f"code-{n}") for n in range(6) for _ in range(4)]
    await shop.complete(*orders)
    refunds = [order.model_copy(update={"version": 2, "base_remaining_minor": 5_000}) for order in orders]

    async def merges():
        for old, new in itertools.pairwise(customers):
            await shop.merge(old, new)
            await shop.follow()

    await asyncio.gather(
        merges(),
        *(shop.deliver(consumers.on_orders_completed, refunds[n:] + refunds[:n]) for n in range(0, len(refunds), 4)),
        *(shop.convert(customer, 1) for customer in customers for _ in range(2)),
    )
    await shop.follow()
    assert some(await shop.buckets(customers[-1])) == {"available": 24 * 5 - 12, "requested": 12}


async def test_a_merge_that_fails_keeps_no_other_waiting(shop, monkeypatch):
    customers = [await shop.enrol(f"code-{n}") for n in range(4)]
    await shop.merge(*customers[:2])
    await shop.merge(*customers[2:])
    absorb, failing = store_merges.absorb, True

    async def too_large(conn, old, survivor, now):
        if failing and old.customer_id == customers[0]:
            await conn.execute("SET LOCAL statement_timeout = '1ms'")
            await conn.execute("SELECT pg_sleep(1)")  # stands for what takes too long: it is cut off at once
        await absorb(conn, old, survivor, now)

    monkeypatch.setattr(store_merges, "absorb", too_large)
    await shop.follow()
    left = {each["customer_id"] for each in (await shop.client.get("/dev/v1/affiliates")).data}
    assert left == {customers[0], customers[1], customers[3]}
    failing = False
    await shop.rows("UPDATE look_again SET due_at = due_at + interval '1 hour' WHERE store_id = $1", shop.store_id)
    await shop.follow()
    assert len((await shop.client.get("/dev/v1/affiliates")).data) == 3  # it waits its time
    await shop.rows("UPDATE look_again SET due_at = now() WHERE store_id = $1", shop.store_id)
    await shop.follow()
    left = {each["customer_id"] for each in (await shop.client.get("/dev/v1/affiliates")).data}
    assert left == {customers[1], customers[3]}


async def test_a_merge_heard_again_is_nothing_to_do(shop):
    old, new = await two(shop)
    await shop.merge(old, new)
    await shop.follow()
    await shop.merge(old, new)
    assert await one_slice(shop.worker, FOLLOW) == 0


async def test_who_enrols_while_their_merge_is_heard_follows_too(shop):
    """The merge was heard and looked at before the enrolment has committed."""
    old, new = await shop.customer(), await shop.customer()
    async with shop.worker.transaction() as conn:
        affiliate = Affiliate(shop.store_id, ids.new(AFFILIATE), old, State.ACTIVE, NOW)
        assert await store.add_affiliate(conn, affiliate)
        assert await store_links.add_link(conn, shop.store_id, new_link(affiliate.affiliate_id, "late", NOW))
        await shop.merge(old, new)
        await shop.follow()
    await shop.follow()
    assert [each["customer_id"] for each in (await shop.client.get("/dev/v1/affiliates")).data] == [new]
