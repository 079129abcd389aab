"""What staff decide about commissions: held, released, denied, given to whom it is due (features §2.3)."""

import asyncio
from functools import partial
from typing import get_args

import pytest
from dying import dies
from handling import somebody_waits
from serving import merchant, new_store

from affiliates import changes, reattribution, store, store_commissions, store_reattribution
from affiliates.api.commission_actions import Denial
from chassis import clock, ids
from chassis.verdicts import NotYet
from contracts.affiliates import CommissionEarned, CommissionHeld, CommissionPayable, CommissionReversed
from contracts.carts import Touch
from contracts.ids import COMMISSION

ADDRESS = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"
TAKEN = {"reason": "terms"}


def path(commission_id, verb=""):
    return f"/dev/v1/affiliates/commissions/{commission_id}" + (f"/{verb}" if verb else "")


@pytest.fixture
def do(shop):
    """``await do(order, "deny", reason="fraud")``: what staff are answered."""

    async def done(order, verb, **body):
        return await shop.client.post(path((await seen(shop, order))["id"], verb), body or None, key=ids.new("key"))

    return done


async def seen(shop, order):
    """An order's commission as staff see it."""
    (found,) = (await shop.client.get(f"/dev/v1/affiliates/commissions?order_id={order.order_id}")).data
    return found


async def take(shop, customer, amount):
    """An affiliate takes money: it is requested."""
    body = {"amount": amount, "asset": "USDT", "network": "tron", "address": ADDRESS}
    path = f"/dev/v1/customers/{customer}/affiliate/payout-requests"
    assert (await shop.client.post(path, body, key=ids.new("key"))).status == 201


async def buckets(shop, customer):
    return {name: value for name, value in (await shop.buckets(customer)).items() if value}


async def links(shop, customer):
    """Sales and revenue by code."""
    shown = (await shop.client.get(f"/dev/v1/customers/{customer}/affiliate/links")).data
    return {link["code"]: (link["total_sales"], link["total_revenue"]) for link in shown}


async def noted(shop, order):
    """What was done to an order's commission, the latest last."""
    commission = await seen(shop, order)
    done = (await shop.client.get(f"/dev/v1/affiliates/activity?subject={commission['id']}")).data
    return [(each["action"], each["note"]) for each in reversed(done)]


async def test_a_held_commission_cannot_be_taken_until_it_is_released(shop, do):
    customer, order = await shop.enrol(), await shop.order()
    for _ in range(2):
        reply = await do(order, "hold", note="odd basket")
        assert (reply.status, reply.data["status"], reply.data["reason"]) == (200, "held", "staff")
    assert await buckets(shop, customer) == {"pending": 10}
    assert (await shop.convert(customer, 1)).code == "insufficient_balance"
    for _ in range(2):
        assert (await do(order, "release")).data["status"] == "payable"
    assert await buckets(shop, customer) == {"available": 10}
    assert await noted(shop, order) == [("commission.held", "odd basket"), ("commission.released", None)]
    told = await shop.announced(CommissionHeld, CommissionPayable)
    assert [(event.TYPE, event.order_id) for event in told] == [
        ("commission.held", order.order_id),
        ("commission.payable", order.order_id),
    ]


async def test_it_is_kept_what_changed_and_who_did_it(shop, do):
    await shop.enrol()
    order = await shop.order()
    await do(order, "deny", reason="duplicate", note="twice")
    (activity,) = (await shop.client.get("/dev/v1/affiliates/activity")).data[:1]
    assert (activity["actor"], activity["action"]) == ("merchant", "commission.denied")
    assert (activity["detail"]["from"]["status"], activity["detail"]["from"]["amount_minor"]) == ("payable", 1000)
    assert (activity["detail"]["to"]["status"], activity["detail"]["to"]["reason"]) == ("denied", "duplicate")


@pytest.mark.parametrize("reason", get_args(Denial.model_fields["reason"].annotation))
async def test_what_is_denied_is_gone_for_good(shop, do, reason):
    customer, order = await shop.enrol(), await shop.order()
    replies = [await do(order, "deny", reason=reason, note="a ring") for _ in range(2)]
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
    again = [await do(order, verb) for verb in ("hold", "release")] + [await do(order, "deny", reason=another)]
    assert [reply.code for reply in again] == ["commission_denied"] * 3


