"""The rules of the ledger, without a database."""

from datetime import UTC, datetime
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.wallet import EntryType
from wallet.book import Account, Book
from wallet.ledger import LIMIT, decide, fits
from wallet.postings import Capture, Captured, Cause, Place, Placed, Post, Posted, Refused, Release, Released

AT = datetime(2026, 1, 2, tzinfo=UTC)


class Wallet:
    """One customer's book, and what its decisions came to."""

    def __init__(self, balance: int = 0, held: int = 0) -> None:
        self.account = Account("cus", "EUR", balance, held)
        self.book = Book({"cus": self.account})
        self.ids = count(1)

    def decide(self, posting):
        return decide(self.book, posting, f"tx{next(self.ids)}", AT)

    def credit(self, amount, claim="claim", currency="EUR"):
        return self.decide(Post("cus", EntryType.CREDIT, amount, currency, Cause("claim", claim)))

    def adjust(self, amount, kind=EntryType.ADJUSTMENT):
        return self.decide(Post("cus", kind, amount, "EUR"))

    def place(self, amount, hold="hold", order="order", currency="EUR"):
        return self.decide(Place(hold, "cus", order, amount, currency))

    def capture(self, amount, hold="hold", order="order"):
        return self.decide(Capture(hold, "cus", order, amount))

    def release(self, hold="hold"):
        return self.decide(Release(hold, "cus"))

    @property
    def figures(self):
        return self.account.balance_minor, self.account.held_minor, self.account.sequence


def test_a_claim_is_credited_from_commissions():
    wallet = Wallet(100)
    entry = wallet.credit(2500).entry
    assert (entry.sequence, entry.balance_after_minor, entry.signed_minor) == (1, 2600, 2500)
    assert (entry.debit_account, entry.credit_account) == ("commissions", "customer")


def test_a_claim_that_comes_again_gets_its_entry_again():
    wallet = Wallet()
    first = wallet.credit(2500)
    assert wallet.credit(2500) == Posted(first.entry, again=True)
    assert wallet.figures == (2500, 0, 1)


def test_a_refused_claim_stays_refused_when_it_would_fit_by_now():
    wallet = Wallet(LIMIT - 1)
    assert wallet.credit(1) == Refused("balance_limit")
    wallet.adjust(-10)
    assert wallet.credit(1) == Refused("balance_limit")
    assert [refusal.cause_id for refusal in wallet.book.refusals] == ["claim"]


@pytest.mark.parametrize(
    ("amount", "currency", "reason"),
    [(10, "USD", "currency_mismatch"), (0, "EUR", "amount_invalid"), (-10, "EUR", "amount_invalid")],
)
def test_what_is_no_credit_of_this_store_is_refused(amount, currency, reason):
    wallet = Wallet(100)
    assert wallet.credit(amount, currency=currency) == Refused(reason)
    assert wallet.figures == (100, 0, 0)


def test_a_deduction_takes_at_most_what_is_available():
    wallet = Wallet(100, held=60)
    assert wallet.adjust(-41) == Refused("insufficient_credit")
    assert wallet.adjust(-40).entry.balance_after_minor == 60


def test_the_second_of_two_spenders_sees_what_the_first_left():
    wallet = Wallet(100)
    assert isinstance(wallet.adjust(-70), Posted)
    assert wallet.adjust(-70) == Refused("insufficient_credit")


def test_an_adjustment_is_its_own_cause():
    entry = Wallet().adjust(5).entry
    assert (entry.cause_kind, entry.cause_id) == ("adjustment", entry.entry_id)


@pytest.mark.parametrize(
    ("kind", "debit", "credit"),
    [
        (EntryType.CREDIT, "adjustments", "customer"),
        (EntryType.ADJUSTMENT, "adjustments", "customer"),
        (EntryType.PROMO, "promotions", "customer"),
        (EntryType.REFUND, "refunds", "customer"),
    ],
)
def test_every_gift_names_the_account_it_came_from(kind, debit, credit):
    entry = Wallet().adjust(5, kind).entry
    assert (entry.debit_account, entry.credit_account) == (debit, credit)


@pytest.mark.parametrize("kind", EntryType)
def test_only_an_adjustment_may_have_either_sign(kind):
    assert not fits(kind, 0)
    assert (fits(kind, 1) and fits(kind, -1)) == (kind == EntryType.ADJUSTMENT)
    assert fits(kind, 1) or fits(kind, -1)


def test_a_hold_sets_aside_and_a_capture_takes_it():
    wallet = Wallet(100)
    assert isinstance(wallet.place(30), Placed)
    assert wallet.figures == (100, 30, 0)
    captured = wallet.capture(30)
    assert (captured.entry.type, captured.entry.cause_id, captured.entry.signed_minor) == ("PAYMENT", "order", -30)
    assert wallet.figures == (70, 0, 1)


