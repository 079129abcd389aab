"""What an order owes, whatever the order of its versions and however often each comes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affiliates import commissions, decisions, earnings
from affiliates.attribution import Attribution, Kind, Outcome, Referral, Touch
from affiliates.commissions import Reason, Referrer, State
from affiliates.enrolment import State as AffiliateState
from affiliates.journal import Bucket
from affiliates.journal import Kind as Move
from affiliates.links import State as LinkState
from affiliates.program import DEFAULT, OwnTerms, Terms, deal
from chassis import ids
from contracts.ids import CUSTOMER, STORE

NOW = datetime(2100, 1, 1, tzinfo=UTC)  # orders are completed before
STORE_ID = ids.new(STORE)
AFFILIATE_CUSTOMER = ids.new(CUSTOMER)
REFERRER = Referrer("aff_1", AFFILIATE_CUSTOMER)


def decided(order, referrer=REFERRER, terms=DEFAULT, currency="EUR"):
    outcome = Outcome.UNKNOWN_CODE if referrer is None else Outcome.WON
    touch = Touch("creator123", Kind.ORDER, None, outcome)
    return commissions.decide(
        order,
        Attribution(touch, (touch,)),
        referrer,
        terms,
        deal(terms, OwnTerms(DEFAULT.since), 0),
        currency=currency,
        commission_id="com_1",
    )


def owed(order, referrer=REFERRER, terms=DEFAULT, currency="EUR"):
    return commissions.fold(decided(order, referrer, terms, currency), order, referrer, NOW)


def terms(**more):
    return Terms(**({"since": DEFAULT.since, "enabled": True, "rate_bps": 1000, "waiting_days": 0} | more))


@pytest.mark.parametrize(
    ("base", "bps", "share"), [(10_000, 1000, 1000), (999, 1000, 99), (9, 1000, 0), (0, 1000, 0), (-5, 1000, 0)]
)
def test_a_share_is_rounded_down(new_order, base, bps, share):
    assert owed(new_order(STORE_ID, base_remaining_minor=base), terms=terms(rate_bps=bps)).amount_minor == share


def test_a_share_is_exact_where_a_float_is_not(new_order):
    assert int(10_000 * (3 / 10_000)) == 2
    assert owed(new_order(STORE_ID, base=10_000), terms=terms(rate_bps=3)).amount_minor == 3


@pytest.mark.parametrize(
    ("referrer", "given_terms", "reason"),
    [
        (None, DEFAULT, Reason.UNKNOWN_CODE),
        (REFERRER, terms(enabled=False), Reason.PROGRAM_OFF),
    ],
)
def test_nothing_is_owed_for_a_reason(new_order, referrer, given_terms, reason):
    commission = owed(new_order(STORE_ID), referrer, given_terms)
    assert (commission.state, commission.reason, commission.owed_minor) == (State.DECLINED, reason, 0)


@pytest.mark.parametrize("field", ["customer_id", "current_customer_id"])
def test_nobody_earns_by_their_own_purchase(new_order, field):
    commission = owed(new_order(STORE_ID, **{field: AFFILIATE_CUSTOMER}))
    assert (commission.state, commission.reason) == (State.DECLINED, Reason.OWN_PURCHASE)


def test_an_order_in_another_currency_is_held_without_an_amount(new_order):
    commission = owed(new_order(STORE_ID, currency="USD"))
    assert (commission.state, commission.reason, commission.amount_minor) == (State.HELD, Reason.NO_RATE, None)


def test_a_waiting_time_counts_from_the_completion(new_order):
    order = new_order(STORE_ID, first_completed_at=NOW - timedelta(days=13))
    assert owed(order, terms=terms(waiting_days=14)).state is State.PENDING
    assert owed(order, terms=terms(waiting_days=13)).state is State.PAYABLE


def test_a_decision_against_stands_for_later_versions(new_order):
    order = new_order(STORE_ID)
    declined = owed(order, None)
    later = commissions.fold(declined, order.model_copy(update={"version": 7}), REFERRER, NOW)
    assert (later.order_version, later.state, later.reason) == (7, State.DECLINED, Reason.UNKNOWN_CODE)


@pytest.mark.parametrize("version", [1, 2])
def test_a_version_as_high_as_was_seen_changes_nothing_at_all(new_order, version):
    order = new_order(STORE_ID, version=2)
    commission = owed(order)
    assert commissions.fold(commission, order.model_copy(update={"version": version}), REFERRER, NOW) is commission


def test_money_leaves_the_bucket_it_is_in(new_order):
    order = new_order(STORE_ID)
    pending = owed(order, terms=terms(waiting_days=30_000))
    less = commissions.fold(
        pending, order.model_copy(update={"version": 2, "base_remaining_minor": 4_000}), REFERRER, NOW
    )
    (moved,) = earnings.moved(pending, less, NOW)
    assert (moved.kind, moved.source, moved.target, moved.amount_minor) == (
        Move.REVERSED,
        Bucket.PENDING,
        Bucket.PROGRAM,
        600,
    )


VERSIONS = st.lists(
    st.tuples(
        st.integers(-100, 10**12),  # base remaining
        st.sampled_from(["stranger", "own"]),
        st.integers(0, 10**12),  # refunded
    ),
    min_size=1,
    max_size=5,
)


@given(
    data=st.data(), versions=VERSIONS, waiting=st.sampled_from([0, 30_000]), currency=st.sampled_from(["EUR", "USD"])
)
def test_any_order_and_repetition_of_versions_ends_the_same(new_order, data, versions, waiting, currency):
    order = new_order(STORE_ID, currency=currency, gross_minor=10**12)
    history = [
        order.model_copy(
            update={
                "version": number,
                "base_remaining_minor": base,
                "refunded_minor": returned,
                "current_customer_id": AFFILIATE_CUSTOMER if whose == "own" else order.customer_id,
            }
        )
        for number, (base, whose, returned) in enumerate(versions, 1)
    ]
    heard = data.draw(st.lists(st.sampled_from(history), max_size=8)) + data.draw(st.permutations(history))
    given_terms = terms(waiting_days=waiting)
    now, sums, sold = None, dict.fromkeys(Bucket, 0), [0, 0]
    for each in heard:
        before = now
        now = commissions.fold(now or decided(each, terms=given_terms), each, REFERRER, NOW)
        for posting in earnings.moved(before, now, NOW):
            sums[posting.source] -= posting.amount_minor
            sums[posting.target] += posting.amount_minor
        for *_, sales, revenue in earnings.sales([(before, now)]):
            sold = [sold[0] + sales, sold[1] + revenue]
    last = owed(history[-1], terms=given_terms)
    assert replace(now, turn=0) == replace(last, turn=0)
    bucket = Bucket.PENDING if waiting else Bucket.SETTLED
    assert sums == dict.fromkeys(Bucket, 0) | {Bucket.PROGRAM: -last.owed_minor, bucket: last.owed_minor}
    counts = last.state is not State.DECLINED
    assert sold == [counts, (last.revenue_minor or 0) if counts else 0]


def test_only_the_highest_version_with_a_code_is_looked_at(new_order):
    first = new_order(STORE_ID, code=" Creator123 ")
    second = first.model_copy(update={"version": 2})
    others = [new_order(STORE_ID, code=None), new_order(STORE_ID, code="no code at all")]
    latest = decisions.latest([second, first, *others])
    assert latest == {(STORE_ID, first.order_id): second}
    assert decisions.codes_of(latest) == {(STORE_ID, "creator123")}


def test_what_concerns_who_is_not_locked_is_put_off_alone(new_order):
    orders = [new_order(STORE_ID, code=code) for code in ("ann", "bob", "ann")]
    _, by_code, by_commission = orders
    referrals = {
        (STORE_ID, code): Referral(affiliate_id, AffiliateState.ACTIVE, LinkState.ACTIVE, [], [])
        for code, affiliate_id in (("ann", "aff_1"), ("bob", "aff_2"))
    }
    known = {(STORE_ID, by_commission.order_id): replace(decided(by_commission), affiliate_id="aff_2")}
    asked = {(order.store_id, order.order_id): order for order in orders}
    assert decisions.elsewhere(asked, known, referrals, {(STORE_ID, "aff_1")}) == [by_code, by_commission]
