"""Enrolling, the summary (features A1, A4), the program (A2) and clicks."""

import asyncio
from datetime import UTC, datetime

import pytest
from handling import somebody_waits
from serving import merchant

from chassis import ids
from contracts.affiliates import AffiliateEnrolled
from contracts.ids import CUSTOMER

AT = datetime(2030, 1, 1, 12, tzinfo=UTC).isoformat()


def path(customer_id):
    return f"/dev/v1/customers/{customer_id}/affiliate"


async def enrolled(shop):
    rows = await shop.rows(
        "SELECT payload FROM outbox WHERE store_id = $1 AND type = 'affiliate.enrolled'", shop.store_id
    )
    return [AffiliateEnrolled.parse(shop.store_id, row["payload"]) for row in rows]


async def test_a_customer_becomes_an_affiliate(shop):
    customer = await shop.customer()
    reply = await shop.client.post(path(customer), {"code": "creator123"})
    assert (reply.status, reply.json) == (
        201,
        {
            "data": {
                "customer_id": customer,
                "state": "active",
                "link": {
                    "code": "creator123",
                    "url": "https://example.test/?ref=creator123",
                    "total_clicks": 0,
                    "total_sales": 0,
                    "total_revenue": 0,
                },
                "balances": {"available": 0, "requested": 0, "converted": 0},
                "pending": 0,
                "paid": 0,
                "debt": 0,
                "commissions": [],
                "claims": [],
            }
        },
    )
    (event,) = await enrolled(shop)
    assert (event.customer_id, event.code) == (customer, "creator123")


@pytest.mark.parametrize("body", [None, {}, {"code": None}])
async def test_a_code_is_made_up_for_who_chose_none(shop, body):
    reply = await shop.client.post(path(await shop.customer()), body)
    assert (reply.status, len(reply.data["link"]["code"])) == (201, 8)


async def test_enrolling_again_is_harmless(shop):
    customer = await shop.enrol("creator123")
    again = [await shop.client.post(path(customer), body) for body in (None, {"code": "creator123"})]
    assert [(reply.status, reply.data["link"]["code"]) for reply in again] == [(200, "creator123")] * 2
    other = await shop.client.post(path(customer), {"code": "another"})
    assert (other.status, other.code) == (409, "already_enrolled")
    assert len(await enrolled(shop)) == 1


async def test_enrolling_at_once_makes_one_affiliate(shop):
    customer = await shop.customer()
    heard = await asyncio.gather(*(shop.client.post(path(customer)) for _ in range(20)))
    assert sorted(reply.status for reply in heard) == [200] * 19 + [201]
    assert len({reply.data["link"]["code"] for reply in heard}) == 1


async def test_a_code_belongs_to_one_affiliate_of_a_store(shop):
    customers = [await shop.customer() for _ in range(10)]
    heard = await asyncio.gather(*(shop.client.post(path(each), {"code": "wanted"}) for each in customers))
    assert sorted(reply.status for reply in heard) == [201] + [409] * 9
    assert {reply.code for reply in heard if reply.status == 409} == {"code_taken"}
    assert len(await shop.rows("SELECT 1 FROM affiliate WHERE store_id = $1", shop.store_id)) == 1


@pytest.mark.parametrize("code", ["ab", "x" * 33, "Upper", "a b", "a_b", "é12", 'a"b', 7])
async def test_a_code_has_small_letters_digits_and_dashes(shop, code):
    reply = await shop.client.post(path(await shop.customer()), {"code": code})
    assert (reply.status, reply.code) == (422, "invalid")


async def test_who_is_unknown_cannot_be_enrolled(shop):
    reply = await shop.client.post(path("cus_00000000000000000000000000"))
    assert (reply.status, reply.code) == (404, "not_found")


async def test_who_is_no_affiliate_has_no_summary(shop):
    reply = await shop.client.get(path(await shop.customer()))
    assert (reply.status, reply.code) == (404, "not_found")


async def test_the_summary_shows_the_latest_ten(shop):
    customer = await shop.enrol()
    orders = [await shop.order(base=1_000 * n) for n in range(1, 13)]
    shown = (await shop.summary(customer))["commissions"]
    assert [each["order_id"] for each in shown] == [order.order_id for order in orders[:1:-1]]
    assert shown[0].items() >= {"amount": 12, "status": "payable", "reason": None, "rate_percent": 10}.items()


async def test_the_program_has_defaults_and_changes_by_part(shop):
    url = "/dev/v1/affiliates/program"
    defaults = {"revenue_share_enabled": True, "revenue_share_percent": 10, "waiting_days": 0}
    assert (await shop.client.get(url)).data == defaults
    changed = await shop.client.put(url, {"revenue_share_percent": 12.5})
    assert changed.data == defaults | {"revenue_share_percent": 12.5}
    await shop.client.put(url, {"waiting_days": 14, "revenue_share_enabled": False})
    assert (await shop.client.get(url)).data == {
        "revenue_share_enabled": False,
        "revenue_share_percent": 12.5,
        "waiting_days": 14,
    }


