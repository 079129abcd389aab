"""How gift codes are written and read, and what attempts at them come to: the rules alone."""

from datetime import UTC, datetime, timedelta

import pytest

from wallet.gift_codes import BITS, MOST_FAILURES, Attempt, Flop, Gift, Status, digest_of, sort_out, write
from wallet.postings import Expiry, Post

AT = datetime(2026, 1, 1, tzinfo=UTC)
GOOD, NONE = b"good", b"none"


def gift(status="ACTIVE", redeem_until=None, days=None):
    return Gift("gift_1", "gifts_1", "WXYZ", status, None, None, None, 500, "EUR", redeem_until, days, "xmas", None)


def verdicts(*attempts, failures=None, its=None):
    found = sort_out([Attempt(*attempt) for attempt in attempts], {GOOD: its or gift()}, failures or {}, AT)
    return ["post" if isinstance(each, Post) else each for each in found]


def test_a_code_holds_a_hundred_bits_in_groups_of_five():
    assert write(0).code == "00000-00000-00000-00000"
    assert write(2**BITS - 1).code == "ZZZZZ-ZZZZZ-ZZZZZ-ZZZZZ"
    assert len({write(1 << bit).code for bit in range(BITS)}) == BITS
    assert BITS >= 100


def test_what_is_kept_of_a_code_is_not_the_code():
    written = write(12345678901234567890)
    assert len(written.digest) == 32
    assert written.last4 == written.code[-4:]


@pytest.mark.parametrize(
    "spell", [str, str.lower, lambda code: code.replace("-", ""), lambda code: f" {code.replace('-', ' - ')} "]
)
def test_a_code_is_read_however_it_is_written(spell):
    written = write(2**99 + 987654321)
    assert digest_of(spell(written.code)) == written.digest


def test_letters_that_look_like_digits_are_read_as_them():
    written = write(1)
    assert written.code == "10000-00000-00000-00000"
    for text in ("l0000-00000-00000-00000", "IOOOO-OOOOO-ooooo-00000"):
        assert digest_of(text) == written.digest


@pytest.mark.parametrize("text", ["", "-", "10000-00000-00000-0000", "1" * 21, "U" * 20, "é" * 20, "\u0660" * 20])  # fmt: skip
def test_what_is_no_code_is_nothing(text):
    assert digest_of(text) is None


def test_two_codes_are_kept_apart():
    assert write(1).digest != write(2).digest


@pytest.mark.parametrize(
    "its",
    [gift("VOID"), gift("REDEEMED"), gift(redeem_until=AT), gift("VOID", AT + timedelta(days=1))],
    ids=["void", "redeemed", "over", "void in time"],
)
def test_only_an_active_code_in_time_is_worth_something(its):
    assert verdicts(("a", GOOD), its=its) == [Flop.INVALID]


def test_a_code_is_good_until_its_moment():
    assert verdicts(("a", GOOD), its=gift(redeem_until=AT + timedelta(seconds=1))) == ["post"]


def test_a_code_that_was_redeemed_in_time_has_not_expired():
    assert gift("REDEEMED", AT).status_at(AT) is Status.REDEEMED
    assert gift("ACTIVE", AT).status_at(AT) is Status.EXPIRED


@pytest.mark.parametrize(("days", "expires_at"), [(None, Expiry.NEVER), (30, AT + timedelta(days=30))])
def test_the_credit_lasts_from_the_day_it_is_redeemed(days, expires_at):
    (post,) = sort_out([Attempt("a", GOOD)], {GOOD: gift(days=days)}, {}, AT)
    assert (post.amount_minor, post.cause, post.expires_at) == (500, ("gift_code", "gift_1"), expires_at)


def test_ten_failures_are_enough_even_for_a_right_code():
    assert verdicts(*[("a", NONE)] * 12, ("a", GOOD), ("b", GOOD)) == [Flop.INVALID] * 10 + [Flop.TOO_MANY] * 3 + [
        "post"
    ]


def test_failures_of_before_count_and_those_of_others_do_not():
    failures = {"a": MOST_FAILURES - 1, "b": MOST_FAILURES}
    assert verdicts(("a", NONE), ("a", GOOD), ("b", GOOD), failures=failures) == [
        Flop.INVALID,
        Flop.TOO_MANY,
        Flop.TOO_MANY,
    ]


def test_a_code_twice_is_for_the_ledger_to_decide_and_counts_as_a_failure():
    """The first may be refused by the cap; the second is the one who has it then."""
    assert verdicts(("a", GOOD), ("b", GOOD), ("c", GOOD)) == ["post"] * 3
    failures = {"b": MOST_FAILURES - 1}
    assert verdicts(("a", GOOD), ("b", GOOD), ("b", GOOD), failures=failures) == ["post", "post", Flop.TOO_MANY]


def test_what_is_no_code_at_all_counts_too():
    assert verdicts(*[("a", None)] * 11)[-1] is Flop.TOO_MANY
