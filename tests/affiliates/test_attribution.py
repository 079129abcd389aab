"""Who brought an order: the code given with it, else the last link followed within the window."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affiliates.attribution import RULE, Kind, Outcome, Referral, attribute
from affiliates.enrolment import Standing, by_moment, handed_on
from affiliates.enrolment import State as AffiliateState
from affiliates.links import State as LinkState
from chassis import ids
from contracts.carts import Touch
from contracts.ids import STORE

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
STORE_ID = ids.new(STORE)
WINDOW = timedelta(days=30)


def ago(days: float) -> datetime:
    return NOON - timedelta(days=days)


def theirs(affiliate="aff_1", **more) -> Referral:
    its = {"link_state": LinkState.ACTIVE, "active": [(ago(9), None)]} | more
    states = its.pop("states", [(9, AffiliateState.ACTIVE)])
    standings = [Standing(ago(days), state) for days, state in states]
    return Referral(affiliate, affiliate_state=standings[-1].state, standings=standings, **its)


A_MINUTE, A_SECOND = 1 / 24 / 60, 1 / 24 / 3600
PENDING, ACTIVE, SUSPENDED = AffiliateState


KNOWN = {
    "ann": theirs(),
    "bob": theirs("aff_2"),
    "pending": theirs(states=[(9, AffiliateState.PENDING)]),
    "suspended": theirs(states=[(9, AffiliateState.ACTIVE), (0, AffiliateState.SUSPENDED)]),
    "suspended-since": theirs(states=[(9, AffiliateState.ACTIVE), (-A_SECOND, AffiliateState.SUSPENDED)]),
    "was-suspended": theirs(states=[(9, AffiliateState.SUSPENDED), (-2 * A_MINUTE, AffiliateState.ACTIVE)]),
    "just-approved": theirs(states=[(9, AffiliateState.PENDING), (-A_MINUTE, AffiliateState.ACTIVE)]),
    "asked-for": theirs(link_state=LinkState.REQUESTED, active=[]),
    "latecomer": theirs(active=[(ago(-2 * A_MINUTE), None)]),
    "newcomer": theirs(active=[(ago(-A_MINUTE), None)], states=[(-A_MINUTE, AffiliateState.ACTIVE)]),
    "ahead": theirs(states=[(-1, AffiliateState.ACTIVE)]),
    "ahead-suspended": theirs(states=[(-1, AffiliateState.SUSPENDED), (-2, AffiliateState.ACTIVE)]),
    "removed": theirs(link_state=LinkState.REMOVED, active=[(ago(9), ago(0))]),
    "taken-up": theirs(active=[(ago(9), ago(1)), (ago(-1), None)]),
    "removed-since": theirs(link_state=LinkState.REMOVED, active=[(ago(9), ago(-A_SECOND))]),
}


@pytest.fixture
def attributed(new_order):
    """(code, kind, outcome) of every touch of an order, the decisive one first."""

    def of(code, *clicks, window=WINDOW):
        touches = tuple(Touch(code=clicked, at=ago(days)) for clicked, days in clicks)
        order = new_order(STORE_ID, code=code, placed_at=NOON, first_completed_at=NOON, touches=touches)
        referrals = {(STORE_ID, code): referral for code, referral in KNOWN.items()}
        found = attribute(order, referrals, window=window, moment=NOON)
        if found is not None:
            assert found.touches[0] == found.decisive
        return found and [(touch.code, touch.kind.value, touch.outcome.value) for touch in found.touches]

    return of


def test_the_code_given_with_the_order_wins(attributed):
    assert attributed("ann", ("bob", 0)) == [("ann", "order", "won"), ("bob", "click", "superseded")]


def test_else_the_last_click_wins(attributed):
    assert attributed(None, ("ann", 3), ("bob", 1), ("ann", 2)) == [
        ("bob", "click", "won"),
        ("ann", "click", "superseded"),
        ("ann", "click", "superseded"),
    ]


def test_of_two_clicks_at_once_the_one_that_is_told_first_wins(attributed):
    """carts tells the newest first."""
    for told in (("ann", "bob"), ("bob", "ann")):
        assert [code for code, _, _ in attributed(None, *((code, 1) for code in told))] == list(told)


def test_a_click_counts_for_as_long_as_the_program_says(attributed):
    assert attributed(None, ("ann", 30)) == [("ann", "click", "won")]
    assert attributed(None, ("ann", 30.001)) == [("ann", "click", "expired")]
    assert attributed(None, ("ann", 0.001), window=timedelta()) == [("ann", "click", "expired")]
    assert attributed("ann", ("bob", 31)) == [("ann", "order", "won"), ("bob", "click", "expired")]


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("nobodys", "unknown_code"),
        ("pending", "not_active"),
        ("suspended", "not_active"),
        ("was-suspended", "not_active"),
        ("ahead-suspended", "not_active"),
        ("latecomer", "link_inactive"),
        ("taken-up", "link_inactive"),
        ("asked-for", "link_inactive"),
        ("removed", "link_inactive"),
    ],
)
def test_who_cannot_earn_gives_way_to_an_earlier_click(attributed, code, outcome):
    assert attributed(code, ("ann", 2)) == [("ann", "click", "won"), (code, "order", outcome)]
    assert attributed(None, (code, 1), ("ann", 2)) == [("ann", "click", "won"), (code, "click", outcome)]
    assert attributed(code) == [(code, "order", outcome)]


@pytest.mark.parametrize("code", ["removed-since", "suspended-since"])
def test_what_ended_after_the_order_has_won_it(attributed, code):
    assert attributed(None, (code, 1)) == [(code, "click", "won")]


@pytest.mark.parametrize("code", ["newcomer", "just-approved"])
def test_what_began_with_the_order_has_won_it_though_two_clocks_differ(attributed, code):
    assert attributed(code) == [(code, "order", "won")]


def test_who_enrolled_by_a_clock_that_was_ahead_stood_so_before(attributed):
    assert attributed("ahead") == [("ahead", "order", "won")]


def stood(*states) -> list[Standing]:
    return [Standing(ago(days), state) for days, state in states]


@pytest.mark.parametrize(
    ("written", "history"),
    [
        ([(9, PENDING), (8, ACTIVE), (7, SUSPENDED)], [(9, PENDING), (8, ACTIVE), (7, SUSPENDED)]),
        ([(9, ACTIVE), (-30, SUSPENDED), (8, ACTIVE)], [(9, ACTIVE), (8, ACTIVE)]),
        ([(9, ACTIVE), (-30, SUSPENDED), (-40, ACTIVE), (8, SUSPENDED)], [(9, ACTIVE), (8, SUSPENDED)]),
        ([(9, ACTIVE), (9, SUSPENDED)], [(9, SUSPENDED)]),
    ],
)
def test_what_was_written_last_decides_from_its_moment_on(written, history):
    assert by_moment(stood(*written)) == stood(*history)


@pytest.mark.parametrize(
    ("heirs", "history"),
    [
        ([(20, PENDING), (6, ACTIVE)], [(9, ACTIVE), (6, ACTIVE)]),
        ([(20, PENDING), (4, ACTIVE)], [(9, ACTIVE), (6, PENDING), (4, ACTIVE)]),
        ([(20, ACTIVE), (7, SUSPENDED), (5, ACTIVE)], [(9, ACTIVE), (6, SUSPENDED), (5, ACTIVE)]),
        ([(3, ACTIVE), (2, SUSPENDED)], [(9, ACTIVE), (6, ACTIVE), (3, ACTIVE), (2, SUSPENDED)]),
    ],
)
def test_a_link_goes_by_whose_it_was(heirs, history):
    """It became another's six days ago; what became of the first one since is nothing to it."""
    assert handed_on(stood((9, ACTIVE), (5.5, SUSPENDED)), ago(6), stood(*heirs)) == stood(*history)


