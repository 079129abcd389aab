"""The rules of holds, without a database."""

import pytest
from books import Wallet, day

from wallet.holds import KEPT
from wallet.postings import Captured, Done, Placed, Refused, Released


def test_a_hold_sets_aside_and_a_capture_takes_it():
    wallet = Wallet(100)
    assert isinstance(wallet.place(30), Placed)
    assert wallet.figures == (100, 30, 1)
    captured = wallet.capture(30)
    assert (captured.entry.type, captured.entry.cause_id, captured.entry.signed_minor) == ("PAYMENT", "order", -30)
    assert wallet.figures == (70, 0, 2)


def test_what_a_capture_does_not_need_is_free_again():
    wallet = Wallet(100)
    wallet.place(30)
    assert wallet.capture(20).hold.captured_minor == 20
    assert wallet.figures == (80, 0, 2)


def test_a_hold_takes_at_most_what_is_available_and_its_refusal_stays():
    wallet = Wallet(100)
    wallet.place(80, hold="first")
    assert wallet.place(21) == Refused("insufficient_credit")
    wallet.give(100)
    assert wallet.place(21) == Refused("insufficient_credit")
    assert wallet.place(20, hold="other").hold.status == "placed"


def test_a_hold_in_another_currency_is_refused():
    assert Wallet(100).place(1, currency="USD") == Refused("currency_mismatch")


def test_a_hold_asked_twice_is_placed_once():
    wallet = Wallet(100)
    assert wallet.place(30) == wallet.place(30)
    assert wallet.figures == (100, 30, 1)


def test_a_capture_asked_twice_pays_once():
    wallet = Wallet(100)
    wallet.place(30)
    first = wallet.capture(30)
    assert wallet.capture(30) == Captured(first.hold)
    assert wallet.figures == (70, 0, 2)


def test_a_release_gives_back_once():
    wallet = Wallet(100)
    wallet.place(30)
    wallet.place(50, hold="other")
    assert [wallet.release().reason, wallet.release().reason] == ["released", "released"]
    assert wallet.figures == (100, 50, 1)


def test_a_released_hold_is_neither_captured_nor_placed_again():
    wallet = Wallet(100)
    wallet.place(30)
    wallet.release()
    assert wallet.capture(30) == Refused("hold_ended")
    assert wallet.place(30) == Refused("hold_ended")
    assert wallet.figures == (100, 0, 1)


def test_a_captured_hold_cannot_be_released():
    wallet = Wallet(100)
    wallet.place(30)
    first = wallet.capture(30)
    assert wallet.release() == Captured(first.hold)
    assert wallet.figures == (70, 0, 2)


def test_an_unknown_hold_ends_before_it_is_asked_for():
    wallet = Wallet(100)
    assert wallet.release() == Released(wallet.book.holds["hold"], "unknown_hold")
    assert wallet.capture(1) == Refused("unknown_hold")
    assert wallet.place(1) == Refused("hold_ended")
    assert wallet.release().reason == "unknown_hold"
    assert wallet.figures == (100, 0, 1)


def test_a_capture_of_an_unknown_hold_ends_it():
    wallet = Wallet(100)
    assert [wallet.capture(1), wallet.capture(1)] == [Refused("unknown_hold")] * 2
    assert wallet.place(1) == Refused("hold_ended")


def test_a_capture_fits_its_hold():
    wallet = Wallet(100)
    wallet.place(30)
    assert wallet.capture(31) == Refused("amount_exceeds_hold")
    assert wallet.capture(30, order="another") == Refused("order_mismatch")
    assert isinstance(wallet.capture(30), Captured)


def test_an_order_is_paid_once_whatever_holds_it_has():
    wallet = Wallet(100)
    wallet.place(30)
    wallet.place(30, hold="second")
    wallet.capture(30)
    assert [wallet.capture(30, hold="second") for _ in range(2)] == [Refused("order_paid")] * 2
    assert wallet.figures == (70, 0, 2)


def dated():
    """A customer with 10 until day 5, 10 until day 20, and 10 for ever."""
    wallet = Wallet(10)
    wallet.give(10, 20)
    wallet.give(10, 5)
    return wallet


def test_a_hold_remembers_its_grants_and_gives_back_to_them():
    wallet = dated()
    assert wallet.place(15).hold.parts == ((3, 10), (2, 5))
    assert wallet.take(8).parts == ((2, 5), (1, 3))
    wallet.release()
    assert wallet.left == [(3, 10), (2, 5), (1, 7)]
    assert [grant.expires_at for grant in wallet.account.grants] == [day(5), day(20), None]