def test_what_a_capture_does_not_need_is_free_again():
    wallet = Wallet(100)
    wallet.place(30)
    assert wallet.capture(20).hold.captured_minor == 20
    assert wallet.figures == (80, 0, 1)


def test_a_hold_takes_at_most_what_is_available_and_its_refusal_stays():
    wallet = Wallet(100, held=80)
    assert wallet.place(21) == Refused("insufficient_credit")
    wallet.adjust(100)
    assert wallet.place(21) == Refused("insufficient_credit")
    assert wallet.place(20, hold="other").hold.status == "placed"


def test_a_hold_in_another_currency_is_refused():
    assert Wallet(100).place(1, currency="USD") == Refused("currency_mismatch")


def test_a_hold_asked_twice_is_placed_once():
    wallet = Wallet(100)
    assert wallet.place(30) == wallet.place(30)
    assert wallet.figures == (100, 30, 0)


def test_a_capture_asked_twice_pays_once():
    wallet = Wallet(100)
    wallet.place(30)
    first = wallet.capture(30)
    assert wallet.capture(30) == Captured(first.hold)
    assert wallet.figures == (70, 0, 1)


def test_a_release_gives_back_once():
    wallet = Wallet(100)
    wallet.place(30)
    wallet.place(50, hold="other")
    assert [wallet.release().reason, wallet.release().reason] == ["released", "released"]
    assert wallet.figures == (100, 50, 0)


def test_a_released_hold_is_neither_captured_nor_placed_again():
    wallet = Wallet(100)
    wallet.place(30)
    wallet.release()
    assert wallet.capture(30) == Refused("hold_ended")
    assert wallet.place(30) == Refused("hold_ended")
    assert wallet.figures == (100, 0, 0)


def test_a_captured_hold_cannot_be_released():
    wallet = Wallet(100)
    wallet.place(30)
    first = wallet.capture(30)
    assert wallet.release() == Captured(first.hold)
    assert wallet.figures == (70, 0, 1)


def test_an_unknown_hold_ends_before_it_is_asked_for():
    wallet = Wallet(100)
    assert wallet.release() == Released(wallet.book.holds["hold"], "unknown_hold")
    assert wallet.capture(1) == Refused("unknown_hold")
    assert wallet.place(1) == Refused("hold_ended")
    assert wallet.release().reason == "unknown_hold"
    assert wallet.figures == (100, 0, 0)


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
    assert [wallet.capture(30, hold="second")] * 2 == [Refused("order_paid"), wallet.capture(30, hold="second")]
    assert wallet.figures == (70, 0, 1)


AMOUNTS = st.integers(min_value=1, max_value=60)
HOLDS = st.sampled_from(["h1", "h2", "h3"])
POSTINGS = st.one_of(
    st.builds(lambda a: Post("cus", EntryType.ADJUSTMENT, a, "EUR"), st.integers(min_value=-60, max_value=60)),
    st.builds(lambda a, c: Post("cus", EntryType.CREDIT, a, "EUR", Cause("claim", c)), AMOUNTS, HOLDS),
    st.builds(lambda a, h: Place(h, "cus", f"order {h}", a, "EUR"), AMOUNTS, HOLDS),
    st.builds(lambda a, h: Capture(h, "cus", f"order {h}", a), AMOUNTS, HOLDS),
    st.builds(lambda h: Release(h, "cus"), HOLDS),
)


@given(st.lists(POSTINGS, max_size=40))
def test_whatever_comes_in_whatever_order_the_books_balance(postings):
    wallet = Wallet()
    for posting in postings:
        wallet.decide(posting)
        assert 0 <= wallet.account.held_minor <= wallet.account.balance_minor
    entries, holds = wallet.book.entries, wallet.book.holds.values()
    assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1))
    assert sum(entry.signed_minor for entry in entries) == wallet.account.balance_minor
    assert sum(hold.amount_minor for hold in holds if hold.status == "placed") == wallet.account.held_minor
    causes = [(entry.cause_kind, entry.cause_id) for entry in entries]
    assert len(set(causes)) == len(causes)


@given(st.lists(POSTINGS, max_size=20))
def test_the_same_requests_again_move_nothing(postings):
    keyed = [posting for posting in postings if not (isinstance(posting, Post) and posting.cause is None)]
    wallet = Wallet(100)
    for posting in keyed:
        wallet.decide(posting)
    before = wallet.figures
    for posting in keyed:
        wallet.decide(posting)
    assert wallet.figures == before