async def test_what_was_taken_and_is_denied_is_owed(shop, do):
    customer, order = await shop.enrol(), await shop.order()
    await take(shop, customer, 8)
    assert (await do(order, "deny", reason="other")).data["reason"] == "staff"
    assert await buckets(shop, customer) == {"requested": 8, "debt": 8}
    await shop.order()
    assert await buckets(shop, customer) == {"requested": 8, "available": 2}


async def test_where_nothing_is_owed_nothing_is_held_released_or_denied(shop, do):
    declined = await shop.order(code="nobody-has-it")
    replies = [await do(declined, verb, **body) for verb, body in [("hold", {}), ("release", {}), ("deny", TAKEN)]]
    assert [reply.code for reply in replies] == ["commission_declined"] * 3


async def test_without_a_rate_a_commission_can_only_be_denied(shop, do):
    await shop.enrol()
    order = await shop.order(currency="USD")
    assert [(await do(order, verb)).code for verb in ("hold", "release")] == ["no_rate"] * 2
    assert (await do(order, "deny", reason="terms")).data["status"] == "denied"


@pytest.mark.parametrize("by", ["code", "customer_id"])
async def test_a_commission_is_given_to_whom_it_is_due(shop, do, by):
    """At their rate, and with what follows of the order."""
    first, second = await shop.enrol("first"), await shop.enrol("second")
    await shop.client.put(f"/dev/v1/customers/{second}/affiliate/terms", {"percent": 20})
    order = await shop.order(code="first")
    commission_id = (await seen(shop, order))["id"]
    body = {"code": " SECOND "} if by == "code" else {"customer_id": second}
    for _ in range(2):
        reply = await do(order, "reattribute", **body, note="they wrote in")
        assert (reply.status, reply.data["customer_id"], reply.data["code"]) == (200, second, "second")
        assert (reply.data["amount"], reply.data["rate_percent"], reply.data["rate_from"]) == (20, 20, "affiliate")
    assert (await buckets(shop, first), await buckets(shop, second)) == ({}, {"available": 20})
    assert (await links(shop, first), await links(shop, second)) == ({"first": (0, 0)}, {"second": (1, 100)})
    assert await noted(shop, order) == [("commission.reattributed", "they wrote in")]
    reversed_, earned = (await shop.announced(CommissionReversed, CommissionEarned))[-2:]
    assert (reversed_.reason, reversed_.amount_minor, earned.amount_minor) == ("reattributed", 0, 2000)

    theirs = f"/affiliate/commissions/{commission_id}"
    assert (await shop.client.get(f"/dev/v1/customers/{first}{theirs}")).status == 404
    shown = (await shop.client.get(f"/dev/v1/customers/{second}{theirs}")).data
    assert [(touch["code"], touch["kind"], touch["outcome"]) for touch in shown["touches"]] == [
        ("second", "staff", "won"),
        ("first", "order", "superseded"),
    ]
    assert [(move["kind"], move["from"], move["to"], move["amount"]) for move in shown["history"]] == [
        ("earned", "program", "available", 20)
    ]
    assert len((await shop.client.get(path(commission_id))).data["history"]) == 3

    await shop.complete(order.model_copy(update={"version": 2, "base_remaining_minor": 5_000}))
    assert (await buckets(shop, first), await buckets(shop, second)) == ({}, {"available": 10})


async def test_a_commission_keeps_its_rate_with_another_code_of_the_same_affiliate(shop, do):
    await shop.program(rate_tiers=[{"from": 100, "percent": 50}])
    customer, order = await shop.enrol("first"), await shop.order(code="first")
    await shop.client.post(f"/dev/v1/customers/{customer}/affiliate/links", {"code": "other"})
    reply = await do(order, "reattribute", code="other", note="the newsletter")
    assert (reply.data["code"], reply.data["amount"], reply.data["rate_percent"]) == ("other", 10, 10)
    assert await links(shop, customer) == {"first": (0, 0), "other": (1, 100)}
    assert await buckets(shop, customer) == {"available": 10}


