"""What a cart costs, and what the buyer is shown when that is not what they expected."""

from hypothesis import given
from hypothesis import strategies as st

from carts.totals import HIGHEST_PRICE_MINOR, LARGEST_QUANTITY, MOST_LINES, Change, Line, differences, total_minor


def line(quantity=1, unit=850, shown=None, *, available=True):
    return Line("prod", "mug", "Mug", quantity, unit, unit if shown is None else shown, available)


lines = st.lists(
    st.builds(
        line,
        st.integers(1, LARGEST_QUANTITY),
        st.integers(0, HIGHEST_PRICE_MINOR),
        st.integers(0, HIGHEST_PRICE_MINOR),
        available=st.booleans(),
    ),
    max_size=MOST_LINES,
)


@given(lines)
def test_the_largest_cart_stays_within_what_an_event_may_carry(cart):
    assert 0 <= total_minor(cart) < 10**15


@given(lines, st.integers(0, 10**15))
def test_a_cart_is_as_expected_or_every_line_is_itemised(cart, expected):
    found = differences(cart, expected)
    as_expected = total_minor(cart) == expected and all(one.available for one in cart)
    assert [difference.line for difference in found] == ([] if as_expected else cart)


def test_each_line_says_what_happened_to_it():
    cart = [line(), line(unit=900, shown=850), line(available=False)]
    assert [difference.change for difference in differences(cart, 1)] == [
        Change.SAME,
        Change.PRICE,
        Change.UNAVAILABLE,
    ]


def test_the_right_total_does_not_hide_what_is_no_longer_for_sale():
    assert differences([line(available=False)], 850) != []
