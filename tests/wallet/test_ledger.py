"""The rules of the ledger, without a database: what is given and taken, caps, dates, debt and merges."""

import pytest
from books import Wallet, day
from hypothesis import given
from hypothesis import strategies as st

from contracts.wallet import EntryType, OverCap
from wallet.book import LIMIT
from wallet.entries import GIFT_CODE, PROMOTION, Cause
from wallet.ledger import fits
from wallet.postings import Done, Expiry, Posted, Refused


def test_a_claim_is_credited_from_commissions():
    wallet = Wallet(100)
    entry = wallet.credit(2500).entry
    assert (entry.sequence, entry.balance_after_minor, entry.signed_minor) == (2, 2600, 2500)
    assert (entry.debit_account, entry.credit_account) == ("commissions", "customer")


def test_a_claim_that_comes_again_gets_its_entry_again():
    wallet = Wallet()
    first = wallet.credit(2500)
    assert wallet.credit(2500) == first._replace(again=True)
    assert wallet.figures == (2500, 0, 1)


def test_a_refused_claim_stays_refused_when_it_would_fit_by_now():
    wallet = Wallet(LIMIT - 1)
    assert wallet.credit(1) == Refused("balance_limit")
    wallet.take(10)
    assert wallet.credit(1) == Refused("balance_limit")
    assert [refusal.cause_id for refusal in wallet.book.refusals] == ["claim"]


@pytest.mark.parametrize(
    ("amount", "currency", "reason"),
    [(10, "USD", "currency_mismatch"), (0, "EUR", "amount_invalid"), (-10, "EUR", "amount_invalid")],
)
def test_what_is_no_credit_of_this_store_is_refused(amount, currency, reason):
    wallet = Wallet(100)
    assert wallet.credit(amount, currency=currency) == Refused(reason)
    assert wallet.figures == (100, 0, 1)


def test_a_deduction_takes_at_most_what_is_available():
    wallet = Wallet(100)
    wallet.place(60)
    assert wallet.post(-41) == Refused("insufficient_credit")
    assert wallet.take(40).balance_after_minor == 60


def test_the_second_of_two_spenders_sees_what_the_first_left():
    wallet = Wallet(100)
    assert isinstance(wallet.post(-70), Posted)
    assert wallet.post(-70) == Refused("insufficient_credit")


def test_an_adjustment_is_its_own_cause():
    entry = Wallet().give(5)
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
    entry = Wallet().give(5, kind=kind)
    assert (entry.debit_account, entry.credit_account) == (debit, credit)


@pytest.mark.parametrize("kind", EntryType)
def test_only_an_adjustment_may_have_either_sign(kind):
    assert not fits(kind, 0)
    assert (fits(kind, 1) and fits(kind, -1)) == (kind == EntryType.ADJUSTMENT)
    assert fits(kind, 1) or fits(kind, -1)


@pytest.mark.parametrize(
    ("terms", "asked", "expires_at"),
    [
        ({}, Expiry.DEFAULT, None),
        ({"default_expiry_days": 30}, Expiry.DEFAULT, day(30)),
        ({"default_expiry_days": 30}, Expiry.NEVER, None),
        ({"default_expiry_days": 30}, day(400), day(400)),
        ({}, day(400), day(400)),
    ],
)
def test_credit_expires_when_it_says_or_when_the_store_says(terms, asked, expires_at):
    wallet = Wallet(**terms)
    assert wallet.give(10, asked).expires_at == expires_at
    assert wallet.credit(10, expires=asked).entry.expires_at == expires_at
    assert [grant.expires_at for grant in wallet.account.grants] == [expires_at] * 2


@pytest.mark.parametrize("days", [-1, 0])
def test_credit_that_would_be_over_at_once_is_refused(days):
    wallet = Wallet()
    assert wallet.post(10, expires=days) == Refused("expires_at_past")
    assert wallet.figures == (0, 0, 0)


