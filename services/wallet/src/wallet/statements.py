"""What a period has done to credit and debt. Pure; amounts in minor units."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Moved(NamedTuple):
    """What the entries of a type come to. An entry on debt is none of credit; one that pays debt takes credit for it."""

    type: str
    entries: int
    credited_minor: int
    deducted_minor: int
    incurred_minor: int
    repaid_minor: int


@dataclass(frozen=True, slots=True)
class Statement:
    """Where credit and debt stood before a period, and what moved them in it, by type."""

    opening_minor: int
    opening_debt_minor: int
    by_type: tuple[Moved, ...]

    @property
    def credited_minor(self) -> int:
        """What was added to credit."""
        return sum(moved.credited_minor for moved in self.by_type)

    @property
    def deducted_minor(self) -> int:
        """What was taken from credit."""
        return sum(moved.deducted_minor for moved in self.by_type)

    @property
    def incurred_minor(self) -> int:
        """What came to be owed."""
        return sum(moved.incurred_minor for moved in self.by_type)

    @property
    def repaid_minor(self) -> int:
        """What is no longer owed."""
        return sum(moved.repaid_minor for moved in self.by_type)

    @property
    def closing_minor(self) -> int:
        """Where credit stood at the end."""
        return self.opening_minor + self.credited_minor - self.deducted_minor

    @property
    def closing_debt_minor(self) -> int:
        """Where debt stood at the end."""
        return self.opening_debt_minor + self.incurred_minor - self.repaid_minor


def backwards(balance_minor: int, debt_minor: int, within: Sequence[Moved], later: Sequence[Moved]) -> Statement:
    """The statement of a period, from where credit and debt stand now, what was posted in it, and what was ``later``."""
    after = Statement(0, 0, (*within, *later))
    return Statement(balance_minor - after.closing_minor, debt_minor - after.closing_debt_minor, tuple(within))
