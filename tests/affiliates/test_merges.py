"""Customers who are merged: their affiliates follow them, or become one, with all their money and once."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from merges import two
from payout_desk import ask, some
from serving import merchant

from affiliates import merging, store_referrals, timers
from affiliates.enrolment import Affiliate, State, was_active
from affiliates.journal import Balances, Bucket
from chassis import clock, ids
from chassis.timers import one_slice
from contracts.affiliates import AffiliateEnrolled, AffiliateSuspended, ClaimFailed, CommissionReversed, LinkAdded
from contracts.ids import CUSTOMER

NOW = datetime(2030, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


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
    assert {k: v for k, v in (await shop.buckets(new)).items() if v} == {"available": 6, "converted": 4}


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
    after = {name: value for name, value in (await shop.buckets(new)).items() if value}
    assert after == {"available": 21, "converted": 5}


async def test_what_orders_become_counts_for_the_one_who_is_left(shop):
    old, new = await two(shop)
    order = await shop.order(code="old-code")
    await shop.merge(old, new)
    await shop.follow()
    await shop.complete(order.model_copy(update={"version": 2, "base_remaining_minor": 3_000}))
    await shop.order(code="old-code", base=5_000)
    assert (await shop.buckets(new))["available"] == 8
    codes = {link["code"] for link in (await shop.client.get(f"/dev/v1/customers/{new}/affiliate/links")).data}
    assert codes == {"old-code", "new-code"}


async def reasons(shop, code):
    """Why orders with a code earned nothing, the first one first."""
    rows = await shop.rows(
        "SELECT reason FROM commission WHERE (store_id, code) = ($1, $2) ORDER BY earned_at", shop.store_id, code
    )
    return [row["reason"] for row in rows]


async def test_an_order_from_before_a_merge_counts_by_where_whose_link_it_was_stood(shop, later):
    """The first is suspended from the second day to the fourth, and becomes the second on the fifth, who becomes the
    third on the seventh. The second is never suspended, the third from the sixth day on, so that all are by then."""
    began = clock.now()
    first, second, third = [await shop.enrol(f"code-{n}") for n in range(3)]
    for day, step, who in ((2, "suspend", first), (4, "reactivate", first)):
        later(days=day)
        await shop.step(who, step)
    later(days=5)
    await shop.merge(first, second)
    await shop.follow()
    later(days=6)
    await shop.step(third, "suspend")
    later(days=7)
    await shop.merge(second, third)
    await shop.follow()
    later(days=8)
    await shop.step(third, "reactivate")
    later(days=9)
    for code, expected in (
        ("code-0", [None, "not_active", None, None, None, "not_active", None]),
        ("code-1", [None, None, None, None, None, "not_active", None]),
        ("code-2", [None, None, None, None, "not_active", "not_active", None]),
    ):
        for day in (1, 3, 4.5, 5.5, 6.5, 7.5, 8.5):
            await shop.order(code=code, first_completed_at=began + timedelta(days=day))
        assert await reasons(shop, code) == expected


async def test_an_order_from_before_a_merge_with_one_who_only_waits_is_paid(shop, later):
    old, new = await shop.enrol("old-code"), await shop.customer()
    path = f"/dev/v1/customers/{new}/affiliate"
    assert (await shop.client.post(path, {"code": "new-code", "state": "pending"})).status == 201
    later(days=1)
    done = clock.now()
    later(days=2)
    await shop.merge(old, new)
    await shop.follow()
    for code in ("old-code", "new-code"):
        await shop.order(code=code, first_completed_at=done)
    assert [await reasons(shop, code) for code in ("old-code", "new-code")] == [[None], ["not_active"]]


async def test_of_where_two_stood_is_read_what_decides(shop):
    """Also where a clock was put back: what was written last decides from its moment on."""
    customers = await two(shop)
    hours = [5, 9, 2, 7, 6, 12, 3, 4, 11, 8]
    for customer in customers:
        await shop.step(customer, "suspend")
        (row,) = await shop.rows("SELECT affiliate_id FROM affiliate WHERE customer_id = $1", customer)
        for nth, hour in enumerate(hours):
            await shop.rows(
                "INSERT INTO standing (store_id, affiliate_id, since, state) VALUES ($1, $2, $3, $4)",
                *(shop.store_id, row["affiliate_id"], NOW + timedelta(hours=hour), ("active", "suspended")[nth % 2]),
            )
        hours.reverse()
    await shop.merge(*customers)
    await shop.follow()
    await shop.rows(
        "UPDATE link SET owned_until = ARRAY[$2::timestamptz] WHERE store_id = $1 AND code = 'old-code'",
        *(shop.store_id, NOW + timedelta(hours=6.5)),
    )

    async def standings(since):
        codes = [(shop.store_id, "old-code"), (shop.store_id, "new-code")]
        async with shop.worker.transaction() as conn:
            found = await store_referrals.referrals_of(conn, codes, {shop.store_id: since})
        return [found[code].standings for code in codes]

    moments = [NOW + timedelta(minutes=minutes) for minutes in range(0, 13 * 60, 29)]
    everything = await standings(datetime.min.replace(tzinfo=UTC))
    for nth, since in enumerate(moments):
        for part, whole in zip(await standings(since), everything, strict=True):
            assert [was_active(part, moment, MINUTE) for moment in moments[nth:]] == [
                was_active(whole, moment, MINUTE) for moment in moments[nth:]
            ]


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
    shown = {name: value for name, value in (await shop.buckets(new)).items() if value}
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


async def test_what_was_asked_for_in_vain_is_shown_to_who_is_left(shop):
    old, new = await two(shop)
    await shop.program(custom_links_need_approval=True)
    portal = shop.client.as_(merchant(shop.store_id, ["customers.read", "customers.write"]))
    for customer, reason in ((old, "ours"), (new, "still ours")):
        await portal.post(f"/dev/v1/customers/{customer}/affiliate/links", {"code": "wanted"})
        await shop.client.post("/dev/v1/affiliates/links/wanted/reject", {"reason": reason})
    await portal.post(f"/dev/v1/customers/{old}/affiliate/links", {"code": "brand"})
    await shop.client.post("/dev/v1/affiliates/links/brand/reject", {"reason": "no"})
    await shop.merge(old, new)
    await shop.follow()
    links = (await shop.client.get(f"/dev/v1/customers/{new}/affiliate/links")).data
    rejected = {link["code"]: link["reason"] for link in links if link["state"] == "rejected"}
    assert rejected == {"wanted": "still ours", "brand": "no"}


async def test_an_own_purchase_stays_one_when_affiliates_become_one(shop):
    old, new = await two(shop)
    order = await shop.order(code="old-code", customer_id=old)
    await shop.merge(old, new)
    await shop.follow()
    await shop.complete(order.model_copy(update={"version": 2, "current_customer_id": new}))
    (shown,) = (await shop.client.get("/dev/v1/affiliates/commissions")).data
    assert (shown["status"], shown["customer_id"]) == ("declined", new)


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


async def test_the_lists_of_who_is_left_have_what_both_had(shop, impatient):
    old, new = await two(shop)
    for code in ("old-code", "new-code", "old-code"):
        await shop.order(code=code)
    for customer in (old, new, old):
        await shop.convert(customer, 1)
    paths = {
        f"/dev/v1/customers/{new}/affiliate/commissions": "id",
        f"/dev/v1/affiliates/commissions?customer_id={new}": "id",
        f"/dev/v1/customers/{new}/affiliate/claims": "claim_id",
        f"/dev/v1/affiliates/claims?customer_id={new}": "claim_id",
    }
    (all_,) = [(await shop.client.get("/dev/v1/affiliates/commissions")).data]
    await shop.merge(old, new)
    await shop.follow()
    for path, name in paths.items():
        whole = (await shop.client.get(path)).data
        paged, cursor = [], ""
        for _ in range(3):
            page = await shop.client.get(f"{path}{'&' if '?' in path else '?'}limit=1{cursor}")
            paged += page.data
            cursor = f"&cursor={page.json['next_cursor']}"
        assert [each[name] for each in paged] == sorted((each[name] for each in whole), reverse=True)
        assert len({each[name] for each in whole}) == 3
    shown = (await shop.client.get(f"/dev/v1/affiliates/commissions?customer_id={new}")).data
    assert [each["id"] for each in shown] == [each["id"] for each in all_]
    assert {each["customer_id"] for each in shown} == {new}
    claims = (await shop.client.get(f"/dev/v1/affiliates/claims?customer_id={old}")).data
    assert {each["customer_id"] for each in claims} == {new}
    days = (await shop.client.get(f"/dev/v1/customers/{new}/affiliate/clicks")).data
    assert sum(day["sales"] for day in days[-2:]) == 3  # today, and if it is midnight yesterday
    one = await shop.client.get(f"/dev/v1/customers/{new}/affiliate/claims/{claims[0]['claim_id']}")
    assert one.data["claim_id"] == claims[0]["claim_id"]


async def test_a_list_under_way_goes_on_though_its_affiliate_becomes_another(shop):
    old, new = await two(shop)
    for code in ("old-code", "new-code", "old-code"):
        await shop.order(code=code)
    for customer in (old, new, old):
        assert (await ask(shop, customer, amount=1)).status == 201
    paths = {
        f"/dev/v1/customers/{old}/affiliate/commissions?": "id",
        f"/dev/v1/affiliates/commissions?customer_id={old}&": "id",
        f"/dev/v1/customers/{old}/affiliate/claims?": "claim_id",
        f"/dev/v1/affiliates/claims?customer_id={old}&": "claim_id",
    }
    first = {path: (await shop.client.get(f"{path}limit=1")).json for path in paths}
    table = f"/dev/v1/affiliates/commissions.csv?customer_id={old}&limit=1"
    (link,) = re.findall("<(.*)>", (await shop.client.get(table)).headers["link"])
    await shop.merge(old, new)
    await shop.follow()
    for path, name in paths.items():
        page, rest = first[path], (await shop.client.get(f"{path}cursor={first[path]['next_cursor']}")).data
        assert [each[name] for each in page["data"] + rest] == [
            each[name] for each in (await shop.client.get(path.rstrip("?&"))).data
        ]
        assert len(rest) == 2
    assert (await shop.client.get(link)).status == 200


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


async def test_a_tier_counts_what_who_became_another_had_sold(shop):
    old, new = await two(shop)
    await shop.enrol("third-code")
    await shop.program(rate_tiers=[{"from": 500, "percent": 20}])
    await shop.order(code="old-code", base=60_000)
    await shop.order(code="third-code")
    (commission, _) = (await shop.client.get("/dev/v1/affiliates/commissions")).data
    await shop.merge(old, new)
    await shop.follow()
    body = {"code": "new-code", "note": "x"}
    path = f"/dev/v1/affiliates/commissions/{commission['id']}/reattribute"
    assert (await shop.client.post(path, body, key="give")).data["rate_percent"] == 20


async def test_another_affiliates_movements_are_not_shown(shop):
    ann, bob, carol = [await shop.enrol(f"{name}-code") for name in ("ann", "bob", "carol")]
    await shop.order(code="ann-code")
    (commission,) = (await shop.client.get("/dev/v1/affiliates/commissions")).data
    body = {"code": "bob-code", "note": "x"}
    assert (
        await shop.client.post(f"/dev/v1/affiliates/commissions/{commission['id']}/reattribute", body, key="give")
    ).status == 200
    path = f"/dev/v1/customers/{bob}/affiliate/commissions/{commission['id']}"
    before = (await shop.client.get(path)).data["history"]
    await shop.merge(ann, carol)
    await shop.follow()
    assert (await shop.client.get(path)).data["history"] == before


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
