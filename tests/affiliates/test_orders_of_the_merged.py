"""What orders earn by the links of affiliates who became one: by where whose link it was stood, and once."""

from datetime import UTC, datetime, timedelta

from merges import two

from affiliates import store_referrals
from affiliates.enrolment import was_active
from chassis import clock

NOW = datetime(2030, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


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


async def test_an_own_purchase_stays_one_when_affiliates_become_one(shop):
    old, new = await two(shop)
    order = await shop.order(code="old-code", customer_id=old)
    await shop.merge(old, new)
    await shop.follow()
    await shop.complete(order.model_copy(update={"version": 2, "current_customer_id": new}))
    (shown,) = (await shop.client.get("/dev/v1/affiliates/commissions")).data
    assert (shown["status"], shown["customer_id"]) == ("declined", new)


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
