"""Grants: what a credit has left, until when, and in which order it is spent. Pure; amounts in minor units."""

from bisect import insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from wallet.entries import Part

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(slots=True)
class Grant:
    """A credit. ``held_minor`` of ``left_minor`` is set aside; it expires with ``expires_at``, ``None``: never.

    ``expired_minor`` of it did.
    """

    sequence: int
    entry_id: str
    type: str
    amount_minor: int
    left_minor: int
    held_minor: int
    expires_at: datetime | None
    granted_at: datetime
    expired_minor: int = 0
    is_new: bool = False

    @property
    def free_minor(self) -> int:
        """What can be spent of it."""
        return self.left_minor - self.held_minor

    def is_over(self, at: datetime) -> bool:
        """Whether its date has come: what is not held of it is gone."""
        return self.expires_at is not None and self.expires_at <= at


def spend_order(grant: Grant) -> tuple[datetime, int]:
    """Soonest expiry first, never last, then the oldest."""
    return grant.expires_at or _NEVER, grant.sequence


@dataclass(slots=True)
class Grants:
    """Those of a customer's grants that a batch needs, in the order in which they are spent."""

    _sorted: list[Grant] = field(default_factory=list)
    _by_sequence: dict[int, Grant] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Grant]:
        return iter(self._sorted)

    def __getitem__(self, sequence: int) -> Grant:
        return self._by_sequence[sequence]

    def add(self, grant: Grant) -> None:
        """Take one in, unless it is there."""
        if grant.sequence not in self._by_sequence:
            self._by_sequence[grant.sequence] = grant
            insort(self._sorted, grant, key=spend_order)

    def choose(self, amount_minor: int, first: int | None = None) -> tuple[Part, ...]:
        """Which grants such an amount is taken from; the one named ``first`` before all others.

        Raises:
            ArithmeticError: they have not so much.
        """
        preferred = self._by_sequence.get(first) if first is not None else None
        order: Iterable[Grant] = self._sorted if preferred is None else (preferred, *self._sorted)
        chosen: dict[int, int] = {}
        for grant in order:
            if amount_minor == 0:
                break
            taken = min(grant.free_minor, amount_minor)
            if taken and grant.sequence not in chosen:
                chosen[grant.sequence] = taken
                amount_minor -= taken
        if amount_minor:
            raise ArithmeticError("the grants have less than the account says")
        return tuple(Part(*part) for part in chosen.items())


def first_of(parts: tuple[Part, ...], amount_minor: int) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """Parts cut in two: the first ones that make up an amount, and the rest."""
    taken: list[Part] = []
    rest: list[Part] = []
    for part in parts:
        now = min(part.amount_minor, amount_minor)
        amount_minor -= now
        if now:
            taken.append(Part(part.sequence, now))
        if part.amount_minor > now:
            rest.append(Part(part.sequence, part.amount_minor - now))
    return tuple(taken), tuple(rest)
