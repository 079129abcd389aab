"""What a cart costs: one pure function over its lines, and what changed since the buyer looked. Minor units."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

LARGEST_QUANTITY = 999
MOST_LINES = 50
HIGHEST_PRICE_MINOR = 10**10
"""With the two limits above a total stays below the 10^15 of contracts.event.AmountMinor."""


@dataclass(frozen=True, slots=True)
class Line:
    """One product of a cart at the price of now; ``shown_minor`` was its price when it was put in."""

    product_id: str
    sku: str
    name: str
    quantity: int
    unit_minor: int
    shown_minor: int
    available: bool = True

    @property
    def amount_minor(self) -> int:
        """Quantity times unit price."""
        return self.quantity * self.unit_minor


def total_minor(lines: Sequence[Line]) -> int:
    """What the lines cost together."""
    return sum(line.amount_minor for line in lines)


class Change(StrEnum):
    """How a line differs from what the buyer saw."""

    UNAVAILABLE = "product_unavailable"
    PRICE = "price_changed"
    SAME = "line"


@dataclass(frozen=True, slots=True)
class Difference:
    """One line of the comparison a buyer is shown when the total is not the expected one."""

    position: int
    change: Change
    line: Line


def differences(lines: Sequence[Line], expected_minor: int) -> list[Difference]:
    """Every line with what happened to it; empty when all is for sale and the total is the expected one."""
    if total_minor(lines) == expected_minor and all(line.available for line in lines):
        return []
    return [Difference(position, _change(line), line) for position, line in enumerate(lines)]


def _change(line: Line) -> Change:
    if not line.available:
        return Change.UNAVAILABLE
    return Change.PRICE if line.unit_minor != line.shown_minor else Change.SAME
