"""Customers who are merged: their affiliates follow them, or become one, with all their money and once."""

from datetime import UTC, datetime

import pytest
from merges import two
from payout_desk import some

from affiliates import merging, timers
from affiliates.enrolment import Affiliate, State
from affiliates.journal import Balances, Bucket
from chassis import ids
from chassis.timers import one_slice
from contracts.affiliates import AffiliateEnrolled, AffiliateSuspended, ClaimFailed, CommissionReversed, LinkAdded
from contracts.ids import CUSTOMER

NOW = datetime(2030, 1, 1, tzinfo=UTC)


async def test_an_affiliate_follows_their_customer(shop):
    old, new = await shop.enrol("old-code"), await shop.customer()
    await shop.order(code="old-code")
    await shop.merge(old, new)
    for customer in (old, new):  # the timer has not run
        shown = await shop.summary(customer)
        assert (shown["customer_id"], shown["balances"]["available"]) == (new, 10)
    await shop.follow()
    await shop.follow()
    assert (await shop.summary(new))["balances"]["available"] == 10
    (row,) = await shop.rows("SELECT customer_id FROM affiliate WHERE store_id = $1", shop.store_id)
    assert row["customer_id"] == new
    assert [event.customer_id for event in await shop.announced(AffiliateEnrolled)] == [old, new]


async def test_who_is_an_affiliate_by_a_merge_takes_and_does_not_enrol_again(shop, impatient):
    old, new = await shop.enrol("old-code"), await shop.customer()
    await shop.order(code="old-code")
    await shop.merge(old, new)
    again = await shop.client.post(f"/dev/v1/customers/{new}/affiliate")
    assert (again.status, again.data["link"]["code"]) == (200, "old-code")
    assert (await shop.convert(new, 4)).status == 202
    await shop.follow()
    await shop.answer()
    assert some(await shop.buckets(new)) == {"available": 6, "converted": 4}


@pytest.mark.usefixtures("alone")
async def test_two_affiliates_become_one_with_all_their_money(shop, later, impatient):
    old, new = await two(shop)
    await shop.order(code="old-code")
    await shop.order(code="new-code")
    await shop.convert(old, 3)
    await shop.answer()
    await shop.convert(old, 2)
    await shop.program(waiting_days=14)
    await shop.order(code="old-code", base=5_000)
    await shop.order(code="new-code", base=1_000)
    before = [await shop.buckets(customer) for customer in (old, new)]
    await shop.merge(old, new)
    await shop.follow()
    after = await shop.buckets(new)
    assert after == {name: before[0][name] + before[1][name] for name in after}
    assert after == {"available": 15, "requested": 2, "converted": 3, "pending": 6, "paid": 0, "debt": 0}
    assert len((await shop.summary(new))["commissions"]) == 4
    assert len((await shop.summary(new))["claims"]) == 2
    later(days=14.1)
    assert await one_slice(shop.worker, timers.ALL[0]) == 2
    await shop.answer(count=2)
    assert await shop.buckets(old) == await shop.buckets(new)
    after = some(await shop.buckets(new))
    assert after == {"available": 21, "converted": 5}


async def test_debt_moves_too_and_is_paid_by_what_the_other_has(shop, impatient):
    old, new = await two(shop)
    order = await shop.order(code="old-code")
    await shop.order(code="new-code", base=3_000)
    await shop.convert(old, 10)
    await shop.answer()
    await shop.complete(order.model_copy(update={"version": 2, "base_remaining_minor": 0}))
    assert (await shop.buckets(old))["debt"] == 10
    await shop.merge(old, new)
    await shop.follow()
    shown = some(await shop.buckets(new))
    assert shown == {"debt": 7, "converted": 10}


async def test_a_sum_larger_than_any_amount_moves_too(shop):
    old, new = await two(shop)
    await shop.program(revenue_share_percent=100)
    for _ in range(2):
        await shop.order(code="old-code", base=9 * 10**14, gross_minor=9 * 10**14)
    await shop.merge(old, new)
    await shop.follow()
    assert (await shop.summary(new))["balances"]["available"] == 18 * 10**12
    path = f"/dev/v1/customers/{new}/affiliate"
    period = "from=2020-01-01T00:00:00Z&to=2999-01-01T00:00:00Z"
    statement = (await shop.client.get(f"{path}/statement?{period}")).json["statement"]
    assert (statement["merged"], statement["closing"]["available"]) == (18 * 10**12, 18 * 10**12)
    assert (await shop.client.get(f"{path}/clicks")).json["totals"]["revenue"] == 18 * 10**12


async def test_the_two_are_told_and_the_old_one_is_no_longer_listed(shop):
    old, new = await two(shop)
    await shop.merge(old, new)
    before = len(await shop.announced(AffiliateEnrolled, AffiliateSuspended, LinkAdded))
    await shop.follow()
    told = (await shop.announced(AffiliateEnrolled, AffiliateSuspended, LinkAdded))[before:]
    assert [(event.TYPE, event.customer_id) for event in told] == [
        ("affiliate.suspended", old),
        ("affiliate.enrolled", new),
        ("link.added", new),
        ("link.added", new),
    ]
    assert [each["customer_id"] for each in (await shop.client.get("/dev/v1/affiliates")).data] == [new]