def test_a_cap_counts_what_is_held():
    wallet = Wallet(60, balance_cap_minor=100)
    wallet.place(60)
    assert wallet.post(41) == Refused("balance_cap")
    assert isinstance(wallet.post(40), Posted)


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        (EntryType.CREDIT, None),
        (EntryType.ADJUSTMENT, None),
        (EntryType.ADJUSTMENT, Cause(GIFT_CODE, "gift")),
        (EntryType.CREDIT, Cause("claim", "claim")),
    ],
)
def test_what_is_no_promotion_is_refused_whole_above_the_cap(kind, cause):
    wallet = Wallet(90, balance_cap_minor=100)
    assert wallet.post(11, kind, cause=cause) == Refused("balance_cap")
    assert wallet.figures == (90, 0, 1)


def test_a_gift_code_refused_above_the_cap_may_be_redeemed_later():
    wallet, cause = Wallet(90, balance_cap_minor=100), Cause(GIFT_CODE, "gift")
    assert wallet.post(20, cause=cause) == Refused("balance_cap")
    wallet.take(50)
    assert wallet.post(20, cause=cause).entry.balance_after_minor == 60


@pytest.mark.parametrize(
    ("balance", "over_cap", "given"),
    [(90, OverCap.CLIP, 10), (100, OverCap.CLIP, None), (90, OverCap.REFUSE, None), (0, OverCap.REFUSE, 20)],
)
def test_a_promotion_is_clipped_or_refused_by_the_cap(balance, over_cap, given):
    wallet = Wallet(balance, balance_cap_minor=100, promo_over_cap=over_cap)
    outcome = wallet.post(20, EntryType.PROMO)
    assert outcome == Refused("balance_cap") if given is None else outcome.entry.amount_minor == given
    assert wallet.account.balance_minor == balance + (given or 0)


def test_one_promotion_gives_to_many_customers_of_a_batch():
    wallet, cause = Wallet(), Cause(PROMOTION, "spring")
    first = wallet.post(5, EntryType.PROMO, cause=cause)
    second = wallet.of("other").post(5, EntryType.PROMO, cause=cause)
    assert (first.entry.customer_id, second.entry.customer_id, second.again) == ("cus", "other", False)


def test_a_refund_is_posted_whatever_the_cap():
    wallet = Wallet(90, balance_cap_minor=100)
    assert wallet.post(50, EntryType.REFUND).balance_minor == 140
    assert wallet.post(1) == Refused("balance_cap")


def test_a_store_may_give_no_refunds_as_credit():
    assert Wallet(refunds_as_credit=False).post(1, EntryType.REFUND) == Refused("refunds_as_credit_off")


def in_debt(debt, **terms):
    """A customer who owes this much."""
    wallet = Wallet(**terms)
    given = wallet.give(debt)
    wallet.take(debt)
    wallet.reverse(given)
    assert (wallet.debt, wallet.account.available_minor) == (debt, 0)
    return wallet


def test_the_next_credit_pays_debt_first():
    wallet = in_debt(6)
    posted = wallet.credit(10)
    assert wallet.lines[-2:] == [("CREDIT", "claim", 10), ("DEBIT", "debt", -6)]
    assert (posted.entry.balance_after_minor, posted.balance_minor, wallet.debt) == (10, 4, 0)
    assert wallet.credit(10) == posted._replace(again=True)


def test_credit_smaller_than_the_debt_pays_a_part_of_it():
    wallet = in_debt(6)
    assert wallet.credit(4).balance_minor == 0
    assert (wallet.debt, wallet.account.balance_minor) == (2, 0)


def test_credit_with_a_date_pays_debt_too_and_what_is_left_keeps_its_date():
    wallet = in_debt(6)
    wallet.give(10, 5)
    assert [(grant.left_minor, grant.expires_at) for grant in wallet.account.grants if grant.left_minor] == [
        (4, day(5))
    ]


