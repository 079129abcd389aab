"""What a period has done to an affiliate's money. Pure; amounts in minor units."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from affiliates.journal import Balances, Bucket, Kind

_BUCKETS = [bucket for bucket in Bucket if bucket is not Bucket.PROGRAM]


@dataclass(frozen=True, slots=True)
class Move:
    """What the movements of a kind from one bucket to another come to."""

    kind: Kind
    source: Bucket
    target: Bucket
    count: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Statement:
    """Where money was before a period, and what moved it in it."""

    opening: Balances
    moves: tuple[Move, ...]

    @property
    def closing(self) -> Balances:
        """Where money was at the end."""
        return _moved(self.opening, self.moves, 1)

    def total(self, kind: Kind) -> int:
        """What the movements of a kind come to."""
        return sum(move.amount_minor for move in self.moves if move.kind is kind)

    @property
    def merged_minor(self) -> int:
        """What came with other affiliates who became this one, less what went."""
        merged = [move for move in self.moves if move.kind is Kind.MERGED]
        return sum(move.amount_minor if move.source is Bucket.PROGRAM else -move.amount_minor for move in merged)


def backwards(now: Balances, within: Sequence[Move], later: Sequence[Move]) -> Statement:
    """The statement of a period, from where money is now, what was moved in the period, and what was ``later``."""
    return Statement(_moved(now, [*within, *later], -1), tuple(within))


def _moved(balances: Balances, moves: Iterable[Move], sign: int) -> Balances:
    sums = {bucket: getattr(balances, f"{bucket}_minor") for bucket in _BUCKETS} | {Bucket.PROGRAM: 0}
    for move in moves:
        sums[move.source] -= sign * move.amount_minor
        sums[move.target] += sign * move.amount_minor
    return Balances(*(sums[bucket] for bucket in _BUCKETS))
