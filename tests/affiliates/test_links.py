"""The links of affiliates: several each, with figures of their own, and codes that wait for approval (A2)."""

import asyncio
from datetime import timedelta

import pytest
from handling import somebody_waits
from serving import merchant, new_store

from affiliates import links, store, store_links
from affiliates.links import MOST, TAKEN_UP
from chassis import clock, known_customers
from contracts.affiliates import LinkAdded, LinkRejected, LinkRemoved, LinkRequested

QUEUE = "/dev/v1/affiliates/links"


def path(customer, code=None):
    return f"/dev/v1/customers/{customer}/affiliate/links" + (f"/{code}" if code else "")


@pytest.fixture
async def customer(shop):
    return await shop.enrol()


@pytest.fixture
def portal(shop):
    """What a portal may: it does not approve."""
    return shop.client.as_(merchant(shop.store_id, ["customers.read", "customers.write"]))


@pytest.fixture
async def requested(shop, customer, portal):
    """A code that waits for approval."""
    await shop.program(custom_links_need_approval=True)
    assert (await portal.post(path(customer), {"code": "wanted"})).data["state"] == "requested"
    return "wanted"


async def codes(shop, customer):
    return {link["code"]: link["state"] for link in (await shop.client.get(path(customer))).data}


async def test_another_link_is_added_and_told(shop, customer):
    reply = await shop.client.post(path(customer), {"code": "summer"})
    assert (reply.status, reply.data) == (
        201,
        {
            "code": "summer",
            "url": "https://example.test/?ref=summer",
            "state": "active",
            "reason": None,
            "total_clicks": 0,
            "unique_clicks": 0,
            "total_sales": 0,
            "total_revenue": 0,
            "conversion_percent": None,
            "added_at": reply.data["added_at"],
        },
    )
    made_up = (await shop.client.post(path(customer))).data["code"]
    assert [event.code for event in await shop.announced(LinkAdded)] == ["creator123", "summer", made_up]
    assert await codes(shop, customer) == dict.fromkeys(["creator123", "summer", made_up], "active")


async def test_each_link_has_its_own_figures(shop, customer):
    await shop.client.post(path(customer), {"code": "summer"})
    await shop.order()
    await shop.order(code="summer", base=5_000)
    await shop.order(code="summer", base=2_500)
    shown = {link["code"]: link for link in (await shop.client.get(path(customer))).data}
    figures = {code: (link["total_sales"], link["total_revenue"]) for code, link in shown.items()}
    assert figures == {"creator123": (1, 100), "summer": (2, 75)}


async def test_the_same_code_again_is_harmless(shop, customer):
    heard = await asyncio.gather(*(shop.client.post(path(customer), {"code": "summer"}) for _ in range(10)))
    assert sorted(reply.status for reply in heard) == [200] * 9 + [201]
    assert len(await shop.announced(LinkAdded)) == 2


async def test_a_code_of_another_is_taken_also_when_removed(shop, customer):
    other = await shop.enrol("other")
    await shop.client.post(path(other), {"code": "summer"})
    await shop.client.delete(path(other, "summer"))
    for code in ("other", "summer"):
        reply = await shop.client.post(path(customer), {"code": code})
        assert (reply.status, reply.code) == (409, "code_taken")


async def test_a_link_that_was_removed_earns_again_with_the_figures_it_had(shop, customer):
    await shop.client.post(path(customer), {"code": "summer"})
    await shop.order(code="summer")
    await shop.client.delete(path(customer, "summer"))
    heard = [await shop.client.post(path(customer), {"code": "summer"}) for _ in range(2)]
    assert [reply.status for reply in heard] == [201, 200]
    assert heard[0].data["state"] == "active"
    assert heard[1].data["total_sales"] == 1
    await shop.order(code="summer")
    assert (await shop.buckets(customer))["available"] == 20
    told = await shop.announced(LinkAdded, LinkRemoved)
    assert [(event.TYPE, event.code) for event in told[1:]] == [
        ("link.added", "summer"),
        ("link.removed", "summer"),
        ("link.added", "summer"),
    ]


async def test_a_link_that_was_removed_is_given_back_by_who_may_approve(shop, customer, portal):
    await shop.client.post(path(customer), {"code": "summer"})
    await shop.client.delete(path(customer, "summer"))
    await shop.program(custom_links_need_approval=True)
    reply = await portal.post(path(customer), {"code": "summer"})
    assert (reply.status, reply.code) == (409, "code_removed")
    assert (await codes(shop, customer))["summer"] == "removed"
    assert (await shop.client.post(path(customer), {"code": "summer"})).data["state"] == "active"