@pytest.mark.parametrize(
    "body",
    [
        {"revenue_share_percent": 100.01},
        {"revenue_share_percent": -1},
        {"revenue_share_percent": 12.345},
        {"revenue_share_percent": True},
        {"revenue_share_percent": "x"},
        {"waiting_days": 366},
        {"waiting_days": 1.5},
        {"revenue_share_enabled": "yes"},
        {"unknown": 1},
    ],
)
async def test_a_program_out_of_bounds_is_refused(shop, body):
    reply = await shop.client.put("/dev/v1/affiliates/program", body)
    assert (reply.status, reply.code) == (422, "invalid")


async def test_only_a_writer_changes_the_program(shop):
    reader = shop.client.as_(merchant(shop.store_id, ["affiliates.read"]))
    assert (await reader.put("/dev/v1/affiliates/program", {})).code == "insufficient_scope"


def click(code="creator123", **more):
    return {"code": code, "visitor": "v", "bot": False, "at": AT} | more


async def send(shop, batch_id, *clicks):
    reply = await shop.client.post("/internal/v1/clicks", {"batch_id": batch_id, "clicks": clicks})
    assert (reply.status, reply.data) == (200, {"batch_id": batch_id})


async def clicks(shop, customer):
    return (await shop.summary(customer))["link"]["total_clicks"]


async def test_clicks_of_people_count(shop):
    customer = await shop.enrol()
    await send(shop, "b1", click(), click("CREATOR123"), click(bot=True), click("unknown"), click("%" * 5000))
    await send(shop, "b2", click(store_id=shop.store_id, at="2030-02-01T00:00:00Z"))
    assert await clicks(shop, customer) == 3


async def test_a_batch_counts_once_however_often_it_is_sent(shop):
    customer = await shop.enrol()
    await asyncio.gather(*(send(shop, "b1", click(), click()) for _ in range(20)))
    assert await clicks(shop, customer) == 2


async def test_batches_at_once_all_count(shop):
    customers = [await shop.enrol(f"code-{n}") for n in range(5)]
    codes = [f"code-{n}" for n in range(5)]
    await asyncio.gather(*(send(shop, f"b{n}", *map(click, codes[n % 5 :] + codes[: n % 5])) for n in range(20)))
    assert [await clicks(shop, customer) for customer in customers] == [20] * 5


async def test_clicks_are_counted_sorted(shop):
    """Who waits for the first link holds none of the others."""
    codes = [f"code-{n}" for n in range(10)]
    for code in codes:
        await shop.enrol(code)
    await send(shop, "b1", *map(click, codes))
    days = "SELECT code FROM click_day WHERE store_id = $1"
    async with shop.worker.transaction() as conn:
        await conn.execute(days + " AND code = 'code-0' FOR UPDATE", shop.store_id)
        batch = asyncio.create_task(send(shop, "b2", *map(click, reversed(codes))))
        await somebody_waits(shop.worker)
        others = await shop.rows(days + " AND code <> 'code-0' FOR UPDATE SKIP LOCKED", shop.store_id)
        assert len(others) == 9
    await batch


async def test_clicks_do_not_wait_for_money(shop):
    customer = await shop.enrol()
    async with shop.worker.transaction() as conn:
        await conn.row("SELECT 1 FROM affiliate WHERE customer_id = $1 FOR UPDATE", customer)
        await asyncio.wait_for(send(shop, "b1", click()), 2)
    assert await clicks(shop, customer) == 1


async def test_a_batch_of_another_store_is_another_batch(shop):
    customer = await shop.enrol()
    stranger = shop.client.as_(merchant("store_00000000000000000000000001"))
    assert (await stranger.post("/internal/v1/clicks", {"batch_id": "b1", "clicks": [click()]})).status == 200
    assert await clicks(shop, customer) == 0
    await send(shop, "b1", click())
    assert await clicks(shop, customer) == 1


async def test_only_the_gateway_hands_over_clicks(shop):
    outsider = shop.client.as_(merchant(shop.store_id, ["customers.write", "affiliates.write"]))
    reply = await outsider.post("/internal/v1/clicks", {"batch_id": "b1", "clicks": []})
    assert (reply.status, reply.code) == (403, "insufficient_scope")


async def test_a_batch_has_at_most_500_clicks(shop):
    reply = await shop.client.post("/internal/v1/clicks", {"batch_id": "b1", "clicks": [click()] * 501})
    assert (reply.status, reply.code) == (422, "invalid")


async def test_an_id_of_another_kind_is_no_customer(shop):
    assert (await shop.client.get(path(ids.new("store")))).status == 404
    assert (await shop.client.get(path(ids.new(CUSTOMER)[:-1]))).status == 404
