"""Clicks count once, on links that are active, and a visitor once for each link and day; shown day by day."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from handling import somebody_waits
from serving import merchant

from affiliates import store_clicks, timers
from affiliates.clicks import Click, counted
from chassis import clock
from chassis.timers import one_slice

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
# Of yesterday, and read once: no midnight comes between two clicks of a test.
AT = (clock.now() - timedelta(days=1)).replace(hour=12)
FORGET = next(timer for timer in timers.ALL if timer.name == "forget clicks")


def click(code="creator123", visitor="ann", **more):
    return {"code": code, "visitor": visitor, "bot": False, "at": AT.isoformat()} | more


async def send(shop, batch_id, *clicks):
    reply = await shop.client.post("/internal/v1/clicks", {"batch_id": batch_id, "clicks": clicks})
    assert (reply.status, reply.data) == (200, {"batch_id": batch_id})


async def links(shop):
    """(clicks, unique clicks) of each code."""
    rows = await shop.rows(
        "SELECT code, sum(clicks) AS c, sum(unique_clicks) AS u FROM click_day WHERE store_id = $1 GROUP BY 1",
        shop.store_id,
    )
    return {row["code"]: (row["c"], row["u"]) for row in rows}


async def add_link(shop, code, state="active"):
    """One more link of the store's affiliate."""
    await shop.rows(
        """
        INSERT INTO link (store_id, code, affiliate_id, added_at, state, active_from, removed_at)
        SELECT store_id, $2, affiliate_id, now(), $3, CASE WHEN $3 <> 'requested' THEN now() END,
               CASE WHEN $3 = 'removed' THEN now() END
        FROM affiliate WHERE store_id = $1
        """,
        shop.store_id,
        code,
        state,
    )


async def series(shop, customer, query=""):
    return await shop.client.get(f"/dev/v1/customers/{customer}/affiliate/clicks{query}")


def test_people_are_counted_per_code_day_and_visitor():
    def one(code, visitor="ann", at=NOON, **more):
        return Click(code, visitor, bot=more.get("bot", False), at=at)

    night = datetime(2030, 1, 1, 23, 30, tzinfo=UTC).astimezone()
    clicks = [one("abc"), one("ABC", at=night), one("abc", "bob"), one("abc", bot=True), one("?"), one("%" * 5000)]
    day = NOON.date()
    assert counted(clicks, night) == {("abc", day, "ann"): 2, ("abc", day, "bob"): 1}


@pytest.mark.parametrize(
    ("ago", "counts"),
    [
        (timedelta(), True),
        (timedelta(days=14), True),
        (timedelta(days=14, seconds=1), False),
        (timedelta(hours=-1), True),
        (timedelta(hours=-1, seconds=-1), False),
    ],
)
def test_what_comes_too_late_or_from_the_future_does_not_count(ago, counts):
    assert bool(counted([Click("abc", "ann", bot=False, at=NOON - ago)], NOON)) is counts


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"])
async def test_an_instant_at_the_end_of_time_spoils_no_batch(shop, at):
    await shop.enrol()
    await send(shop, "b1", click(at=at), click())
    assert await links(shop) == {"creator123": (1, 1)}


async def test_clicks_of_people_count_and_a_visitor_once(shop):
    customer = await shop.enrol()
    clicks = [click(), click("CREATOR123"), click(visitor="bob"), click(bot=True, visitor="eve"), click("unknown")]
    await send(shop, "b1", *clicks)
    await send(shop, "b2", click(store_id=shop.store_id), click(visitor="joe"))
    assert await links(shop) == {"creator123": (5, 3)}
    assert (await shop.summary(customer))["link"]["total_clicks"] == 5


async def test_a_visitor_is_another_on_another_day_and_another_link(shop):
    await shop.enrol("code-1")
    await shop.enrol("code-2")
    day_before = (AT - timedelta(days=1)).isoformat()
    await send(shop, "b1", click("code-1"), click("code-2"), click("code-1", at=day_before), click("code-1"))
    assert await links(shop) == {"code-1": (3, 2), "code-2": (1, 1)}


