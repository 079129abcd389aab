"""Payouts as they are decided: by staff, one step at a time, and once."""

import asyncio

import pytest
from dying import dies
from handling import somebody_waits
from payout_desk import (
    ASKED,
    BODIES,
    HASH,
    TO,
    TRON,
    act,
    ask,
    done,
    payout,
    shown,
    some,
    staff,
    told,
)
from serving import merchant, new_store

from affiliates import timers
from chassis import clock, ids
from contracts.ids import CLAIM, CUSTOMER


async def test_a_payout_is_approved_sent_and_confirmed(shop, customer):
    claim_id = (await ask(shop, customer)).data["claim_id"]
    for action, status, bucket in [
        ("approve", "APPROVED", "requested"),
        ("sent", "SENT", "requested"),
        ("confirm", "CONFIRMED", "paid"),
    ]:
        reply = await act(shop, claim_id, action)
        assert (reply.status, reply.data["status"]) == (200, status)
        assert reply.data == await shown(shop, claim_id)
        assert some(await shop.buckets(customer)) == {"available": 18, bucket: 7}
        again = await act(shop, claim_id, action)
        assert (again.status, again.data) == (200, reply.data)
    assert (reply.data["transaction_hash"], reply.data["type"], reply.data["reason"]) == (HASH, "payout", None)
    assert reply.data["ended_at"] is not None
    assert await told(shop) == ["claim.payout_requested", "claim.approved", "claim.sent", "claim.confirmed"]
    rows = await shop.rows("SELECT payload FROM outbox WHERE store_id = $1 AND topic = 'claims'", shop.store_id)
    assert not any(secret in str(row["payload"]) for row in rows for secret in (TRON, HASH, ASKED["note"]))
    assert await done(shop, claim_id) == [
        ("key_test", f"payout.{each}", None) for each in ("approve", "sent", "confirm")
    ]


@pytest.mark.parametrize(
    ("status", "action", "reason", "event"),
    [
        ("PENDING", "reject", "rejected", "claim.rejected"),
        ("APPROVED", "reject", "rejected", "claim.rejected"),
        ("SENT", "fail", "transfer_failed", "claim.failed"),
    ],
)
async def test_what_is_not_paid_is_available_again_once(shop, customer, status, action, reason, event):
    claim_id = await payout(shop, customer, status)
    first = await act(shop, claim_id, action)
    again = await act(shop, claim_id, action, {"reason": "another reason"})
    assert first.data == again.data
    said = BODIES[action]["reason"]
    assert (first.data["reason"], first.data["explanation"]) == (reason, said)
    assert some(await shop.buckets(customer)) == {"available": 25}
    assert (await told(shop)).count(event) == 1
    assert (await done(shop, claim_id))[-1] == ("key_test", f"payout.{action}", said)


FITS = {("PENDING", "approve"), ("PENDING", "reject"), ("APPROVED", "reject"), ("APPROVED", "sent")} | {
    ("SENT", "confirm"),
    ("SENT", "fail"),
}
REPEATS = {"APPROVED": "approve", "SENT": "sent", "CONFIRMED": "confirm", "REJECTED": "reject", "FAILED": "fail"}


@pytest.mark.parametrize("status", TO)
async def test_what_does_not_fit_is_refused_and_says_where_the_payout_stands(shop, customer, status):
    claim_id = await payout(shop, customer, status)
    before, told_before, done_before = await shown(shop, claim_id), await told(shop), await done(shop, claim_id)
    assert before["status"] == status
    for action in BODIES.keys() - {action for at, action in FITS if at == status} - {REPEATS.get(status)}:
        reply = await act(shop, claim_id, action)
        assert (reply.status, reply.code, reply.json["detail"]) == (409, "claim_status", f"the payout is {status}")
    if status in {"SENT", "CONFIRMED", "REJECTED", "FAILED"}:
        assert (await act(shop, claim_id, "settle")).code == "claim_status"
    if status == "SENT":
        other = await act(shop, claim_id, "sent", {"transaction_hash": "cd" * 32})
        assert other.code == "claim_status"
    assert (await shown(shop, claim_id), await told(shop), await done(shop, claim_id)) == (
        before,
        told_before,
        done_before,
    )