async def test_a_link_that_is_taken_up_again_earns_by_late_orders_of_when_it_was_active(shop, customer, later):
    """Active from the first day, removed on the second, active again from the fourth until the sixth, and since the eighth."""
    began = clock.now()
    await shop.client.post(path(customer), {"code": "summer"})
    for day in (2, 4, 6, 8):
        later(days=day)
        if day in {2, 6}:
            assert (await shop.client.delete(path(customer, "summer"))).status == 204
        else:
            assert (await shop.client.post(path(customer), {"code": "summer"})).data["state"] == "active"
    later(days=9)
    for day in range(-1, 9, 2):
        await shop.order(code="summer", first_completed_at=began + timedelta(days=day))
    await shop.order(code="summer", first_completed_at=began + timedelta(days=8.5))
    rows = await shop.rows("SELECT reason FROM commission WHERE store_id = $1 ORDER BY earned_at", shop.store_id)
    assert [row["reason"] for row in rows] == ["link_inactive", None, "link_inactive", None, "link_inactive", None]


async def test_a_link_is_taken_up_a_bounded_number_of_times(shop, customer, monkeypatch):
    """When it was active is read with every order, each time."""
    monkeypatch.setattr("affiliates.api.links.TAKEN_UP", 2)
    await shop.client.post(path(customer), {"code": "summer"})
    heard = []
    for _ in range(3):
        assert (await shop.client.delete(path(customer, "summer"))).status == 204
        heard.append(await shop.client.post(path(customer), {"code": "summer"}))
    assert [(reply.status, reply.code if reply.status == 409 else None) for reply in heard] == [
        (201, None),
        (201, None),
        (409, "too_often"),
    ]
    assert (await codes(shop, customer))["summer"] == "removed"
    assert TAKEN_UP == 50


async def test_an_affiliate_has_a_bounded_number_of_links(shop, customer, monkeypatch):
    """Removed ones count, and neither do many at once get past it."""
    monkeypatch.setattr(links, "MOST", 5)
    monkeypatch.setattr("affiliates.api.links.MOST", 5)
    await shop.client.post(path(customer), {"code": "summer"})
    await shop.client.delete(path(customer, "summer"))
    heard = await asyncio.gather(*(shop.client.post(path(customer)) for _ in range(10)))
    assert sorted(reply.status for reply in heard) == [201] * 3 + [409] * 7
    assert {reply.code for reply in heard if reply.status == 409} == {"too_many_links"}
    assert MOST == 50


async def test_without_the_lock_there_are_too_many(shop, customer, monkeypatch):
    """Planted: the same without the lock on the affiliate."""
    monkeypatch.setattr("affiliates.api.links.MOST", 2)
    monkeypatch.setattr(store, "lock_affiliate_of", store.affiliate_of)
    links_of, everybody = store_links.links_of, asyncio.Barrier(2)

    async def together(conn, affiliate):
        found = await links_of(conn, affiliate)
        if len(found) == 1:
            await everybody.wait()
        return found

    monkeypatch.setattr(store_links, "links_of", together)
    heard = await asyncio.gather(*(shop.client.post(path(customer)) for _ in range(2)))
    assert [reply.status for reply in heard] == [201, 201]


async def test_a_removed_link_earns_no_longer_and_what_it_earned_stays(shop, customer):
    await shop.client.post(path(customer), {"code": "summer"})
    await shop.order(code="summer")
    for _ in range(2):
        reply = await shop.client.delete(path(customer, "summer"))
        assert (reply.status, reply.body) == (204, b"")
    await shop.order(code="summer")
    assert (await shop.buckets(customer))["available"] == 10
    assert [event.code for event in await shop.announced(LinkRemoved)] == ["summer"]
    assert await codes(shop, customer) == {"creator123": "active", "summer": "removed"}


async def test_the_only_active_link_stays(shop, customer, portal):
    await shop.program(custom_links_need_approval=True)
    await portal.post(path(customer), {"code": "wanted"})
    reply = await shop.client.delete(path(customer, "creator123"))
    assert (reply.status, reply.code) == (409, "last_link")


async def test_of_two_links_removed_at_once_one_stays(shop, customer):
    """Each waits for the affiliate, so that the second sees what the first has left."""
    await shop.client.post(path(customer), {"code": "summer"})
    both = ("creator123", "summer")
    async with shop.worker.transaction() as conn:
        await conn.row("SELECT 1 FROM affiliate WHERE customer_id = $1 FOR UPDATE", customer)
        removals = [asyncio.create_task(shop.client.delete(path(customer, code))) for code in both]
        await somebody_waits(shop.worker)
    assert sorted([(await removal).status for removal in removals]) == [204, 409]


