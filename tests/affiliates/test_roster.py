"""The affiliates of a store as staff see them: their list, and suspending, approving, reactivating (A1)."""

import asyncio

import pytest
from serving import merchant, new_store

from affiliates import enrolment, store
from affiliates.enrolment import State
from chassis import known_customers, stores
from contracts.affiliates import AffiliateEnrolled, AffiliateSuspended
from contracts.stores import StoreCreated

ROSTER = "/dev/v1/affiliates"


def path(customer, verb):
    return f"/dev/v1/customers/{customer}/affiliate/{verb}"


async def suspend(shop, customer):
    return await shop.client.post(path(customer, "suspend"), {"reason": "spam"})


async def pending(shop):
    customer = await shop.customer()
    await shop.client.post(f"/dev/v1/customers/{customer}/affiliate", {"state": "pending"})
    return customer


async def test_an_affiliate_is_shown_with_their_money(shop):
    customer = await shop.enrol()
    await shop.order()
    (shown,) = (await shop.client.get(ROSTER)).data
    (event,) = await shop.announced(AffiliateEnrolled)
    assert shown == {
        "affiliate_id": event.affiliate_id,
        "customer_id": customer,
        "state": "active",
        "code": "creator123",
        "enrolled_at": shown["enrolled_at"],
        "available": 10,
        "pending": 0,
        "requested": 0,
        "converted": 0,
        "paid": 0,
        "debt": 0,
    }


async def test_the_list_is_read_page_by_page_newest_first_and_by_state(shop):
    customers = [await shop.enrol(f"code-{n}") for n in range(3)]
    await suspend(shop, customers[1])
    first = (await shop.client.get(f"{ROSTER}?limit=2")).json
    rest = (await shop.client.get(f"{ROSTER}?limit=2&cursor={first['next_cursor']}")).json
    assert [each["customer_id"] for each in first["data"] + rest["data"]] == customers[::-1]
    assert [each["code"] for each in (await shop.client.get(f"{ROSTER}?state=suspended")).data] == ["code-1"]
    assert (await shop.client.get(f"{ROSTER}?state=active&cursor={first['next_cursor']}")).code == "invalid_cursor"
    assert (await shop.client.get(f"{ROSTER}?state=gone")).code == "invalid"


async def test_a_suspended_affiliate_earns_nothing_until_they_go_on(shop):
    customer = await shop.enrol()
    await shop.order()
    for _ in range(2):
        reply = await suspend(shop, customer)
        assert (reply.status, reply.data["state"], reply.data["code"]) == (200, "suspended", "creator123")
    await shop.order()
    assert (await shop.convert(customer, 1)).code == "not_active"
    assert [(await shop.client.post(path(customer, "reactivate"))).data["state"] for _ in range(2)] == ["active"] * 2
    await shop.order()
    assert (await shop.buckets(customer))["available"] == 20
    assert [event.TYPE for event in await shop.announced(AffiliateEnrolled, AffiliateSuspended)] == [
        "affiliate.enrolled",
        "affiliate.suspended",
        "affiliate.enrolled",
    ]


async def test_every_step_is_noted_once_with_what_was_said(shop):
    customer = await pending(shop)
    for _ in range(2):
        await shop.client.post(path(customer, "approve"))
    for _ in range(2):
        await suspend(shop, customer)
    for _ in range(2):
        await shop.client.post(path(customer, "reactivate"))
    noted = (await shop.client.get("/dev/v1/affiliates/activity?limit=3")).data
    assert [(each["action"], each["note"]) for each in noted] == [
        ("affiliate.reactivated", None),
        ("affiliate.suspended", "spam"),
        ("affiliate.approved", None),
    ]


async def test_who_is_pending_is_approved_and_not_reactivated_and_the_other_way_round(shop):
    customer = await pending(shop)
    reply = await shop.client.post(path(customer, "reactivate"), key="k")
    assert (reply.status, reply.code) == (409, "affiliate_state")
    await suspend(shop, customer)
    assert (await shop.client.post(path(customer, "approve"))).code == "affiliate_state"
    assert (await shop.client.post(path(customer, "reactivate"))).data["state"] == "active"


@pytest.mark.parametrize(
    ("step", "ends"),
    [
        (enrolment.approve, [State.ACTIVE, State.ACTIVE, None]),
        (enrolment.suspend, [State.SUSPENDED] * 3),
        (enrolment.reactivate, [None, State.ACTIVE, State.ACTIVE]),
    ],
)
def test_where_each_step_leads(step, ends):
    states = [State.PENDING, State.ACTIVE, State.SUSPENDED]
    found = [step(enrolment.Affiliate("store", "aff", "cus", state, None)) for state in states]
    assert [None if its is None else its.state for its in found] == ends


async def test_an_affiliate_suspended_many_times_at_once_is_told_once(shop):
    customer = await shop.enrol()
    heard = await asyncio.gather(*(suspend(shop, customer) for _ in range(10)))
    assert {reply.status for reply in heard} == {200}
    assert len(await shop.announced(AffiliateSuspended)) == 1


async def test_without_the_lock_it_is_told_more_than_once(shop, monkeypatch):
    """Planted: the same without the lock, everybody reading before anybody writes."""
    customer = await shop.enrol()
    affiliate_of, everybody = store.affiliate_of, asyncio.Barrier(2)

    async def together(conn, store_id, customer_id):
        found = await affiliate_of(conn, store_id, customer_id)
        await everybody.wait()
        return found

    monkeypatch.setattr(store, "lock_affiliate_of", together)
    await asyncio.gather(*(suspend(shop, customer) for _ in range(2)))
    assert len(await shop.announced(AffiliateSuspended)) == 2


@pytest.mark.parametrize(
    "body", [{}, {"reason": ""}, {"reason": "   "}, {"reason": "x" * 501}, {"reason": "x", "until": 1}]
)
async def test_a_suspension_has_a_reason(shop, body):
    customer = await shop.enrol()
    assert (await shop.client.post(path(customer, "suspend"), body)).code == "invalid"
    assert (await shop.summary(customer))["state"] == "active"


async def test_only_staff_take_steps(shop):
    customer = await shop.enrol()
    outsider = shop.client.as_(merchant(shop.store_id, ["customers.write", "affiliates.read"]))
    heard = [
        await outsider.post(path(customer, verb), {"reason": "x"}) for verb in ("approve", "suspend", "reactivate")
    ]
    heard.append(await shop.client.as_(merchant(shop.store_id, ["customers.read"])).get(ROSTER))
    assert {reply.code for reply in heard} == {"insufficient_scope"}


async def test_affiliates_of_another_store_are_not_shown(shop, monkeypatch):
    monkeypatch.setattr(known_customers, "_PATIENCE", 0)
    customer, other = await shop.enrol(), new_store()
    told = StoreCreated(store_id=other, slug=other[-12:], currency="EUR", locale="en", url="https://example.test")
    await shop.hear(stores.on_store_created, [told])
    stranger = shop.client.as_(merchant(other))
    assert (await stranger.get(ROSTER)).data == []
    assert (await stranger.post(path(customer, "approve"))).status == 404