def test_the_cap_counts_what_is_left_when_debt_is_paid():
    wallet = in_debt(6, balance_cap_minor=100)
    assert wallet.credit(107, claim="too much") == Refused("balance_cap")
    assert wallet.credit(106).balance_minor == 100


def test_a_promotion_is_clipped_to_the_cap_and_the_debt():
    wallet = in_debt(6, balance_cap_minor=10)
    posted = wallet.post(100, EntryType.PROMO)
    assert (posted.entry.amount_minor, posted.balance_minor, wallet.debt) == (16, 10, 0)


def test_a_transfer_keeps_dates_and_moves_debt():
    wallet, other = Wallet(5), in_debt(7)
    wallet.give(10, 9)
    wallet.give(20, 3)
    assert wallet.merge("other") == Done()
    moved = wallet.of("other")
    assert [(grant.left_minor, grant.expires_at) for grant in moved.account.grants] == [
        (20, day(3)),
        (10, day(9)),
        (5, None),
    ]
    assert (wallet.account.balance_minor, moved.account.balance_minor) == (0, 35)
    rich = other.of("other")
    rich.give(10)
    other.merge("other")
    assert (other.debt, rich.debt, rich.account.balance_minor) == (0, 0, 3)
    assert rich.lines[-2:] == [("ADJUSTMENT", "merge", -7), ("DEBIT", "debt", -7)]


def test_a_transfer_pays_the_debt_of_the_one_it_goes_to_and_no_cap_stops_it():
    wallet = in_debt(7)
    richer = wallet.of("other")
    richer.give(10)
    wallet.cap(1)
    richer.merge("cus")
    assert (wallet.debt, wallet.account.balance_minor, richer.account.balance_minor) == (0, 3, 0)


def test_a_transfer_leaves_what_is_held_and_comes_twice_to_nothing():
    wallet = Wallet(30)
    wallet.place(10)
    wallet.merge("other")
    before = wallet.figures
    wallet.merge("other")
    assert wallet.figures == before == (10, 10, 2)
    assert wallet.of("other").account.balance_minor == 20


@pytest.mark.parametrize("end", [Wallet.release, lambda wallet: wallet.capture(4)])
def test_what_a_hold_of_a_merged_customer_frees_moves_on_at_once(end):
    wallet = Wallet()
    wallet.give(10, 9)
    wallet.place(10)
    wallet.book.merged = {"cus": "other"}
    end(wallet)
    moved = wallet.of("other").account
    assert (wallet.account.balance_minor, wallet.account.held_minor) == (0, 0)
    assert [grant.expires_at for grant in moved.grants] == [day(9)]
    assert moved.balance_minor in {10, 6}


AMOUNTS = st.integers(min_value=1, max_value=60)
HOLDS = st.sampled_from(["h1", "h2", "h3"])
KEYED = st.one_of(
    st.builds(lambda amount, claim: lambda wallet: wallet.credit(amount, claim), AMOUNTS, HOLDS),
    st.builds(lambda amount, hold: lambda wallet: wallet.place(amount, hold, f"order {hold}"), AMOUNTS, HOLDS),
    st.builds(lambda amount, hold: lambda wallet: wallet.capture(amount, hold, f"order {hold}"), AMOUNTS, HOLDS),
    st.builds(lambda hold: lambda wallet: wallet.release(hold), HOLDS),
)
BY_HAND = st.builds(lambda amount: lambda wallet: wallet.post(amount), st.integers(min_value=-60, max_value=60))


@given(st.lists(KEYED | BY_HAND, max_size=40))
def test_no_cause_leads_to_two_entries(steps):
    wallet = Wallet()
    for step in steps:
        step(wallet)
    causes = [(entry.cause_kind, entry.cause_id) for entry in wallet.book.entries]
    assert len(set(causes)) == len(causes)


@given(st.lists(KEYED, max_size=20))
def test_the_same_requests_again_move_nothing(steps):
    wallet = Wallet(100)
    for step in steps:
        step(wallet)
    before = wallet.figures
    for step in steps:
        step(wallet)
    assert wallet.figures == before
