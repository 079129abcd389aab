"""An order that came with a code owes its affiliate a share, once, whatever the wire does."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta

import pytest
from handling import somebody_waits
from payout_desk import some
from serving import merchant, new_store

from chassis import ids, known_customers
from chassis.verdicts import NotYet
from contracts.affiliates import CommissionEarned, CommissionReversed
from contracts.customers import CustomerState, CustomerUpdated
from contracts.ids import CUSTOMER


def earned(shop):
    return [event for event in shop.told if isinstance(event, CommissionEarned)]


async def test_a_share_is_available_at_once(shop):
    customer = await shop.enrol()
    order = await shop.order(base=25_000)
    summary = await shop.summary(customer)
    assert summary["balances"] == {"available": 25, "requested": 0, "converted": 0}
    assert (summary["link"]["total_sales"], summary["link"]["total_revenue"]) == (1, 250)
    (event,) = earned(shop)
    assert (event.order_id, event.amount_minor, event.rate_bps, event.currency) == (order.order_id, 2500, 1000, "EUR")


async def test_a_replay_with_an_empty_inbox_changes_nothing(shop):
    customer = await shop.enrol()
    orders = [shop.new_order() for _ in range(5)]
    await shop.complete(*orders)
    before = await shop.summary(customer)
    for _ in range(2):
        await shop.complete(*orders)
        await shop.complete(*reversed(orders), *orders)
    assert await shop.summary(customer) == before
    assert len(earned(shop)) == 5


async def test_every_sequence_of_three_versions_ends_the_same(shop):
    outcomes = []
    for number, sequence in enumerate(itertools.permutations([1, 2, 3])):
        customer = await shop.enrol(f"code-{number}")
        first = shop.new_order(code=f"code-{number}")
        for version in sequence:
            later = {"version": version, "base_remaining_minor": 10_000 - 1_000 * version}
            await shop.complete(first.model_copy(update=later))
        summary = await shop.summary(customer)
        outcomes.append((summary["balances"], summary["link"]["total_sales"], summary["commissions"][0]["amount"]))
    assert outcomes == [({"available": 7, "requested": 0, "converted": 0}, 1, 7)] * 6


async def test_several_versions_in_one_delivery_count_as_the_highest(shop):
    customer = await shop.enrol()
    order = shop.new_order()
    await shop.complete(order, order.model_copy(update={"version": 2, "base_remaining_minor": 5_000}), order)
    assert (await shop.buckets(customer))["available"] == 5
    assert [event.order_version for event in earned(shop)] == [2]


async def test_one_delivery_may_hold_orders_of_many_affiliates(shop):
    customers = [await shop.enrol(f"code-{number}") for number in range(20)]
    await shop.complete(*(shop.new_order(code=f"CODE-{number}") for number in range(20) for _ in range(3)))
    assert {(await shop.buckets(customer))["available"] for customer in customers} == {30}


async def test_deliveries_at_once_do_not_wait_in_a_circle(shop):
    customers = [await shop.enrol(f"code-{number}") for number in range(6)]
    orders = [shop.new_order(code=f"code-{number}") for number in range(6) for _ in range(4)]
    await asyncio.gather(*(shop.complete(*orders[n:], *orders[:n]) for n in range(len(orders))))
    assert {(await shop.buckets(customer))["available"] for customer in customers} == {40}
    assert len({event.commission_id for event in earned(shop)}) == len(earned(shop)) == 24


async def test_affiliates_are_locked_sorted_and_first(shop):
    """Who waits for the first affiliate holds none of the others."""
    for number in range(10):
        await shop.enrol(f"code-{number}")
    ids_ = [
        row["affiliate_id"]
        for row in await shop.rows(
            "SELECT affiliate_id FROM affiliate WHERE store_id = $1 ORDER BY affiliate_id", shop.store_id
        )
    ]
    async with shop.worker.transaction() as conn:
        await conn.execute("SELECT FROM affiliate WHERE affiliate_id = $1 FOR UPDATE", ids_[0])
        delivery = asyncio.create_task(shop.complete(*(shop.new_order(code=f"code-{n}") for n in range(10))))
        await somebody_waits(shop.worker)
        others = await shop.rows(
            "SELECT 1 FROM affiliate WHERE affiliate_id = ANY($1) FOR UPDATE SKIP LOCKED", ids_[1:]
        )
        assert len(others) == 9
    await delivery


async def test_a_code_that_is_taken_later_earns_nothing_by_a_replay(shop):
    order = await shop.order(code="latecomer")
    customer = await shop.enrol("latecomer")
    await shop.complete(order, order.model_copy(update={"version": 2}))
    assert (await shop.buckets(customer))["available"] == 0
    assert earned(shop) == []


async def test_a_code_that_is_taken_after_the_order_earns_nothing_however_late_it_is_heard(shop):
    yesterday = datetime.now(UTC) - timedelta(days=1)
    orders = [shop.new_order(code=code, first_completed_at=yesterday) for code in ("latecomer", "another", "asked-for")]
    customer = await shop.enrol("latecomer")
    await shop.program(custom_links_need_approval=True)
    links = f"/dev/v1/customers/{customer}/affiliate/links"
    portal = shop.client.as_(merchant(shop.store_id, ["customers.write"]))
    assert (await shop.client.post(links, {"code": "another"})).data["state"] == "active"
    assert (await portal.post(links, {"code": "asked-for"})).data["state"] == "requested"
    assert (await shop.client.post("/dev/v1/affiliates/links/asked-for/approve")).status == 200
    await shop.complete(*orders)
    assert (await shop.buckets(customer))["available"] == 0
    rows = await shop.rows("SELECT reason FROM commission WHERE store_id = $1", shop.store_id)
    assert [row["reason"] for row in rows] == ["link_inactive"] * 3


async def test_an_order_of_the_moment_in_which_an_affiliate_enrols_earns(shop):
    """By carts' clock it was before."""
    order = shop.new_order()
    customer = await shop.enrol()
    await shop.complete(order)
    assert (await shop.buckets(customer))["available"] == 10