async def test_two_persons_approve_where_the_program_wants_two(shop, customer):
    await shop.program(two_person_approval=True)
    claim_id = await payout(shop, customer)
    for number, status, code in [(1, "PENDING", None), (1, None, "second_person_needed"), (2, "APPROVED", None)]:
        reply = await act(shop, claim_id, "approve", by=staff(shop, number))
        assert (reply.status, reply.code if code else reply.data["status"]) == (409 if code else 200, code or status)
    assert [approval.rpartition(":")[2] for approval in reply.data["approvals"]] == ["stf_1", "stf_2"]
    assert (await told(shop)).count("claim.approved") == 1
    assert await done(shop, claim_id) == [(f"stf_{number}", "payout.approve", None) for number in (1, 2)]


async def test_two_persons_at_once_are_two(shop, customer):
    await shop.program(two_person_approval=True)
    claim_id = await payout(shop, customer)
    heard = await asyncio.gather(*(act(shop, claim_id, "approve", by=staff(shop, number)) for number in (1, 2)))
    assert sorted(reply.data["status"] for reply in heard) == ["APPROVED", "PENDING"]


async def test_a_suspended_affiliate_is_not_paid_but_refused_and_what_was_sent_goes_on(shop, customer):
    pending, approved, sent = [
        await payout(shop, customer, status, amount=1) for status in ("PENDING", "APPROVED", "SENT")
    ]
    await shop.step(customer, "suspend")
    assert [(await act(shop, pending, action)).code for action in ("approve", "settle")] == ["not_active"] * 2
    assert (await act(shop, pending, "reject")).status == 200
    assert (await act(shop, approved, "reject")).status == 200
    assert (await act(shop, sent, "confirm")).status == 200


async def test_who_owes_is_not_paid_and_the_money_of_a_rejected_payout_pays_what_they_owe(shop):
    customer = await shop.enrol()
    order = await shop.order(base=80_000)
    pending, approved, sent = [
        await payout(shop, customer, status, amount=amount)
        for status, amount in [("PENDING", 50), ("APPROVED", 20), ("SENT", 10)]
    ]
    (row,) = await shop.rows("SELECT commission_id FROM commission WHERE order_id = $1", order.order_id)
    denied = f"/dev/v1/affiliates/commissions/{row['commission_id']}/deny"
    assert (await shop.client.post(denied, {"reason": "fraud"}, key="deny")).status == 200
    for claim_id, action in [(pending, "approve"), (pending, "settle"), (approved, "settle")]:
        reply = await act(shop, claim_id, action)
        assert (reply.status, reply.code) == (409, "in_debt")
        assert "80 EUR" in reply.json["detail"]
        assert (await shown(shop, claim_id))["debt"] == 80
    assert (await act(shop, pending, "reject")).data["debt"] == 30
    transfer = {"transaction_hash": "cd" * 32}
    assert (await act(shop, approved, "sent", transfer)).data["status"] == "SENT"  # it says what was done
    assert (await act(shop, approved, "confirm")).data["status"] == "CONFIRMED"
    assert (await act(shop, sent, "fail")).data["status"] == "FAILED"
    assert some(await shop.buckets(customer)) == {"paid": 20, "debt": 20}
    assert await shop.requests() == []


@pytest.mark.parametrize("reason", [None, "", "  ", "x" * 501, 5])
@pytest.mark.parametrize("action", ["reject", "fail"])
async def test_staff_say_why(shop, customer, action, reason):
    claim_id = await payout(shop, customer, "PENDING" if action == "reject" else "SENT")
    assert (await act(shop, claim_id, action, {"reason": reason})).status == 422
    assert (await act(shop, claim_id, action, {"because": "so"})).status == 422
    assert some(await shop.buckets(customer)) == {"available": 18, "requested": 7}


async def test_approving_and_rejecting_at_once_ends_one_way(shop, customer):
    for _ in range(5):
        claim_id = await payout(shop, customer)
        approved, rejected = await asyncio.gather(act(shop, claim_id, "approve"), act(shop, claim_id, "reject"))
        assert rejected.data["status"] == "REJECTED"
        assert approved.status == 200 or approved.code == "claim_status"
        assert (await shown(shop, claim_id))["status"] == "REJECTED"
    assert some(await shop.buckets(customer)) == {"available": 25}