async def test_a_chain_of_merges_ends_in_one_affiliate(shop):
    first, second, third = [await shop.enrol(f"code-{n}") for n in range(3)]
    last = await shop.customer()
    for n in range(3):
        await shop.order(code=f"code-{n}")
    await shop.merge(first, second, third, last)
    assert (await shop.summary(last))["link"]["code"] == "code-0"
    await shop.follow()
    shown = await shop.summary(last)
    assert (shown["customer_id"], shown["balances"]["available"]) == (last, 30)


async def test_own_terms_are_those_of_who_is_left(shop):
    old, new = await two(shop)
    await shop.client.put(f"/dev/v1/customers/{old}/affiliate/terms", {"percent": 50})
    await shop.merge(old, new)
    await shop.follow()
    await shop.order(code="old-code")
    assert (await shop.buckets(new))["available"] == 10


async def test_payout_addresses_are_kept_from_when_they_were_first_used(shop):
    old, new = await two(shop)
    days = [datetime(2030, 1, day, tzinfo=UTC) for day in (1, 2, 3)]
    given = [(old, "a", days[0]), (new, "a", days[1]), (old, "b", days[2])]
    for customer, key, day in given:
        await shop.rows(
            """
            INSERT INTO payout_address (store_id, affiliate_id, network, key, first_used_at)
            SELECT store_id, affiliate_id, 'tron', $2, $3 FROM affiliate WHERE customer_id = $1
            """,
            customer,
            key,
            day,
        )
    await shop.merge(old, new)
    await shop.follow()
    rows = await shop.rows(
        "SELECT customer_id, key, first_used_at FROM payout_address JOIN affiliate USING (store_id, affiliate_id) "
        "WHERE store_id = $1 ORDER BY key",
        shop.store_id,
    )
    assert [tuple(row) for row in rows] == [(new, "a", days[0]), (new, "b", days[2])]


async def test_what_was_taken_and_then_held_is_taken_also_by_who_became_another(shop, impatient):
    old, new = await two(shop)
    await shop.enrol("third-code")
    order = await shop.order(code="old-code")
    await shop.convert(old, 10)
    (row,) = await shop.rows("SELECT commission_id FROM commission WHERE order_id = $1", order.order_id)
    path = f"/dev/v1/affiliates/commissions/{row['commission_id']}"
    assert (await shop.client.post(f"{path}/hold", key="hold")).status == 200
    await shop.merge(old, new)
    await shop.follow()
    given = await shop.client.post(f"{path}/reattribute", {"code": "third-code", "note": "x"}, key="give")
    assert (given.status, given.code) == (409, "commission_taken")


async def test_who_became_one_by_way_of_another_is_whose_is_left(shop, impatient):
    first, second, third = [await shop.enrol(f"code-{n}") for n in range(3)]
    orders = [await shop.order(code=f"code-{n}") for n in range(3)]
    await shop.convert(first, 3)
    await shop.merge(first, second)
    await shop.follow()
    await shop.merge(second, third)
    await shop.follow()
    for order in orders:
        await shop.complete(order.model_copy(update={"version": 2, "base_remaining_minor": 5_000}))
    await shop.answer(make=shop.refused)
    assert some(await shop.buckets(third)) == {"available": 15}
    (failed,) = await shop.announced(ClaimFailed)
    assert failed.customer_id == third
    assert len({event.affiliate_id for event in await shop.announced(CommissionReversed)}) == 1


async def test_merged_money_that_is_left_behind_is_found(shop, monkeypatch):
    """Planted: the money of the old affiliate is not moved."""
    old, new = await two(shop)
    await shop.order(code="old-code")
    await shop.merge(old, new)
    monkeypatch.setattr(merging, "moved", lambda *_: [])
    await shop.follow()
    found = await shop.faults()
    assert any("merged" in fault for fault in found)
    shop.expected = found


@pytest.mark.parametrize(
    ("old", "survivor", "both"),
    [
        (State.ACTIVE, State.PENDING, State.ACTIVE),
        (State.PENDING, State.ACTIVE, State.ACTIVE),
        (State.PENDING, State.PENDING, State.PENDING),
        (State.SUSPENDED, State.ACTIVE, State.SUSPENDED),
        (State.ACTIVE, State.SUSPENDED, State.SUSPENDED),
    ],
)
def test_nobody_gets_around_a_suspension_and_who_was_approved_stays_so(old, survivor, both):
    assert merging.state_of(old, survivor) is both


def test_what_one_gives_the_other_takes_in_every_bucket():
    old, new = (
        Affiliate("store", name, name, State.ACTIVE, NOW, Balances(1, -2, 3, 4, 5)) for name in ("aff_old", "aff_new")
    )
    sums: dict[tuple[str, Bucket], int] = {}
    for move in merging.moved(old, new, NOW):
        assert move.amount_minor > 0
        for bucket, sign in ((move.source, -1), (move.target, 1)):
            key = move.affiliate_id, bucket
            sums[key] = sums.get(key, 0) + sign * move.amount_minor
    buckets = [Bucket.PENDING, Bucket.SETTLED, Bucket.REQUESTED, Bucket.CONVERTED, Bucket.PAID]
    assert [sums["aff_old", bucket] for bucket in buckets] == [-1, 2, -3, -4, -5]
    assert [sums["aff_new", bucket] for bucket in buckets] == [1, -2, 3, 4, 5]


async def test_who_was_merged_with_nobody_of_ours_is_no_affiliate(shop):
    old, new = ids.new(CUSTOMER), await shop.customer()
    await shop.merge(await shop.customer(old), new)
    await shop.follow()
    assert (await shop.client.get(f"/dev/v1/customers/{new}/affiliate")).status == 404
