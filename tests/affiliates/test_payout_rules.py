"""The way of a payout: what may be done to it where it stands, and when it may be approved."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from affiliates import claims, payouts
from affiliates.claims import Claim, ClaimKind, Objection, Status
from affiliates.enrolment import Affiliate, State
from affiliates.journal import Balances
from affiliates.program import Terms

NOW = datetime(2030, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
TRON = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"
TERMS = Terms(NOW)
TWO = Terms(NOW, two_person_approval=True)
HASH, OTHER_HASH = "a" * 64, "b" * 64


def affiliate(state=State.ACTIVE, settled=2500):
    return Affiliate("store", "aff", "cus", state, NOW, Balances(0, settled, 0, 0, 0))


def payout(status=Status.PENDING, **more):
    given = {
        "kind": ClaimKind.PAYOUT,
        "asset": "USDT",
        "network": "tron",
        "address": TRON,
        "approvable_at": NOW,
        "status": status,
    }
    return Claim("store", "claim", "aff", "cus", 700, "EUR", NOW, NOW, **(given | more))


WAYS = {
    "PENDING": payout(),
    "APPROVED": payout(Status.APPROVED),
    "SENT": payout(Status.SENT, transaction_hash=HASH),
    "CONFIRMED": payout(Status.CONFIRMED, transaction_hash=HASH),
    "REJECTED": payout(Status.REJECTED, reason=payouts.REJECTED),
    "transfer failed": payout(Status.FAILED, transaction_hash=HASH, reason=payouts.TRANSFER_FAILED),
    "PROCESSING": payout(Status.PROCESSING),
    "COMPLETED": payout(Status.COMPLETED),
    "wallet refused": payout(Status.FAILED, reason="balance_cap"),
}
ACTIONS = {
    "approve": lambda claim: payouts.approve(claim, affiliate(), TERMS, "staff:1", NOW),
    "reject": lambda claim: payouts.reject(claim, "no", NOW),
    "sent": lambda claim: payouts.send(claim, HASH, NOW),
    "sent by another": lambda claim: payouts.send(claim, OTHER_HASH, NOW),
    "confirm": lambda claim: payouts.confirm(claim, NOW),
    "fail": lambda claim: payouts.fail(claim, "bounced", NOW),
    "settle": lambda claim: payouts.settle(claim, affiliate(), NOW),
}
# What each action makes of a payout; = is the same one, and everything else is refused.
FITS = {
    ("approve", "PENDING"): "APPROVED",
    ("approve", "APPROVED"): "=",
    ("reject", "PENDING"): "REJECTED",
    ("reject", "APPROVED"): "REJECTED",
    ("reject", "REJECTED"): "=",
    ("sent", "APPROVED"): "SENT",
    ("sent", "SENT"): "=",
    ("sent by another", "APPROVED"): "SENT",
    ("confirm", "SENT"): "CONFIRMED",
    ("confirm", "CONFIRMED"): "=",
    ("fail", "SENT"): "FAILED",
    ("fail", "transfer failed"): "=",
    ("settle", "PENDING"): "PROCESSING",
    ("settle", "APPROVED"): "PROCESSING",
    ("settle", "PROCESSING"): "=",
    ("settle", "COMPLETED"): "=",
    ("settle", "wallet refused"): "=",
}


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("way", WAYS)
def test_every_action_on_every_payout(action, way):
    before = WAYS[way]
    after = ACTIONS[action](before)
    expected = FITS.get((action, way))
    if expected is None:
        assert after is Objection.CLAIM_STATUS
    elif expected == "=":
        assert after is before
    else:
        assert after.status == expected
        assert ACTIONS[action](after) is after


@pytest.mark.parametrize(("action", "reason"), [("reject", "rejected"), ("fail", "transfer_failed")])
def test_what_ends_without_a_payment_says_why_and_gives_back(action, reason):
    before = WAYS["APPROVED" if action == "reject" else "SENT"]
    after = ACTIONS[action](before)
    assert (after.reason, after.ended_at) == (reason, NOW)
    (move,) = claims.moved(before, after)
    assert (move.kind, move.target, move.amount_minor) == ("returned", "settled", 700)


def test_the_way_moves_money_twice():
    way = [WAYS[each] for each in ("PENDING", "APPROVED", "SENT", "CONFIRMED")]
    moves = [claims.moved(before, after) for before, after in zip([None, *way], way, strict=False)]
    assert [[move.kind for move in each] for each in moves] == [["reserved"], [], [], ["paid"]]


def test_two_persons_approve_where_the_program_wants_two():
    one = payouts.approve(payout(), affiliate(), TWO, "staff:1", NOW)
    assert (one.status, one.approvals) == (Status.PENDING, ("staff:1",))
    assert payouts.approve(one, affiliate(), TWO, "staff:1", NOW) is Objection.SECOND_PERSON_NEEDED
    two = payouts.approve(one, affiliate(), TWO, "staff:2", NOW)
    assert (two.status, two.approvals) == (Status.APPROVED, ("staff:1", "staff:2"))
    assert payouts.approve(two, affiliate(), TWO, "staff:3", NOW) is two


def test_one_approval_is_enough_once_the_program_wants_one():
    one = payouts.approve(payout(), affiliate(), TWO, "staff:1", NOW)
    assert payouts.approve(one, affiliate(), TERMS, "staff:1", NOW).status is Status.APPROVED


def test_a_resting_address_is_not_approved_and_is_settled_or_rejected():
    resting = payout(approvable_at=NOW + DAY)
    assert payouts.approve(resting, affiliate(), TERMS, "staff:1", NOW) is Objection.COOLING_PERIOD
    assert payouts.approve(resting, affiliate(), TERMS, "staff:1", NOW + DAY).status is Status.APPROVED
    assert payouts.reject(resting, "no", NOW).status is Status.REJECTED
    assert payouts.settle(resting, affiliate(), NOW).status is Status.PROCESSING


def test_a_suspended_affiliate_is_not_paid_what_nobody_decided():
    suspended = affiliate(State.SUSPENDED)
    assert payouts.approve(payout(), suspended, TERMS, "staff:1", NOW) is Objection.NOT_ACTIVE
    assert payouts.settle(payout(), suspended, NOW) is Objection.NOT_ACTIVE


def test_who_owes_is_neither_approved_nor_settled_and_what_was_done_is():
    for settled, against in [(-1, Objection.IN_DEBT), (0, None)]:
        owes = affiliate(settled=settled)
        decided = (
            payouts.approve(payout(), owes, TERMS, "staff:1", NOW),
            payouts.settle(payout(), owes, NOW),
        )
        assert [each is against for each in decided] == [against is not None] * 2
        assert payouts.approve(WAYS["APPROVED"], owes, TERMS, "staff:1", NOW) is WAYS["APPROVED"]
        assert payouts.settle(WAYS["PROCESSING"], owes, NOW) is WAYS["PROCESSING"]


A, B = ("tron", "A"), ("tron", "B")


@pytest.mark.parametrize(
    ("used", "rests"),
    [
        ({}, 0),  # the first address ever
        ({B: NOW}, 0),  # the only one
        ({A: NOW - 9 * DAY}, 3),
        ({A: NOW - 9 * DAY, B: NOW}, 3),
        ({A: NOW - 9 * DAY, B: NOW - 2 * DAY}, 1),  # it rests since it was first asked for
        ({A: NOW, B: NOW - 9 * DAY}, 0),
        ({("bitcoin", "B"): NOW - 9 * DAY}, 3),
        ({A: NOW - 9 * DAY, B: None}, 3),  # all that asked for it were rejected
        ({A: None}, 3),
        ({B: None}, 0),
    ],
)
def test_an_address_rests_when_there_was_another(used, rests):
    assert payouts.approvable_at(used, B, 3 * DAY, NOW) == NOW + rests * DAY
    assert payouts.approvable_at(used, B, timedelta(), NOW) == NOW


@pytest.mark.parametrize(
    ("asset", "network", "address", "codes"),
    [
        ("USDT", "tron", TRON, []),
        ("USDT", "tron", "TQ2nBylQp1n7hT8t9r3V7A4C6X9K1M2P3Q", ["/address address_invalid"]),
        ("BTC", "tron", TRON, ["/asset asset_not_on_network"]),
        ("DOGE", "tron", TRON, ["/asset asset_unknown"]),
        ("DOGE", "dogecoin", TRON, ["/asset asset_unknown", "/network network_unknown"]),
        ("TRX", "tron", "x", ["/address address_invalid", "/asset method_not_accepted"]),
    ],
)
def test_all_that_is_wrong_with_where_the_money_should_go(asset, network, address, codes):
    terms = replace(TERMS, payout_methods=(("USDT", "tron"), ("BTC", "bitcoin")))
    assert [f"{pointer} {code}" for pointer, code, _ in payouts.flaws(asset, network, address, terms)] == codes


@pytest.mark.parametrize(
    ("amount", "minimum", "state", "against"),
    [
        (2500, 2500, State.ACTIVE, None),
        (2499, 2500, State.ACTIVE, Objection.BELOW_MINIMUM_PAYOUT),
        (2501, 9999, State.ACTIVE, Objection.INSUFFICIENT_BALANCE),
        (2500, 0, State.SUSPENDED, Objection.NOT_ACTIVE),
    ],
)
def test_what_is_paid_out_is_available_and_no_less_than_the_minimum(amount, minimum, state, against):
    terms = replace(TERMS, minimum_payout_minor=minimum)
    assert payouts.objection(affiliate(state), amount, terms) == against


@pytest.mark.parametrize(("amount", "bps", "bonus"), [(1000, 0, 0), (1000, 500, 50), (999, 10, 0), (1999, 10, 1)])
def test_a_bonus_is_rounded_down(amount, bps, bonus):
    assert claims.bonus(amount, bps) == bonus