async def test_confirming_and_failing_at_once_ends_one_way(shop, customer):
    claim_id = await payout(shop, customer, "SENT")
    heard = await asyncio.gather(act(shop, claim_id, "confirm"), act(shop, claim_id, "fail"))
    assert sorted(reply.status for reply in heard) == [200, 409]


async def test_a_decision_that_waits_for_a_merge_counts_for_who_is_left(shop, customer):
    claim_id = await payout(shop, customer)
    other = await shop.enrol("other")
    await shop.about_to_merge(customer, other)
    async with shop.worker.transaction() as conn:
        await timers.follow_merges(conn, clock.now())
        rejecting = asyncio.create_task(act(shop, claim_id, "reject"))
        await somebody_waits(shop.worker)
    assert (await rejecting).data["status"] == "REJECTED"
    assert some(await shop.buckets(other)) == {"available": 25}


async def test_nobody_decides_without_the_scope_or_about_what_is_not_theirs(shop, customer, impatient):
    claim_id = await payout(shop, customer)
    conversion = (await shop.convert(customer, 1)).data["claim_id"]
    portal = merchant(shop.store_id, ["customers.read", "customers.write", "affiliates.read"])
    for action in (*BODIES, "settle"):
        assert (await act(shop, claim_id, action, by=portal)).status == 403
        assert (await act(shop, claim_id, action, by=merchant(new_store()))).status == 404
        for other in (conversion, ids.new(CLAIM), ids.new(CUSTOMER), "nonsense", "claim_%00"):
            assert (await act(shop, other, action)).status == 404
    for other in (conversion, ids.new(CLAIM), "nonsense"):
        assert (await shop.client.get(f"/dev/v1/affiliates/payouts/{other}")).status == 404
    assert some(await shop.buckets(customer)) == {"available": 17, "requested": 8}


async def test_what_moves_money_needs_a_key_and_is_done_once_by_it(shop, customer):
    claim_id = await payout(shop, customer, "SENT")
    for action in ("reject", "settle", "confirm", "fail"):
        reply = await shop.client.post(f"/dev/v1/affiliates/payouts/{claim_id}/{action}", BODIES.get(action))
        assert (reply.status, reply.code) == (400, "idempotency_key_missing")
    first, again = [await act(shop, claim_id, "confirm", key="k") for _ in range(2)]
    assert (again.status, again.body, again.headers["idempotent-replayed"]) == (200, first.body, "true")
    for action in ("approve", "sent"):
        path = f"/dev/v1/affiliates/payouts/{claim_id}/{action}"
        assert (await shop.client.post(path, BODIES.get(action))).code == "claim_status"


@pytest.mark.parametrize(
    ("status", "action"),
    [("PENDING", "approve"), ("APPROVED", "reject"), ("APPROVED", "sent"), ("SENT", "confirm"), ("PENDING", "settle")],
)
async def test_an_action_that_dies_on_any_statement_is_done_whole_or_not_at_all(
    shop, customer, monkeypatch, impatient, status, action
):
    claim_id = await payout(shop, customer, status)
    before, found = await standing(shop, claim_id), []
    while await dies(lambda: act(shop, claim_id, action, key="k"), monkeypatch, after=len(found), once_done=True):
        found.append(await standing(shop, claim_id))
    after = await standing(shop, claim_id)
    whole = found.count(after)  # it died while it told of it: the wallet had been asked
    assert bool(whole) == (action == "settle")
    assert found == [before] * (len(found) - whole) + [after] * whole
    assert len(found) > 5
    assert [len(one) - len(other) for one, other in zip(after[1:], before[1:], strict=True)] == [1, 1]


async def standing(shop, claim_id):
    """All that an action may change, besides the journal, which ``verify`` compares with it."""
    claim = await shop.rows("SELECT * FROM claim WHERE claim_id = $1", claim_id)
    return [tuple(row) for row in claim], await told(shop), await done(shop, claim_id)
