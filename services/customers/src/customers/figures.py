"""What a customer is worth: of every order its highest version counts, of every wallet its latest entry."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from contracts.carts import OrderCancelled, OrderCompleted, OrderPlaced
from contracts.wallet import WalletPosted

OrderEvent = OrderPlaced | OrderCompleted | OrderCancelled


class Who(NamedTuple):
    """A customer of a store. Customers are locked in the order of these."""

    store_id: str
    customer_id: str


class Takings(NamedTuple):
    """Completed orders in one currency through one payment gateway; ``None``: paid with store credit alone."""

    currency: str
    gateway: str | None
    orders: int
    gross_minor: int
    refunded_minor: int

    @property
    def net_minor(self) -> int:
        """What is left after refunds."""
        return self.gross_minor - self.refunded_minor


class LastOrder(NamedTuple):
    """The order a customer completed last."""

    id: str
    number: str
    completed_at: datetime


def newest(orders: Iterable[OrderEvent]) -> list[OrderEvent]:
    """The highest version of each order, sorted by customer and order."""
    kept: dict[tuple[str, str], OrderEvent] = {}
    for order in orders:
        known = kept.setdefault((order.store_id, order.order_id), order)
        if order.version > known.version:
            kept[order.store_id, order.order_id] = order
    return sorted(kept.values(), key=lambda order: (order.store_id, order.customer_id, order.order_id))


def latest(entries: Iterable[WalletPosted]) -> list[WalletPosted]:
    """The last entry of each wallet, sorted by customer: of the newest epoch (a UUIDv7) the highest sequence."""
    kept: dict[Who, WalletPosted] = {}
    for entry in entries:
        known = kept.setdefault(Who(entry.store_id, entry.customer_id), entry)
        if (entry.epoch, entry.sequence) > (known.epoch, known.sequence):
            kept[Who(entry.store_id, entry.customer_id)] = entry
    return [kept[who] for who in sorted(kept)]


def average(total_minor: int, count: int) -> int:
    """The average in minor units, halves rounded up; 0 of none."""
    return (2 * total_minor + count) // (2 * count) if count else 0