async def test_a_batch_counts_once_however_often_it_is_sent(shop):
    await shop.enrol()
    await asyncio.gather(*(send(shop, "b1", click(), click()) for _ in range(20)))
    assert await links(shop) == {"creator123": (2, 1)}


@pytest.mark.parametrize("statement", range(2))
async def test_a_process_that_dies_at_any_statement_has_counted_nothing(shop, monkeypatch, statement):
    await shop.enrol()
    name = ["add_batch", "add_clicks"][statement]
    done = getattr(store_clicks, name)

    async def dies(*args):
        await done(*args)
        raise OSError("killed")

    monkeypatch.setattr(store_clicks, name, dies)
    assert (await shop.client.post("/internal/v1/clicks", {"batch_id": "b", "clicks": [click()]})).status >= 500
    monkeypatch.undo()
    assert await links(shop) == {}
    await send(shop, "b", click())
    assert await links(shop) == {"creator123": (1, 1)}


async def test_batches_at_once_with_the_same_visitors_count_each_once(shop):
    codes = [f"code-{n}" for n in range(5)]
    for code in codes:
        await shop.enrol(code)
    people = [click(code, visitor) for code in codes for visitor in ("ann", "bob", "joe")]
    await asyncio.gather(*(send(shop, f"b{n}", *people[n % 15 :], *people[: n % 15]) for n in range(20)))
    assert await links(shop) == dict.fromkeys(codes, (60, 3))


DAYS = "SELECT code FROM click_day WHERE store_id = $1"


async def test_days_are_counted_sorted(shop):
    """Who waits for the first link holds none of the others."""
    codes = [f"code-{n}" for n in range(10)]
    for code in codes:
        await shop.enrol(code)
    await send(shop, "b1", *map(click, codes))
    async with shop.worker.transaction() as conn:
        await conn.execute(DAYS + " AND code = 'code-0' FOR UPDATE", shop.store_id)
        batch = asyncio.create_task(send(shop, "b2", *map(click, reversed(codes))))
        await somebody_waits(shop.worker)
        assert len(await shop.rows(DAYS + " AND code <> 'code-0' FOR UPDATE SKIP LOCKED", shop.store_id)) == 9
    await batch


TOTALS = "SELECT code FROM click_total WHERE store_id = $1"


async def test_days_are_counted_before_the_totals_and_these_sorted(shop):
    """Who waits for the first total has counted every day, and holds no other total."""
    codes = [f"code-{n}" for n in range(10)]
    for code in codes:
        await shop.enrol(code)
    await send(shop, "b1", *map(click, codes))
    async with shop.client.runtime.api.transaction(shop.store_id) as conn:
        await conn.execute(TOTALS + " AND code = 'code-0' FOR UPDATE", shop.store_id)
        batch = asyncio.create_task(send(shop, "b2", *map(click, reversed(codes))))
        await somebody_waits(shop.worker)
        assert await shop.rows(DAYS + " FOR UPDATE SKIP LOCKED", shop.store_id) == []
        async with asyncio.timeout(20):
            others = TOTALS + " AND code <> 'code-0' FOR UPDATE SKIP LOCKED"
            assert len(await conn.rows(others, shop.store_id)) == 9
    await batch
    assert await links(shop) == dict.fromkeys(codes, (2, 1))


async def test_visitors_are_counted_sorted_and_before_the_days(shop):
    """Who waits for the first visitor holds no other, and no day."""
    codes = [f"code-{n}" for n in range(10)]
    for code in codes:
        await shop.enrol(code)
    await send(shop, "b1", *map(click, codes))
    bob = "INSERT INTO click_visitor VALUES ($1, $2, $3, 'bob')"
    async with shop.client.runtime.api.transaction(shop.store_id) as conn:
        await conn.execute(bob, shop.store_id, "code-0", AT.date())
        batch = asyncio.create_task(send(shop, "b2", *(click(code, "bob") for code in reversed(codes))))
        await somebody_waits(shop.worker)
        assert len(await shop.rows(DAYS + " FOR UPDATE SKIP LOCKED", shop.store_id)) == 10
        async with asyncio.timeout(20):
            await conn.execute(bob, shop.store_id, "code-9", AT.date())
    await batch
    assert await links(shop) == {code: (2, 1 if code in {"code-0", "code-9"} else 2) for code in codes}
    shop.expected = [fault for fault in await shop.faults() if "1 of them unique, and 2 visitors" in fault]
    assert len(shop.expected) == 2  # the bobs of this test


