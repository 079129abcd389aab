"""Undoing entries: taking back what was given, giving back what was taken."""

import pytest
from books import Wallet, day

from contracts.wallet import EntryType
from wallet.book import LIMIT
from wallet.entries import GIFT_CODE, PROMOTION, Cause
from wallet.postings import Refused


def test_what_was_given_is_taken_from_its_own_grant_first():
    wallet = Wallet(10)
    wallet.give(10, 5)
    given = wallet.give(10, 9)
    posted = wallet.reverse(given)
    assert posted.entry.parts == ((3, 10),)
    assert (posted.entry.type, posted.entry.cause_kind, posted.entry.cause_id) == (
        "ADJUSTMENT",
        "reversal",
        given.entry_id,
    )
    assert wallet.left == [(2, 10), (1, 10)]


def test_what_was_given_goes_back_to_the_account_it_came_from():
    wallet = Wallet()
    entry = wallet.reverse(wallet.give(10, kind=EntryType.PROMO)).entry
    assert (entry.debit_account, entry.credit_account) == ("customer", "promotions")


def test_what_is_spent_is_taken_from_other_credit_and_what_is_not_there_is_owed():
    wallet = Wallet()
    given = wallet.give(10)
    wallet.take(8)
    wallet.give(5)
    posted = wallet.reverse(given)
    assert posted.entry.parts == ((1, 2), (3, 5))
    assert wallet.lines[-2:] == [("ADJUSTMENT", "reversal", -7), ("ADJUSTMENT", "shortfall", -3)]
    assert (wallet.debt, posted.balance_minor) == (3, 0)


def test_what_expired_is_gone_and_asked_back_from_nobody():
    wallet = Wallet()
    given = wallet.give(10, 1)
    wallet.take(4)
    wallet.wait_until(1)
    wallet.give(10)
    posted = wallet.reverse(given)
    assert (posted.entry.amount_minor, posted.balance_minor) == (4, 6)


def test_of_what_expired_whole_nothing_is_left_to_undo():
    wallet = Wallet()
    given = wallet.give(10, 1)
    wallet.wait_until(1)
    wallet.give(10)
    assert wallet.reverse(given) == Refused("nothing_left")
    assert wallet.left == [(3, 10)]


def test_what_is_all_spent_is_all_owed_in_one_entry():
    wallet = Wallet()
    given = wallet.give(10)
    wallet.take(10)
    entry = wallet.reverse(given).entry
    assert (entry.cause_kind, entry.debit_account, entry.change_minor, entry.debt_after_minor) == (
        "reversal",
        "customer_debt",
        0,
        10,
    )


def test_what_is_held_is_not_taken():
    wallet = Wallet()
    given = wallet.give(10)
    wallet.place(6)
    wallet.reverse(given)
    assert (wallet.account.balance_minor, wallet.account.held_minor, wallet.debt) == (6, 6, 6)
    assert wallet.capture(6).entry.signed_minor == -6


def test_what_was_taken_goes_back_to_its_grants_and_dates():
    wallet = Wallet(10)
    wallet.give(10, 5)
    wallet.reverse(wallet.take(15))
    assert wallet.left == [(2, 10), (1, 10)]
    wallet.wait_until(5)
    assert wallet.left == [(1, 10)]


def test_what_was_taken_expires_at_once_where_its_date_has_passed():
    wallet = Wallet(10)
    wallet.give(10, 5)
    taken = wallet.take(15)
    wallet.wait_until(6)
    posted = wallet.reverse(taken)
    assert wallet.lines[-2:] == [("ADJUSTMENT", "reversal", 15), ("EXPIRED", "grant", -10)]
    assert (posted.entry.balance_after_minor, posted.balance_minor) == (20, 10)


def test_what_comes_back_pays_debt_first():
    wallet = Wallet()
    given = wallet.give(10)
    taken = wallet.take(10)
    wallet.reverse(given)
    wallet.reverse(taken)
    assert (wallet.debt, wallet.account.balance_minor) == (0, 0)


def test_a_reversal_is_posted_whatever_the_cap():
    wallet = Wallet(50)
    taken = wallet.take(40)
    wallet.cap(10)
    assert wallet.reverse(taken).balance_minor == 50


def test_an_entry_is_reversed_once():
    wallet = Wallet(10)
    given, taken = wallet.give(10), wallet.take(5)
    for entry in (given, taken):
        wallet.reverse(entry)
        before = wallet.figures
        assert wallet.reverse(entry) == Refused("already_reversed")
        assert wallet.figures == before


@pytest.mark.parametrize("cause", [None, Cause(GIFT_CODE, "code"), Cause(PROMOTION, "spring")])
def test_what_was_given_by_hand_code_or_promotion_can_be_reversed(cause):
    wallet = Wallet()
    kind = EntryType.PROMO if cause and cause.kind == PROMOTION else EntryType.ADJUSTMENT
    assert wallet.reverse(wallet.post(10, kind, cause=cause).entry).balance_minor == 0


def everything():
    """A wallet in which every kind of entry was posted that stays."""
    wallet = Wallet()
    wallet.credit(50)
    wallet.place(10)
    wallet.capture(10)
    wallet.give(5, 5)
    wallet.wait_until(5)
    wallet.take(30)
    given = wallet.give(20)
    wallet.take(25)
    wallet.reverse(given)
    wallet.give(30)
    wallet.merge("other")
    return wallet


@pytest.mark.parametrize("kind", ["claim", "order", "grant", "reversal", "shortfall", "debt", "merge"])
def test_what_others_count_on_or_what_mirrors_another_entry_stays(kind):
    wallet = everything()
    entries = [entry for entry in wallet.book.entries if entry.cause_kind == kind]
    assert entries
    before = wallet.figures
    assert {wallet.reverse(entry) for entry in entries} == {Refused("not_reversible")}
    assert wallet.figures == before


def test_no_reversal_makes_a_balance_that_cannot_be_written():
    wallet = Wallet(LIMIT - 1)
    taken = wallet.take(LIMIT - 1)
    wallet.give(1)
    assert wallet.reverse(taken) == Refused("balance_limit")
    wallet.take(1)
    assert wallet.reverse(taken).balance_minor == LIMIT - 1


def test_no_reversal_makes_a_debt_that_cannot_be_written():
    wallet = Wallet()
    given = [wallet.give(LIMIT - 1), wallet.take(LIMIT - 1), wallet.give(1), wallet.take(1)]
    wallet.reverse(given[0])
    assert wallet.reverse(given[2]) == Refused("balance_limit")
    assert wallet.debt == LIMIT - 1


def test_what_expired_meanwhile_is_given_back_to_nobody_twice():
    wallet = Wallet()
    wallet.give(10, 5)
    taken = wallet.take(10)
    wallet.wait_until(6)
    wallet.reverse(taken)
    assert (wallet.figures, wallet.left) == ((0, 0, 4), [])
    assert wallet.account.due_at is None or wallet.account.due_at > day(6)