@pytest.mark.parametrize("code", ["unknown", "CREATOR-OTHER", "x", "%00", "a%20b"])
async def test_a_link_of_nobody_or_of_another_is_404(shop, customer, code):
    await shop.enrol("creator-other")
    assert (await shop.client.delete(path(customer, code))).status == 404


async def test_a_requested_code_earns_nothing_until_it_is_approved(shop, customer, requested):
    await shop.order(code=requested)
    assert (await shop.buckets(customer))["available"] == 0
    queue = (await shop.client.get(f"{QUEUE}?state=requested")).data
    assert [(link["code"], link["customer_id"]) for link in queue] == [(requested, customer)]
    for _ in range(2):
        reply = await shop.client.post(f"{QUEUE}/{requested}/approve")
        assert (reply.status, reply.data["state"]) == (200, "active")
    await shop.order(code=requested)
    assert (await shop.buckets(customer))["available"] == 10
    assert [event.code for event in await shop.announced(LinkAdded)] == ["creator123", requested]
    assert (await shop.client.get(f"{QUEUE}?state=requested")).data == []
    actions = [each["action"] for each in (await shop.client.get("/dev/v1/affiliates/activity")).data]
    assert actions[:2] == ["link.approved", "link.requested"]


async def test_a_rejected_code_is_free_again_and_why_is_kept(shop, customer, requested):
    reply = await shop.client.post(f"{QUEUE}/{requested}/reject", {"reason": "our own brand"})
    assert (reply.status, reply.body) == (204, b"")
    assert (await shop.client.post(f"{QUEUE}/{requested}/reject", {"reason": "again"})).status == 404
    assert await codes(shop, customer) == {"creator123": "active", requested: "rejected"}
    noted = (await shop.client.get("/dev/v1/affiliates/activity?limit=1")).data[0]
    assert (noted["action"], noted["note"], noted["detail"]) == ("link.rejected", "our own brand", {"code": requested})
    assert (await shop.summary(await shop.enrol(requested)))["link"]["code"] == requested


async def test_the_queue_is_told_step_by_step(shop, customer, portal, requested):
    await shop.client.post(f"{QUEUE}/{requested}/reject", {"reason": " our own brand "})
    for code in ("second", "third"):
        await portal.post(path(customer), {"code": code})
    await shop.client.post(f"{QUEUE}/second/approve")
    await portal.delete(path(customer, "third"))
    told = (await shop.announced(LinkRequested, LinkRejected, LinkAdded, LinkRemoved))[1:]
    assert [(event.TYPE, event.code) for event in told] == [
        ("link.requested", "wanted"),
        ("link.rejected", "wanted"),
        ("link.requested", "second"),
        ("link.requested", "third"),
        ("link.added", "second"),
        ("link.removed", "third"),
    ]
    assert "our own brand" not in told[1].model_dump_json()
    assert {event.customer_id for event in told} == {customer}


async def test_who_asked_in_vain_reads_why_and_may_ask_again(shop, customer, portal, requested):
    await shop.client.post(f"{QUEUE}/{requested}/reject", {"reason": "our own brand"})
    rejected = (await portal.get(path(customer))).data[-1]
    assert rejected.items() >= {"code": requested, "state": "rejected", "reason": "our own brand"}.items()
    await portal.post(path(customer), {"code": requested})
    assert await codes(shop, customer) == {"creator123": "active", requested: "requested"}
    await shop.client.post(f"{QUEUE}/{requested}/reject", {"reason": "still ours"})
    assert [link["reason"] for link in (await portal.get(path(customer))).data] == [None, "still ours"]


async def test_nothing_comes_of_a_rejected_code(shop, customer, portal, requested):
    await shop.client.post(f"{QUEUE}/{requested}/reject", {"reason": "our own brand"})
    await shop.order(code=requested)
    click = {"code": requested, "visitor": "v", "bot": False, "at": clock.now().isoformat()}
    await shop.client.post("/internal/v1/clicks", {"batch_id": "one", "clicks": [click]})
    other = await shop.enrol(requested)
    await shop.order(code=requested)
    assert [(await shop.buckets(each))["available"] for each in (customer, other)] == [0, 10]
    (link,) = (await portal.get(path(other))).data
    assert (link["total_clicks"], link["total_sales"]) == (0, 1)
    assert (await portal.delete(path(customer, requested))).status == 404
    assert (await shop.summary(customer))["link"]["code"] == "creator123"