async def test_clicks_do_not_wait_for_money(shop):
    customer = await shop.enrol()
    async with shop.worker.transaction() as conn:
        await conn.row("SELECT 1 FROM affiliate WHERE customer_id = $1 FOR UPDATE", customer)
        await conn.execute("UPDATE link SET total_sales = total_sales WHERE store_id = $1", shop.store_id)
        await asyncio.wait_for(send(shop, "b1", click()), 20)
    assert await links(shop) == {"creator123": (1, 1)}


async def test_only_an_active_link_is_clicked(shop):
    await shop.enrol("active")
    await add_link(shop, "asked-for", state="requested")
    await add_link(shop, "removed", state="removed")
    await send(shop, "b1", *map(click, ("asked-for", "removed", "active")))
    assert await links(shop) == {"active": (1, 1)}


async def test_a_batch_of_another_store_is_another_batch(shop):
    await shop.enrol()
    stranger = shop.client.as_(merchant("store_00000000000000000000000001"))
    assert (await stranger.post("/internal/v1/clicks", {"batch_id": "b1", "clicks": [click()]})).status == 200
    assert await links(shop) == {}
    await send(shop, "b1", click())
    assert await links(shop) == {"creator123": (1, 1)}


async def test_only_the_gateway_hands_over_clicks(shop):
    outsider = shop.client.as_(merchant(shop.store_id, ["customers.write", "affiliates.write"]))
    reply = await outsider.post("/internal/v1/clicks", {"batch_id": "b1", "clicks": []})
    assert (reply.status, reply.code) == (403, "insufficient_scope")


@pytest.mark.parametrize("clicks", [[click()] * 501, [click(visitor="a b")], [click(visitor="")], [click(at="now")]])
async def test_a_batch_that_the_gateway_never_makes_is_refused(shop, clicks):
    reply = await shop.client.post("/internal/v1/clicks", {"batch_id": "b1", "clicks": clicks})
    assert (reply.status, reply.code) == (422, "invalid")


async def test_batches_and_visitors_are_forgotten_when_they_cannot_come_again(shop, later):
    await shop.enrol()
    oldest = click(at=(clock.now() - timedelta(days=13.9)).isoformat())
    await send(shop, "b1", click(), oldest)
    kept = "SELECT 1 FROM click_batch WHERE store_id = $1 UNION ALL SELECT 2 FROM click_visitor WHERE store_id = $1"
    await one_slice(shop.worker, FORGET)
    assert len(await shop.rows(kept, shop.store_id)) == 3
    await send(shop, "b2", oldest)
    assert await links(shop) == {"creator123": (3, 2)}
    later(days=17)
    await send(shop, "b1", click(at=oldest["at"]))
    await one_slice(shop.worker, FORGET)
    assert await shop.rows(kept, shop.store_id) == []
    await send(shop, "b1", click(at=oldest["at"]))
    assert await links(shop) == {"creator123": (3, 2)}


async def test_days_are_shown_with_what_they_sold(shop, later):
    later(days=-4)
    customer = await shop.enrol("code-1")
    later(days=0)
    days = [AT - timedelta(days=back) for back in (2, 1, 0)]
    await send(
        shop, "b1", *(click("code-1", who, at=days[at].isoformat()) for at, who in [(0, "a"), (0, "b"), (2, "a")])
    )
    await send(shop, "b2", click("code-1", "a"))
    await shop.order(code="code-1", base=12_550, placed_at=days[0], first_completed_at=days[0])
    await shop.order(code="code-1", base=1000, customer_id=customer)
    reply = await series(shop, customer, f"?from={days[0].date()}&to={days[2].date()}")
    assert (reply.status, reply.json) == (
        200,
        {
            "data": [
                {"day": f"{days[0].date()}", "clicks": 2, "unique_clicks": 2, "sales": 1, "revenue": 125.5},
                {"day": f"{days[1].date()}", "clicks": 0, "unique_clicks": 0, "sales": 0, "revenue": 0},
                {"day": f"{days[2].date()}", "clicks": 2, "unique_clicks": 1, "sales": 0, "revenue": 0},
            ],
            "totals": {"clicks": 4, "unique_clicks": 3, "sales": 1, "revenue": 125.5, "conversion_percent": 33.33},
            "currency": "EUR",
        },
    )


