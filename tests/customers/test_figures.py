"""Which word counts: pure rules."""

import itertools
from dataclasses import dataclass
from uuid import UUID

import pytest

from customers import figures

OLD, NEW = UUID(int=1), UUID(int=2)


@dataclass(frozen=True)
class Order:
    order_id: str
    version: int
    store_id: str = "s"
    customer_id: str = "c"


@dataclass(frozen=True)
class Entry:
    epoch: UUID
    sequence: int
    store_id: str = "s"
    customer_id: str = "c"


def test_of_every_order_the_highest_version_counts_in_whatever_order_they_come():
    for orders in itertools.permutations([Order("a", 1), Order("a", 3), Order("a", 2), Order("b", 1)]):
        assert figures.newest(orders) == [Order("a", 3), Order("b", 1)]


def test_orders_of_two_stores_never_mix():
    orders = [Order("a", 1, store_id="s"), Order("a", 2, store_id="t")]
    assert figures.newest(orders) == orders


def test_a_new_epoch_counts_before_any_sequence_of_the_old():
    for entries in itertools.permutations([Entry(OLD, 9), Entry(OLD, 10), Entry(NEW, 1), Entry(NEW, 2)]):
        assert figures.latest(entries) == [Entry(NEW, 2)]


@pytest.mark.parametrize(("total", "count", "average"), [(0, 0, 0), (1000, 3, 333), (1001, 2, 501), (5, 1, 5)])
def test_an_average_is_rounded_to_minor_units(total, count, average):
    assert figures.average(total, count) == average