async def test_a_request_that_is_withdrawn_is_free_again(shop, customer, portal, requested):
    assert (await portal.delete(path(customer, requested))).status == 204
    assert (await portal.delete(path(customer, requested))).status == 404
    assert await codes(shop, customer) == {"creator123": "active"}
    await shop.enrol(requested)


async def test_approved_and_rejected_at_once_is_decided_once(shop, customer, requested):
    calls = [("approve", None), ("reject", {"reason": "no"})] * 5
    heard = await asyncio.gather(*(shop.client.post(f"{QUEUE}/{requested}/{verb}", body) for verb, body in calls))
    by_verb = {
        verb: {reply.status for (its, _), reply in zip(calls, heard, strict=True) if its == verb}
        for verb in ("approve", "reject")
    }
    if (await codes(shop, customer))["wanted"] == "active":
        assert by_verb == {"approve": {200}, "reject": {409}}
    else:
        assert by_verb == {"approve": {404}, "reject": {204, 404}}


@pytest.mark.parametrize(("verb", "body"), [("approve", None), ("reject", {"reason": "no"})])
async def test_only_a_request_is_decided(shop, customer, verb, body):
    await shop.client.post(path(customer), {"code": "summer"})
    await shop.client.delete(path(customer, "summer"))
    reply = await shop.client.post(f"{QUEUE}/summer/{verb}", body)
    assert (reply.status, reply.code) == (409, "link_state")
    assert (await shop.client.post(f"{QUEUE}/unknown/{verb}", body)).status == 404
    assert (await shop.client.post(f"{QUEUE}/creator123/reject", {"reason": "no"})).code == "link_state"


@pytest.mark.parametrize(
    "body", [{}, {"reason": ""}, {"reason": "   "}, {"reason": "x" * 501}, {"reason": "x", "more": 1}]
)
async def test_a_rejection_has_a_reason(shop, customer, requested, body):
    reply = await shop.client.post(f"{QUEUE}/{requested}/reject", body)
    assert (reply.status, reply.code) == (422, "invalid")


async def test_a_link_approved_while_its_affiliate_is_suspended_is_told_later(shop, customer, requested):
    await shop.client.post(f"/dev/v1/customers/{customer}/affiliate/suspend", {"reason": "spam"})
    assert (await shop.client.post(path(customer))).code == "not_active"
    await shop.client.post(f"{QUEUE}/{requested}/approve")
    assert [event.code for event in await shop.announced(LinkAdded)] == ["creator123"]
    await shop.client.post(f"/dev/v1/customers/{customer}/affiliate/reactivate")
    assert [event.code for event in await shop.announced(LinkAdded)] == ["creator123", "creator123", requested]


async def test_the_links_of_the_store_are_read_page_by_page(shop):
    for code in ("ccc", "aaa", "bbb"):
        await shop.enrol(code)
    first = (await shop.client.get(f"{QUEUE}?limit=2")).json
    rest = (await shop.client.get(f"{QUEUE}?limit=2&cursor={first['next_cursor']}")).json
    assert [link["code"] for link in first["data"] + rest["data"]] == ["aaa", "bbb", "ccc"]
    assert (await shop.client.get(f"{QUEUE}?state=active&cursor={first['next_cursor']}")).code == "invalid_cursor"


async def test_only_staff_decide_and_only_a_writer_adds(shop, customer, portal, requested):
    reader = shop.client.as_(merchant(shop.store_id, ["customers.read", "affiliates.read"]))
    refused = [
        await portal.get(QUEUE),
        await portal.post(f"{QUEUE}/{requested}/approve"),
        await portal.post(f"{QUEUE}/{requested}/reject", {"reason": "no"}),
        await reader.post(path(customer)),
        await reader.delete(path(customer, "creator123")),
    ]
    assert {reply.code for reply in refused} == {"insufficient_scope"}


async def test_links_of_another_store_are_404(shop, customer, requested, monkeypatch):
    monkeypatch.setattr(known_customers, "_PATIENCE", 0)
    stranger = shop.client.as_(merchant(new_store()))
    assert (await stranger.get(path(customer))).status == 404
    assert (await stranger.post(f"{QUEUE}/{requested}/approve")).status == 404
    assert (await stranger.post(f"{QUEUE}/{requested}/reject", {"reason": "no"})).status == 404


@pytest.mark.parametrize("code", ["ab", "x" * 33, "a b", 7])
async def test_a_code_has_letters_digits_and_dashes(shop, customer, code):
    reply = await shop.client.post(path(customer), {"code": code})
    assert (reply.status, reply.code) == (422, "invalid")
    assert await codes(shop, customer) == {"creator123": "active"}
