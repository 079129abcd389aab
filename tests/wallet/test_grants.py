"""Which credit is spent first, and what of it is over when."""

from datetime import timedelta

import pytest
from books import AT, Wallet, day
from hypothesis import given
from hypothesis import strategies as st

from wallet.entries import Part
from wallet.grants import Grant, Grants, first_of

DATES = st.none() | st.integers(1, 4)
CREDITS = st.lists(st.tuples(st.integers(1, 20), DATES), min_size=1, max_size=8)


def grants_of(*left):
    grants = Grants()
    for sequence, amount in enumerate(left, 1):
        grants.add(Grant(sequence, f"tx{sequence}", "CREDIT", amount, amount, 0, None, AT))
    return grants


def test_what_expires_soonest_is_spent_first_and_what_never_does_last():
    wallet = Wallet()
    for expires in (None, 9, 3, 9):
        wallet.give(10, *([] if expires is None else [expires]))
    assert wallet.take(35).parts == ((3, 10), (2, 10), (4, 10), (1, 5))
    assert wallet.left == [(1, 5)]


@given(CREDITS, st.integers(1, 160))
def test_nobody_has_credit_spent_while_other_credit_is_over_sooner(credits_, amount):
    wallet = Wallet()
    for given_, days in credits_:
        wallet.give(given_, *([] if days is None else [days]))
    amount = min(amount, wallet.account.balance_minor)
    taken = dict(wallet.take(amount).parts)
    order = sorted(range(1, len(credits_) + 1), key=lambda n: (credits_[n - 1][1] or 99, n))
    whole = [credits_[n - 1][0] for n in order]
    assert [taken.get(n, 0) for n in order] == [
        max(0, min(amount - sum(whole[:i]), given_)) for i, given_ in enumerate(whole)
    ]


@pytest.mark.parametrize(
    ("at", "left"),
    [(day(5) - timedelta(microseconds=1), [(1, 10)]), (day(5), []), (day(5) + timedelta(microseconds=1), [])],
)
def test_credit_is_over_at_its_very_instant(at, left):
    wallet = Wallet()
    given_ = wallet.give(10, 5)
    wallet.book.at = at
    wallet.post(-99)
    assert wallet.left == left
    expired = [its for its in wallet.book.entries if its.type == "EXPIRED"]
    assert [(its.amount_minor, its.cause_id, its.credit_account) for its in expired] == (
        [] if left else [(10, given_.entry_id, "breakage")]
    )


def test_only_what_is_left_expires():
    wallet = Wallet()
    wallet.give(10, 5)
    wallet.take(4)
    wallet.wait_until(5)
    assert wallet.lines[-1] == ("EXPIRED", "grant", -6)
    assert wallet.figures == (0, 0, 3)


def test_what_is_held_does_not_expire_and_the_rest_does():
    wallet = Wallet()
    wallet.give(10, 5)
    wallet.place(4)
    wallet.wait_until(5)
    assert wallet.lines[-1] == ("EXPIRED", "grant", -6)
    assert (wallet.account.balance_minor, wallet.account.held_minor) == (4, 4)


def test_many_that_are_due_expire_soonest_first_each_in_an_entry_of_its_own():
    wallet = Wallet(1)
    for days in (7, 5, 6, 20):
        wallet.give(days, days)
    wallet.wait_until(10)
    assert wallet.lines[-3:] == [("EXPIRED", "grant", -5), ("EXPIRED", "grant", -6), ("EXPIRED", "grant", -7)]
    assert wallet.account.due_at == day(20)
    assert wallet.left == [(5, 20), (1, 1)]


def test_credit_expires_once():
    wallet = Wallet()
    wallet.give(10, 5)
    wallet.wait_until(5)
    wallet.wait_until(50)
    assert wallet.figures == (0, 0, 2)


def test_more_than_the_grants_have_is_a_fault_and_never_a_guess():
    with pytest.raises(ArithmeticError):
        grants_of(5, 5).choose(11)


def test_a_grant_named_first_is_taken_from_first_and_once():
    assert grants_of(5, 5, 5).choose(12, first=3) == ((3, 5), (1, 5), (2, 2))
    assert grants_of(5, 5).choose(7, first=99) == ((1, 5), (2, 2))


def test_a_grant_taken_in_twice_counts_once():
    grants = grants_of(5)
    grants.add(grants[1])
    assert len(list(grants)) == 1


@given(st.lists(st.integers(1, 9), max_size=6), st.integers(0, 60))
def test_parts_cut_in_two_are_the_same_parts(amounts, amount):
    parts = tuple(Part(*pair) for pair in enumerate(amounts, 1))
    taken, rest = first_of(parts, amount)
    assert sum(part.amount_minor for part in taken) == min(amount, sum(amounts))
    both = dict.fromkeys(range(1, len(amounts) + 1), 0)
    for part in (*taken, *rest):
        both[part.sequence] += part.amount_minor
    assert list(both.values()) == amounts
    assert all(part.amount_minor for part in (*taken, *rest))
