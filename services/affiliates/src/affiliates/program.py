"""A store's program: what its affiliates earn, and since when (features A2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Terms:
    """The program from ``since`` until other terms follow. A commission waits ``waiting_days`` before it is payable."""

    since: datetime
    enabled: bool
    rate_bps: int
    waiting_days: int

    @property
    def waits(self) -> timedelta:
        """How long a commission waits after its order was completed."""
        return timedelta(days=self.waiting_days)


DEFAULT = Terms(datetime.min.replace(tzinfo=UTC), enabled=True, rate_bps=1000, waiting_days=0)


def at(history: Sequence[Terms], moment: datetime) -> Terms:
    """The terms in force at a moment; ``history`` in any order."""
    return max((terms for terms in history if terms.since <= moment), key=lambda terms: terms.since, default=DEFAULT)


def bps(percent: Decimal) -> int:
    """A percentage of at most two decimals in basis points: 12.5 → 1250."""
    return int(percent * 100)


def percent(bps: int) -> int | float:
    """Basis points as a percentage: 1250 → 12.5, 1000 → 10."""
    whole, rest = divmod(bps, 100)
    return bps / 100 if rest else whole
