"""Money is exact: what is written is what is read (design §1 rule 6)."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.money import LIMIT, Amount, digits, major, parse_json
from chassis.problems import Invalid

CURRENCIES = st.sampled_from(["EUR", "JPY", "KWD"])
MINOR = st.integers(min_value=-LIMIT + 1, max_value=LIMIT - 1)


@given(MINOR, CURRENCIES)
def test_every_amount_is_written_as_the_decimal_it_is(minor, currency):
    written = json.dumps(major(minor, currency))
    assert Decimal(written) == Decimal(minor) / 10 ** digits(currency)
    assert "e" not in written
    assert not written.endswith(".0")


@given(MINOR, CURRENCIES)
def test_what_is_written_is_read_back(minor, currency):
    written = json.dumps({"amount": major(minor, currency)}).encode()
    amount = Amount._validate(parse_json(written)["amount"])
    assert amount.minor(currency) == minor


@pytest.mark.parametrize(("text", "currency"), [("1.005", "EUR"), ("0.1", "JPY"), ("1.2345", "KWD")])
def test_more_decimals_than_the_currency_has_are_refused(text, currency):
    with pytest.raises(Invalid) as refusal:
        Amount(text).minor(currency)
    assert refusal.value.errors[0]["code"] == "amount_precision"


def test_trailing_zeros_are_no_decimals():
    assert Amount("7.500").minor("EUR") == 750