async def test_the_last_thirty_days_come_to_what_the_link_shows(shop):
    customer = await shop.enrol()
    await send(shop, "b1", click(), click(visitor="bob"))
    order = await shop.order(base=5000)
    await shop.order(currency="USD")
    await shop.complete(order.model_copy(update={"version": 2, "refunded_minor": 2000, "base_remaining_minor": 3000}))
    asked = clock.now()
    shown, link = (await series(shop, customer)).json, (await shop.summary(customer))["link"]
    assert len(shown["data"]) == 30
    assert shown["data"][-1]["day"] in {f"{at.date()}" for at in (asked, clock.now())}
    totals = shown["totals"]
    assert (totals["clicks"], totals["sales"], totals["revenue"]) == (2, 2, 30)
    assert (link["total_clicks"], link["total_sales"], link["total_revenue"]) == (2, 2, 30)


async def test_one_link_of_several_can_be_asked_for_and_nobody_elses(shop):
    customer = await shop.enrol("code-1")
    await add_link(shop, "code-2")
    await shop.enrol("another")
    await send(shop, "b1", click("code-1"), click("code-2"), click("code-2"), click("another"))
    await shop.order(code="code-2")

    async def totals(query):
        shown = (await series(shop, customer, query)).json["totals"]
        return shown["clicks"], shown["unique_clicks"], shown["sales"]

    assert [await totals(query) for query in ("", "?code=CODE-1", "?code=code-2")] == [(3, 2, 1), (1, 1, 0), (2, 1, 1)]
    for code in ("another", "nobodys", "%20"):
        assert ((reply := await series(shop, customer, f"?code={code}")).status, reply.code) == (404, "not_found")


@pytest.mark.parametrize(
    ("query", "flaw"),
    [
        ("?from=2026-01-02&to=2026-01-01", "/query/to period_empty"),
        ("?from=2025-01-01&to=2026-01-02", "/query/to period_too_long"),
        ("?from=2024-01-01", "/query/from period_too_long"),
        ("?from=2999-01-01", "/query/from period_empty"),
        ("?from=1760000000", "/query/from date_format"),
        ("?from=2026-01-01T00:00:00Z", "/query/from date_format"),
        ("?to=2026-02-30", "/query/to date_from_datetime_parsing"),
        ("?to=0001-01-01", "/query/to greater_than_equal"),
        ("?to=9999-12-31", "/query/to less_than"),
    ],
)
async def test_a_period_that_is_none_is_refused(shop, query, flaw):
    reply = await series(shop, await shop.enrol(), query)
    assert (reply.status, [f"{each['pointer']} {each['code']}" for each in reply.json["errors"]]) == (422, [flaw])


async def test_a_period_may_have_a_leap_year(shop):
    reply = await series(shop, await shop.enrol(), "?from=2024-01-01&to=2024-12-31")
    assert (len(reply.data), reply.json["totals"]["conversion_percent"]) == (366, None)


async def test_clicks_are_read_by_the_affiliates_own_portal(shop):
    customer = await shop.enrol()
    stranger = shop.client.as_(merchant(shop.store_id, ["affiliates.read", "customers.write"]))
    reply = await stranger.get(f"/dev/v1/customers/{customer}/affiliate/clicks")
    assert (reply.status, reply.code) == (403, "insufficient_scope")
    nobody = await shop.customer()
    assert (await series(shop, nobody)).code == "not_found"
