"""A cursor belongs to one list: of one store, by the path that the caller wrote, under the same filters."""

import pytest

from chassis import pagination
from chassis.pagination import page_of, read_cursor
from chassis.problems import InvalidCursor

HERE = ("store_a", "/parcels")


@pytest.fixture
def cursor():
    """What a first page leads on with."""
    pagination.asked.set(HERE)
    return page_of([1, 2], 1, str, lambda row: [row], ["open"]).next_cursor


def test_a_list_goes_on_where_its_page_ended(cursor):
    assert read_cursor(cursor, ["open"]) == [1]
    assert read_cursor(None) is None


@pytest.mark.parametrize(
    ("asked", "filters"),
    [(("store_b", "/parcels"), ["open"]), (("store_a", "/letters"), ["open"]), (HERE, ["lost"]), (HERE, None)],
)
def test_a_cursor_opens_no_other_list(cursor, asked, filters):
    pagination.asked.set(asked)
    with pytest.raises(InvalidCursor):
        read_cursor(cursor, filters)