async def test_a_commission_earns_by_the_tier_that_its_new_affiliate_had_before_it(shop, do):
    """What they sold since, and it itself, counts for others only."""
    _, second = await shop.enrol("first"), await shop.enrol("second")
    await shop.program(rate_tiers=[{"from": 500, "percent": 20}, {"from": 600, "percent": 30}])
    early = await shop.order(code="first", base=50_000)
    await shop.order(code="second", base=50_000)
    late = await shop.order(code="first", base=20_000)
    await shop.order(code="second", base=10_000)
    given = [(await do(order, "reattribute", code="second", note="x")).data for order in (late, early)]
    assert [(its["rate_percent"], its["rate_from"]) for its in given] == [(20, "tier"), (10, "program")]
    assert (await buckets(shop, second))["available"] == 50 + 50 + 40 + 20


@pytest.mark.parametrize("whose", ["program", "affiliate"])
async def test_a_commission_is_given_by_the_terms_of_its_day(shop, do, whose):
    _, second = await shop.enrol("first"), await shop.enrol("second")
    orders = []
    for percent in (20, 30, 50):
        if whose == "program":
            await shop.program(revenue_share_percent=percent)
        else:
            await shop.client.put(f"/dev/v1/customers/{second}/affiliate/terms", {"percent": percent})
        orders.append(await shop.order(code="first"))
    reply = await do(orders[1], "reattribute", code="second", note="x")
    assert (reply.data["rate_percent"], reply.data["rate_from"]) == (30, whose)


@pytest.mark.parametrize("why", ["unknown_code", "outside_window", "not_active", "link_inactive", "own_purchase"])
async def test_what_was_declined_can_be_given_to_somebody(shop, do, why):
    first, second = await shop.enrol("first"), await shop.enrol("second")
    given = {"code": "first"}
    if why == "unknown_code":
        given = {"code": "frist"}
    elif why == "outside_window":
        clicked = clock.now().replace(year=2020)
        given = {"code": None, "touches": (Touch(code="first", at=clicked),)}
    elif why == "not_active":
        await shop.client.post(f"/dev/v1/customers/{first}/affiliate/suspend", {"reason": "spam"})
    elif why == "link_inactive":
        await shop.client.post(f"/dev/v1/customers/{first}/affiliate/links", {"code": "other"})
        await shop.client.delete(f"/dev/v1/customers/{first}/affiliate/links/first")
    else:
        given = {"code": "first", "customer_id": first}
    order = await shop.order(**given)
    assert (await seen(shop, order))["reason"] == why
    reply = await do(order, "reattribute", code="second", note="a typo")
    assert (reply.status, reply.data["status"], reply.data["amount"]) == (200, "payable", 10)
    await shop.complete(order.model_copy(update={"version": 2, "base_remaining_minor": 4_000}))
    assert (await buckets(shop, first), await buckets(shop, second)) == ({}, {"available": 4})


@pytest.mark.parametrize(
    "why", ["commission_taken", "commission_denied", "not_active", "link_inactive", "own_purchase", "program_off"]
)
async def test_a_commission_stays_where_it_is_for_a_reason(shop, do, why):
    first, second = await shop.enrol("first"), await shop.enrol("second")
    if why == "program_off":
        await shop.program(revenue_share_enabled=False)
    order = await shop.order(code="first", **({"customer_id": second} if why == "own_purchase" else {}))
    if why == "commission_taken":
        await take(shop, first, 1)
    elif why == "commission_denied":
        await do(order, "deny", reason="fraud")
    elif why == "not_active":
        await shop.client.post(f"/dev/v1/customers/{second}/affiliate/suspend", {"reason": "spam"})
    elif why == "link_inactive":
        await shop.client.post(f"/dev/v1/customers/{second}/affiliate/links", {"code": "other"})
        await shop.client.delete(f"/dev/v1/customers/{second}/affiliate/links/second")
    before = await seen(shop, order), await buckets(shop, first), await noted(shop, order)
    reply = await do(order, "reattribute", code="second", note="they asked")
    assert (reply.status, reply.code) == (409, why)
    assert (await seen(shop, order), await buckets(shop, first), await noted(shop, order)) == before


async def test_what_was_taken_and_then_held_is_taken(shop, do):
    first = await shop.enrol("first")
    await shop.enrol("second")
    order = await shop.order(code="first")
    await take(shop, first, 10)
    await do(order, "hold")
    assert (await do(order, "reattribute", code="second", note="x")).code == "commission_taken"