def test_a_capture_takes_what_is_over_soonest_and_frees_the_rest_of_the_same_grants():
    wallet = dated()
    wallet.place(25)
    assert wallet.capture(12).entry.parts == ((3, 10), (2, 2))
    assert wallet.left == [(2, 8), (1, 10)]
    assert wallet.account.held_minor == 0


def test_a_hold_keeps_a_grant_whose_date_passes_until_it_pays():
    wallet = dated()
    wallet.place(10)
    wallet.wait_until(6)
    assert wallet.left[0] == (3, 10)
    assert wallet.capture(10).entry.parts == ((3, 10),)
    assert "EXPIRED" not in [kind for kind, *_ in wallet.lines]


@pytest.mark.parametrize(("captured", "expired"), [(0, 10), (4, 6)])
def test_what_is_freed_after_its_date_expires_at_once(captured, expired):
    wallet = dated()
    wallet.place(15)
    wallet.wait_until(6)
    if captured:
        wallet.capture(captured)
    else:
        wallet.release()
    assert wallet.lines[-1] == ("EXPIRED", "grant", -expired)
    assert wallet.left == [(2, 10), (1, 10)]


def test_what_is_freed_before_its_date_expires_on_it():
    wallet = dated()
    wallet.take(10)
    wallet.place(20)
    wallet.wait_until(6)
    assert wallet.account.due_at is None
    wallet.release()
    wallet.wait_until(20)
    assert wallet.lines[-1] == ("EXPIRED", "grant", -10)


def test_what_is_freed_pays_debt_first():
    wallet = Wallet()
    given = wallet.give(10)
    wallet.place(10)
    wallet.reverse(given)
    assert (wallet.debt, wallet.account.available_minor) == (10, 0)
    wallet.capture(4)
    assert wallet.lines[-1] == ("DEBIT", "debt", -6)
    assert (wallet.debt, wallet.account.balance_minor) == (4, 0)


def test_freed_credit_is_no_gift_that_a_cap_could_refuse():
    wallet = Wallet(50)
    wallet.place(50)
    wallet.cap(10)
    wallet.release()
    assert wallet.account.available_minor == 50


def test_a_forgotten_hold_ends_after_a_week_and_not_before():
    wallet = Wallet(100)
    wallet.place(30)
    wallet.book.at += KEPT - KEPT / 10**6
    assert wallet.lapse() == Done()
    wallet.book.at = day(7)
    assert wallet.lapse().reason == "expired"
    assert wallet.lapse() == Done()
    assert (wallet.release().reason, wallet.place(30)) == ("expired", Refused("hold_ended"))
    assert wallet.figures == (100, 0, 1)


def lapsed(balance):
    wallet = Wallet(balance)
    wallet.place(30)
    wallet.book.at = day(7)
    wallet.lapse()
    return wallet


def test_a_hold_that_lapsed_pays_with_what_is_available():
    wallet = lapsed(100)
    wallet.give(50, 9)
    first = wallet.capture(30)
    assert first.entry.parts == ((2, 30),)
    assert wallet.capture(30) == Captured(first.hold)
    assert wallet.release() == Captured(first.hold)


def test_a_hold_that_lapsed_may_pay_a_part():
    assert lapsed(30).capture(10).hold.captured_minor == 10


def test_a_hold_that_lapsed_and_cannot_pay_is_over_for_good():
    wallet = lapsed(30)
    wallet.take(1)
    assert wallet.capture(30) == Refused("insufficient_credit")
    wallet.give(100)
    assert wallet.capture(30) == Refused("insufficient_credit")
    assert wallet.capture(1) == Refused("insufficient_credit")
    assert wallet.account.balance_minor == 129


def test_a_hold_that_lapsed_pays_no_order_that_is_paid():
    wallet = lapsed(100)
    wallet.place(30, hold="second")
    wallet.capture(30, hold="second")
    assert [wallet.capture(30), wallet.capture(30)] == [Refused("order_paid")] * 2
    assert wallet.account.balance_minor == 70


def test_a_capture_never_takes_more_than_its_hold_also_when_it_lapsed():
    assert lapsed(100).capture(31) == Refused("amount_exceeds_hold")