async def test_an_order_counts_by_where_its_affiliate_stood_however_late_it_is_heard(shop, later):
    """Approved on the second day, suspended on the fourth, active again on the sixth."""
    customer = await shop.customer()
    path = f"/dev/v1/customers/{customer}/affiliate"
    began = datetime.now(UTC)
    assert (await shop.client.post(path, {"code": "creator123", "state": "pending"})).status == 201
    for day, step in ((2, "approve"), (4, "suspend"), (6, "reactivate")):
        later(days=day)
        await shop.step(customer, step)
    later(days=7)
    for day in (1, 3, 5, 6.5):
        await shop.order(first_completed_at=began + timedelta(days=day))
    rows = await shop.rows("SELECT reason FROM commission WHERE store_id = $1 ORDER BY earned_at", shop.store_id)
    assert [row["reason"] for row in rows] == ["not_active", None, "not_active", None]


async def test_a_suspension_counts_also_after_the_clock_was_ahead(shop, later):
    customer = await shop.enrol()
    later(days=30)
    await shop.step(customer, "suspend")
    later(days=0)
    for step in ("reactivate", "suspend", "reactivate"):
        await shop.step(customer, step)
        await shop.order()
    rows = await shop.rows("SELECT reason FROM commission WHERE store_id = $1 ORDER BY earned_at", shop.store_id)
    assert [row["reason"] for row in rows] == [None, "not_active", None]


async def test_a_rate_is_frozen_with_the_commission(shop):
    customer = await shop.enrol()
    order = await shop.order()
    await shop.program(revenue_share_percent=50)
    await shop.complete(order.model_copy(update={"version": 2, "base_remaining_minor": 20_000}))
    assert (await shop.buckets(customer))["available"] == 20
    await shop.order()
    assert (await shop.buckets(customer))["available"] == 70


async def test_an_order_heard_late_earns_by_the_terms_of_its_day(shop):
    customer = await shop.enrol()
    order = shop.new_order()
    await shop.program(revenue_share_percent=50)
    await shop.complete(order)
    assert (await shop.buckets(customer))["available"] == 10


@pytest.mark.parametrize("whose", ["program", "affiliate"])
async def test_the_orders_of_one_delivery_earn_each_by_the_terms_of_its_day(shop, whose):
    customer = await shop.enrol()
    orders = []
    for percent in (20, 30, 50):
        if whose == "program":
            await shop.program(revenue_share_percent=percent)
        else:
            await shop.client.put(f"/dev/v1/customers/{customer}/affiliate/terms", {"percent": percent})
        orders.append(shop.new_order())
    await shop.complete(*reversed(orders))
    rows = await shop.rows("SELECT rate_bps FROM commission WHERE store_id = $1 ORDER BY rate_bps", shop.store_id)
    assert [row["rate_bps"] for row in rows] == [2000, 3000, 5000]