async def test_what_was_held_from_the_beginning_is_not_taken_by_who_owes(shop, do):
    first, second = await shop.enrol("first"), await shop.enrol("second")
    taken = await shop.order(code="first")
    await take(shop, first, 10)
    await do(taken, "deny", reason="fraud")
    await shop.program(waiting_days=14)
    order = await shop.order(code="first")
    await do(order, "hold")
    assert (await do(order, "reattribute", code="second", note="x")).data["status"] == "held"
    assert await buckets(shop, first) == {"requested": 10, "debt": 10}
    assert await buckets(shop, second) == {"pending": 10}


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"note": "x"}, "/code", "code_or_customer_id"),
        ({"note": "x", "code": "nobodys"}, "/code", "code_unknown"),
        ({"note": "x", "code": " "}, "/code", "code_unknown"),
        ({"note": "x", "customer_id": "cus_01jd0000000000000000000000"}, "/customer_id", "not_an_affiliate"),
        ({"note": "x", "customer_id": "nobody"}, "/customer_id", "string_pattern_mismatch"),
        ({"code": "creator123"}, "/note", "missing"),
        ({"note": " ", "code": "creator123"}, "/note", "string_too_short"),
        ({"note": "x", "code": "creator123", "rate": 5}, "/rate", "extra_forbidden"),
    ],
)
async def test_a_body_that_does_not_say_to_whom_is_refused(shop, do, body, pointer, code):
    await shop.enrol()
    order = await shop.order()
    reply = await do(order, "reattribute", **body)
    assert (reply.status, [(flaw["pointer"], flaw["code"]) for flaw in reply.json["errors"]]) == (
        422,
        [(pointer, code)],
    )


async def test_a_denial_says_why(shop, do):
    await shop.enrol()
    order = await shop.order()
    assert (await do(order, "deny")).status == 422
    assert (await do(order, "deny", reason="because")).status == 422


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


async def test_a_version_that_comes_while_a_commission_is_given_away_waits_for_whom_it_is_then(shop):
    """Who waited for the one affiliate has not locked the other: it comes again, and changes what the other has."""
    first, second = await shop.enrol("first"), await shop.enrol("second")
    order = await shop.order(code="first")
    refund = order.model_copy(update={"version": 2, "base_remaining_minor": 5_000})
    async with shop.worker.transaction() as conn:
        grounds = await store_reattribution.lock_grounds(conn, (shop.store_id, order.order_id), "second")
        coming = asyncio.create_task(shop.complete(refund))
        await somebody_waits(shop.worker)
        after = reattribution.decide(grounds, clock.now())
        await changes.keep_commissions(conn, [(grounds.commission, after)], clock.now())
    with pytest.raises(NotYet) as verdict:
        await coming
    assert verdict.value.events == [refund]
    await shop.complete(refund)
    assert (await buckets(shop, first), await buckets(shop, second)) == ({}, {"available": 5})


@pytest.mark.parametrize(
    ("verb", "body"), [("hold", {}), ("deny", TAKEN), ("reattribute", {"code": "third", "note": "x"})]
)
async def test_staff_who_waited_while_it_was_given_away_decide_about_what_it_is_then(shop, do, verb, body):
    for code in ("first", "second", "third"):
        await shop.enrol(code)
    order = await shop.order(code="first")
    async with shop.worker.transaction() as conn:
        grounds = await store_reattribution.lock_grounds(conn, (shop.store_id, order.order_id), "second")
        deciding = asyncio.create_task(do(order, verb, **body))
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
    async with shop.worker.transaction() as conn:
        grounds = await store_reattribution.lock_grounds(conn, (shop.store_id, order.order_id), "creator123")
        coming = asyncio.create_task(shop.complete(later))
        await somebody_waits(shop.worker)
        after = reattribution.decide(grounds, clock.now())
        await changes.keep_commissions(conn, [(grounds.commission, after)], clock.now())
    with pytest.raises(NotYet):
        await coming
    await shop.complete(later)
    assert await buckets(shop, customer) == {"available": 5}


async def test_whatever_staff_do_at_once_one_thing_is_so_in_the_end(shop, do):
    customers = [await shop.enrol(f"code-{n}") for n in range(3)]
    orders = [await shop.order(code="code-0") for _ in range(2)]
    orders.append(await shop.order(code="typo"))
    work = [do(order, "reattribute", code=f"code-{n}", note="x") for order in orders for n in range(3)]
    work += [do(order, verb) for order in orders for verb in ("hold", "release")]
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