def test_where_nobody_can_earn_what_counts_most_says_why(attributed):
    assert attributed("nobodys", ("removed", 1), ("ann", 40)) == [
        ("nobodys", "order", "unknown_code"),
        ("removed", "click", "link_inactive"),
        ("ann", "click", "expired"),
    ]


def test_what_cannot_be_a_code_is_no_touch(attributed):
    assert attributed("a\0b", ("x", 1), ("a_b", 2), (" ANN ", 3)) == [("ann", "click", "won")]
    assert attributed("a\0b", ("x", 1)) is None
    assert attributed(None) is None


def test_twenty_clicks_are_weighed_the_newest(attributed):
    found = attributed(None, *((f"nobody-{number}", number) for number in range(20)), ("ann", 25))
    assert (len(found), {outcome for _, _, outcome in found}) == (20, {"unknown_code"})


clicks = st.tuples(st.sampled_from([*KNOWN, "ANN", "nobodys", "?"]), st.integers(0, 35))


@given(st.sampled_from([None, *KNOWN, "nobodys"]), st.data())
def test_who_wins_never_depends_on_the_order_of_touches_of_different_moments(new_order, code, data):
    told = data.draw(st.lists(clicks, max_size=25, unique_by=lambda click: click[1]))
    referrals = {(STORE_ID, code): referral for code, referral in KNOWN.items()}
    decisions = []
    for given_ in (told, data.draw(st.permutations(told))):
        touches = tuple(Touch(code=clicked, at=ago(days)) for clicked, days in given_)
        order = new_order(STORE_ID, code=code, placed_at=NOON, first_completed_at=NOON, touches=touches)
        decisions.append(attribute(order, referrals, window=WINDOW, moment=NOON))
    one, other = decisions
    assert (one and one.touches) == (other and other.touches)
    if one is not None:
        won = [touch for touch in one.touches if touch.outcome is Outcome.WON]
        assert won == ([one.decisive] if won else [])
        assert all(touch.kind in {Kind.ORDER, Kind.CLICK} for touch in one.touches)


