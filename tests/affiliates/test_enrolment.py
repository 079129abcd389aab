"""Enrolling and the summary (features A1, A4)."""

import asyncio

import pytest
from serving import customer as buyer
from serving import merchant

from chassis import ids
from contracts.affiliates import AffiliateEnrolled, AffiliateRequested, LinkAdded, LinkRequested
from contracts.ids import CUSTOMER


def path(customer_id):
    return f"/dev/v1/customers/{customer_id}/affiliate"


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
    (event,) = await shop.announced(AffiliateEnrolled)
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
    assert len(await shop.announced(AffiliateEnrolled)) == 1


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


@pytest.mark.parametrize("code", ["ab", "x" * 33, "a b", "a_b", "é12", 'a"b', 7, "-deal", "---"])
async def test_a_code_has_letters_digits_and_dashes_but_at_its_beginning(shop, code):
    reply = await shop.client.post(path(await shop.customer()), {"code": code})
    assert (reply.status, reply.code) == (422, "invalid")


async def test_capitals_of_a_code_are_made_small(shop):
    reply = await shop.client.post(path(await shop.customer()), {"code": " Creator123 "})
    assert (reply.status, reply.data["link"]["code"]) == (201, "creator123")


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


async def test_an_id_of_another_kind_is_no_customer(shop):
    assert (await shop.client.get(path(ids.new("store")))).status == 404
    assert (await shop.client.get(path(ids.new(CUSTOMER)[:-1]))).status == 404


async def test_a_link_is_told_with_what_customers_save_by_it(shop):
    await shop.program(customer_discount_enabled=True, customer_discount_percent=5)
    customer = await shop.enrol()
    enrolled, added = await shop.announced(AffiliateEnrolled, LinkAdded)
    assert (enrolled.code, added.code, added.discount_bps) == ("creator123", "creator123", 500)
    assert (added.customer_id, added.affiliate_id) == (customer, enrolled.affiliate_id)


async def test_a_pending_affiliate_is_told_of_when_approved_and_earns_nothing_before(shop):
    customer = await shop.customer()
    reply = await shop.client.post(path(customer), {"code": "creator123", "state": "pending"})
    assert (reply.status, reply.data["state"]) == (201, "pending")
    await shop.order()
    (event,) = await shop.announced(AffiliateRequested, AffiliateEnrolled, LinkAdded)
    assert (event.TYPE, event.customer_id, event.code) == ("affiliate.requested", customer, "creator123")
    assert (await shop.client.post(f"{path(customer)}/approve")).data["state"] == "active"
    assert [event.TYPE for event in await shop.announced(AffiliateEnrolled, LinkAdded)] == [
        "affiliate.enrolled",
        "link.added",
    ]
    await shop.order()
    assert (await shop.buckets(customer))["available"] == 10


@pytest.mark.parametrize(("state", "status"), [("open", "active"), ("approval", "pending")])
async def test_the_program_decides_where_who_enrols_themselves_stands(shop, state, status):
    await shop.program(self_enrolment=state)
    customer = await shop.customer()
    themselves = shop.client.as_(buyer(shop.store_id, customer))
    reply = await themselves.post(path(customer), {"code": "creator123"})
    assert (reply.status, reply.data["state"]) == (201, status)


async def test_who_may_not_enrol_themselves_is_refused_and_may_ask_again(shop):
    await shop.program(self_enrolment="off")
    customer = await shop.customer()
    themselves = shop.client.as_(buyer(shop.store_id, customer))
    reply = await themselves.post(path(customer), key="k")
    assert (reply.status, reply.code) == (403, "self_enrolment_off")
    assert await shop.rows("SELECT 1 FROM affiliate WHERE store_id = $1", shop.store_id) == []
    await shop.program(self_enrolment="open")
    assert (await themselves.post(path(customer), key="k")).status == 201
    await shop.program(self_enrolment="off")
    assert (await themselves.post(path(customer))).status == 200


async def test_nobody_says_themselves_where_they_stand(shop):
    await shop.program(self_enrolment="open")
    customer = await shop.customer()
    reply = await shop.client.as_(buyer(shop.store_id, customer)).post(path(customer), {"state": "active"})
    assert (reply.status, [flaw["code"] for flaw in reply.json["errors"]]) == (422, ["state_not_yours"])


async def test_nobody_begins_suspended(shop):
    reply = await shop.client.post(path(await shop.customer()), {"state": "suspended"})
    assert (reply.status, reply.code) == (422, "invalid")


async def test_a_chosen_code_waits_for_approval_and_another_is_shared_until_then(shop):
    await shop.program(custom_links_need_approval=True)
    customer = await shop.customer()
    portal = shop.client.as_(merchant(shop.store_id, ["customers.write", "customers.read"]))
    first, again = [await portal.post(path(customer), {"code": "creator123"}) for _ in range(2)]
    assert (first.status, again.status, again.data) == (201, 200, first.data)
    code = first.data["link"]["code"]
    assert len(code) == 8
    assert [event.code for event in await shop.announced(LinkAdded)] == [code]
    assert [event.code for event in await shop.announced(LinkRequested)] == ["creator123"]
    await shop.client.post("/dev/v1/affiliates/links/creator123/approve")
    assert (await shop.summary(customer))["link"]["code"] == "creator123"
    assert [event.code for event in await shop.announced(LinkAdded)] == [code, "creator123"]


async def test_who_writes_affiliates_gives_codes_that_need_no_approval(shop):
    await shop.program(custom_links_need_approval=True)
    customer = await shop.enrol("creator123")
    assert (await shop.summary(customer))["link"]["code"] == "creator123"
