"""The small rules: terms by date, codes, addresses."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from affiliates import links, program
from affiliates.program import DEFAULT, Terms

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def test_an_order_earns_by_the_terms_of_its_day():
    old, new = (Terms(NOON + timedelta(days=day), rate_bps=100 * day) for day in (1, 3))
    moments = [NOON, old.since, NOON + timedelta(days=2), new.since]
    assert [program.at([new, old], moment) for moment in moments] == [DEFAULT, old, old, new]


@pytest.mark.parametrize(("percent", "bps"), [(10, 1000), (12.5, 1250), (0.01, 1), (100, 10_000), (0.29, 29)])
def test_percentages_are_basis_points(percent, bps):
    assert program.bps(Decimal(str(percent))) == bps
    assert program.percent(bps) == percent


@pytest.mark.parametrize(
    ("typed", "kept"), [(" Creator123 ", "creator123"), ("a-b", "a-b"), ("ab", None), ("é12", None)]
)
def test_codes_are_kept_in_small_letters(typed, kept):
    assert links.canonical(typed) == kept


def test_a_made_up_code_is_a_code():
    codes = {links.new_code() for _ in range(100)}
    assert {links.canonical(code) for code in codes} == codes
    assert len(codes) == 100


@pytest.mark.parametrize(
    ("store_url", "link"),
    [
        ("https://shop.example", "https://shop.example/?ref=c"),
        ("https://shop.example/", "https://shop.example/?ref=c"),
        ("https://shop.example/de", "https://shop.example/de?ref=c"),
        ("https://shop.example/?lang=de", "https://shop.example/?lang=de&ref=c"),
    ],
)
def test_a_link_is_the_stores_address_with_the_code(store_url, link):
    """As ``tests/gateway/test_landing.py`` has it: both lead to the same page."""
    assert links.url(store_url, "c") == link