def followed(*clicks):
    now = datetime.now(UTC)
    return tuple(Touch(code=code, at=now - timedelta(days=days)) for code, days in clicks)


async def kept(shop, order):
    rows = await shop.rows(
        "SELECT code, state, reason, rule, touches, turn FROM commission WHERE (store_id, order_id) = ($1, $2)",
        shop.store_id,
        order.order_id,
    )
    (row,) = rows
    touches = [(code, kind, outcome) for code, kind, _, outcome in json.loads(row["touches"])]
    return row["code"], row["state"], row["reason"], row["rule"], touches


async def available(shop, *customers):
    return [(await shop.buckets(customer))["available"] for customer in customers]


async def test_an_order_pays_whose_link_was_followed_last_and_keeps_the_others(shop):
    ann, bob = await shop.enrol("ann"), await shop.enrol("bob")
    order = await shop.order(code=None, touches=followed(("ann", 2), ("nobodys", 0), ("bob", 1), ("ann", 40)))
    assert await available(shop, ann, bob) == [0, 10]
    assert await kept(shop, order) == (
        "bob",
        "payable",
        None,
        RULE,
        [
            ("bob", "click", "won"),
            ("nobodys", "click", "unknown_code"),
            ("ann", "click", "superseded"),
            ("ann", "click", "expired"),
        ],
    )


async def test_the_code_on_the_order_goes_before_every_click(shop):
    ann, bob = await shop.enrol("ann"), await shop.enrol("bob")
    await shop.order(code="ANN", touches=followed(("bob", 0)))
    await shop.order(code="nobodys", touches=followed(("bob", 0)))
    assert await available(shop, ann, bob) == [10, 10]


async def test_a_click_before_the_window_earns_nothing_and_says_so(shop):
    ann = await shop.enrol("ann")
    order = await shop.order(code=None, touches=followed(("ann", 31)))
    assert await available(shop, ann) == [0]
    assert (await kept(shop, order))[1:3] == ("declined", "outside_window")


async def test_a_suspended_affiliates_click_gives_way(shop):
    ann, bob = await shop.enrol("ann"), await shop.enrol("bob")
    await shop.step(bob, "suspend")
    await shop.order(code=None, touches=followed(("bob", 1), ("ann", 2)))
    assert await available(shop, ann, bob) == [10, 0]


async def test_a_replay_decides_nothing_anew(shop):
    ann, bob = await shop.enrol("ann"), await shop.enrol("bob")
    await shop.step(bob, "suspend")
    order = await shop.order(code=None, touches=followed(("bob", 1), ("ann", 2)))
    first = await kept(shop, order)
    await shop.step(bob, "reactivate")
    await shop.complete(order, order)
    assert await kept(shop, order) == first
    later = order.model_copy(update={"version": 2, "base_remaining_minor": 5000, "touches": followed(("bob", 0))})
    await shop.complete(later)
    assert await kept(shop, order) == first
    assert await available(shop, ann, bob) == [5, 0]


async def test_orders_with_touches_of_many_do_not_wait_in_a_circle(shop):
    customers = [await shop.enrol(f"code-{number}") for number in range(5)]
    orders = [
        shop.new_order(code=None, touches=followed(*((f"code-{(n + at) % 5}", at) for at in range(5))))
        for n in range(10)
    ]
    await asyncio.gather(*(shop.complete(*orders[n:], *orders[:n]) for n in range(len(orders))))
    assert await available(shop, *customers) == [20] * 5
