"""A commission is given to whom it is due, as the terms of its day have it, or stays where it is for a reason."""

import pytest
from commission_desk import buckets, do, links, noted, path, seen, take

from chassis import clock
from contracts.affiliates import CommissionEarned, CommissionReversed
from contracts.carts import Touch


@pytest.mark.parametrize("by", ["code", "customer_id"])
async def test_a_commission_is_given_to_whom_it_is_due(shop, by):
    """At their rate, and with what follows of the order."""
    first, second = await shop.enrol("first"), await shop.enrol("second")
    await shop.client.put(f"/dev/v1/customers/{second}/affiliate/terms", {"percent": 20})
    order = await shop.order(code="first")
    commission_id = (await seen(shop, order))["id"]
    body = {"code": " SECOND "} if by == "code" else {"customer_id": second}
    for _ in range(2):
        reply = await do(shop, order, "reattribute", **body, note="they wrote in")
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


async def test_a_commission_keeps_its_rate_with_another_code_of_the_same_affiliate(shop):
    await shop.program(rate_tiers=[{"from": 100, "percent": 50}])
    customer, order = await shop.enrol("first"), await shop.order(code="first")
    await shop.client.post(f"/dev/v1/customers/{customer}/affiliate/links", {"code": "other"})
    reply = await do(shop, order, "reattribute", code="other", note="the newsletter")
    assert (reply.data["code"], reply.data["amount"], reply.data["rate_percent"]) == ("other", 10, 10)
    assert await links(shop, customer) == {"first": (0, 0), "other": (1, 100)}
    assert await buckets(shop, customer) == {"available": 10}


async def test_a_commission_earns_by_the_tier_that_its_new_affiliate_had_before_it(shop):
    """What they sold since, and it itself, counts for others only."""
    _, second = await shop.enrol("first"), await shop.enrol("second")
    await shop.program(rate_tiers=[{"from": 500, "percent": 20}, {"from": 600, "percent": 30}])
    early = await shop.order(code="first", base=50_000)
    await shop.order(code="second", base=50_000)
    late = await shop.order(code="first", base=20_000)
    await shop.order(code="second", base=10_000)
    given = [(await do(shop, order, "reattribute", code="second", note="x")).data for order in (late, early)]
    assert [(its["rate_percent"], its["rate_from"]) for its in given] == [(20, "tier"), (10, "program")]
    assert (await buckets(shop, second))["available"] == 50 + 50 + 40 + 20


@pytest.mark.parametrize("whose", ["program", "affiliate"])
async def test_a_commission_is_given_by_the_terms_of_its_day(shop, whose):
    _, second = await shop.enrol("first"), await shop.enrol("second")
    orders = []
    for percent in (20, 30, 50):
        if whose == "program":
            await shop.program(revenue_share_percent=percent)
        else:
            await shop.client.put(f"/dev/v1/customers/{second}/affiliate/terms", {"percent": percent})
        orders.append(await shop.order(code="first"))
    reply = await do(shop, orders[1], "reattribute", code="second", note="x")
    assert (reply.data["rate_percent"], reply.data["rate_from"]) == (30, whose)


@pytest.mark.parametrize("why", ["unknown_code", "outside_window", "not_active", "link_inactive", "own_purchase"])
async def test_what_was_declined_can_be_given_to_somebody(shop, why):
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
    reply = await do(shop, order, "reattribute", code="second", note="a typo")
    assert (reply.status, reply.data["status"], reply.data["amount"]) == (200, "payable", 10)
    await shop.complete(order.model_copy(update={"version": 2, "base_remaining_minor": 4_000}))
    assert (await buckets(shop, first), await buckets(shop, second)) == ({}, {"available": 4})


@pytest.mark.parametrize(
    "why", ["commission_taken", "commission_denied", "not_active", "link_inactive", "own_purchase", "program_off"]
)
async def test_a_commission_stays_where_it_is_for_a_reason(shop, why):
    first, second = await shop.enrol("first"), await shop.enrol("second")
    if why == "program_off":
        await shop.program(revenue_share_enabled=False)
    order = await shop.order(code="first", **({"customer_id": second} if why == "own_purchase" else {}))
    if why == "commission_taken":
        await take(shop, first, 1)
    elif why == "commission_denied":
        await do(shop, order, "deny", reason="fraud")
    elif why == "not_active":
        await shop.client.post(f"/dev/v1/customers/{second}/affiliate/suspend", {"reason": "spam"})
    elif why == "link_inactive":
        await shop.client.post(f"/dev/v1/customers/{second}/affiliate/links", {"code": "other"})
        await shop.client.delete(f"/dev/v1/customers/{second}/affiliate/links/second")
    before = await seen(shop, order), await buckets(shop, first), await noted(shop, order)
    reply = await do(shop, order, "reattribute", code="second", note="they asked")
    assert (reply.status, reply.code) == (409, why)
    assert (await seen(shop, order), await buckets(shop, first), await noted(shop, order)) == before


async def test_what_was_taken_and_then_held_is_taken(shop):
    first = await shop.enrol("first")
    await shop.enrol("second")
    order = await shop.order(code="first")
    await take(shop, first, 10)
    await do(shop, order, "hold")
    assert (await do(shop, order, "reattribute", code="second", note="x")).code == "commission_taken"


async def test_what_was_held_from_the_beginning_is_not_taken_by_who_owes(shop):
    first, second = await shop.enrol("first"), await shop.enrol("second")
    taken = await shop.order(code="first")
    await take(shop, first, 10)
    await do(shop, taken, "deny", reason="fraud")
    await shop.program(waiting_days=14)
    order = await shop.order(code="first")
    await do(shop, order, "hold")
    assert (await do(shop, order, "reattribute", code="second", note="x")).data["status"] == "held"
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
async def test_a_body_that_does_not_say_to_whom_is_refused(shop, body, pointer, code):
    await shop.enrol()
    order = await shop.order()
    reply = await do(shop, order, "reattribute", **body)
    assert (reply.status, [(flaw["pointer"], flaw["code"]) for flaw in reply.json["errors"]]) == (
        422,
        [(pointer, code)],
    )