async def test_a_program_that_is_off_owes_nothing(shop):
    customer = await shop.enrol()
    await shop.program(revenue_share_enabled=False)
    order = await shop.order()
    await shop.program(revenue_share_enabled=True)
    await shop.complete(order)
    assert (await shop.buckets(customer))["available"] == 0
    assert (await shop.summary(customer))["link"]["total_sales"] == 0


async def test_nobody_earns_by_their_own_purchase(shop):
    customer = await shop.enrol()
    await shop.order(customer_id=customer)
    await shop.order(current_customer_id=customer)
    summary = await shop.summary(customer)
    assert (summary["balances"]["available"], summary["commissions"]) == (0, [])


async def test_nobody_earns_by_the_purchase_of_whom_they_were_merged_into(shop):
    customer, other = await shop.enrol(), await shop.customer()
    merged = CustomerUpdated(
        store_id=shop.store_id, customer_id=customer, version=2, state=CustomerState.MERGED, merged_into=other
    )
    await shop.hear(known_customers.on_customer_updated, [merged])
    await shop.order(customer_id=other)
    assert earned(shop) == []


async def test_a_purchase_that_turns_out_to_be_ones_own_is_reversed(shop):
    customer = await shop.enrol()
    order = await shop.order()
    await shop.complete(order.model_copy(update={"version": 2, "current_customer_id": customer}))
    summary = await shop.summary(customer)
    assert (summary["balances"]["available"], summary["link"]["total_sales"]) == (0, 0)
    assert [event.amount_minor for event in earned(shop)] == [1000]
    (reversal,) = [event for event in shop.told if isinstance(event, CommissionReversed)]
    assert (reversal.amount_minor, reversal.reversed_minor, reversal.reason) == (0, 1000, "own_purchase")


async def test_a_suspended_affiliate_earns_nothing_also_when_active_again(shop):
    customer = await shop.enrol()
    await shop.step(customer, "suspend")
    order = await shop.order()
    await shop.step(customer, "reactivate")
    await shop.complete(order)
    assert (await shop.buckets(customer))["available"] == 0


async def test_an_order_in_another_currency_is_held(shop):
    customer = await shop.enrol()
    await shop.order(currency="USD")
    summary = await shop.summary(customer)
    assert (summary["balances"]["available"], summary["link"]["total_sales"]) == (0, 1)
    (commission,) = summary["commissions"]
    assert (commission["status"], commission["reason"], commission["amount"]) == ("held", "no_rate", None)


async def test_an_order_without_a_code_or_with_nonsense_leaves_nothing(shop):
    await shop.order(code=None)
    await shop.order(code="a\0b")
    assert await shop.rows("SELECT 1 FROM commission WHERE store_id = $1", shop.store_id) == []


async def test_what_was_taken_and_reversed_is_debt_that_the_next_commission_pays(shop):
    customer = await shop.enrol()
    order = await shop.order(base=25_000)
    await asyncio.gather(shop.convert(customer, 25), shop.answer())
    await shop.complete(order.model_copy(update={"version": 2, "base_remaining_minor": 5_000}))
    assert await shop.buckets(customer) == {
        "available": 0,
        "requested": 0,
        "converted": 25,
        "pending": 0,
        "paid": 0,
        "debt": 20,
    }
    await shop.order(base=30_000)
    assert some(await shop.buckets(customer)) == {
        "available": 10,
        "converted": 25,
    }


async def test_a_store_never_earns_by_anothers_orders(shop, client):
    customer = await shop.enrol()
    stranger = shop.new_order(customer_id=ids.new(CUSTOMER)).model_copy(
        update={"store_id": "store_00000000000000000000000001"}
    )
    await shop.rows(
        "INSERT INTO store (store_id, slug, currency, locale, url) VALUES ($1, 'x', 'EUR', 'en', '') ON CONFLICT DO NOTHING",
        stranger.store_id,
    )
    await shop.complete(stranger)
    assert (await shop.buckets(customer))["available"] == 0


async def test_an_order_of_a_store_that_is_not_known_yet_keeps_no_others_waiting(shop, new_order):
    store_id = new_store()
    early = [new_order(store_id), new_order(store_id)]
    with pytest.raises(NotYet) as verdict:
        await shop.complete(early[0], shop.new_order(), early[1])
    assert verdict.value.events == early
