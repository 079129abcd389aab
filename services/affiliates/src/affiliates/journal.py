"""The one journal of an affiliate's money: every movement goes from one bucket to another.

What is pending, requested, converted and paid is what came in less what went out. ``settled`` may fall below zero,
when a commission is reversed after its money was taken: what is above zero is available, what is below is debt, so
whatever comes in next pays the debt first.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Bucket(StrEnum):
    """Where an affiliate's money can be; ``PROGRAM`` is the merchant's side."""

    PROGRAM = "program"
    PENDING = "pending"
    SETTLED = "settled"
    REQUESTED = "requested"
    CONVERTED = "converted"
    PAID = "paid"


class Kind(StrEnum):
    """Why money moved."""

    EARNED = "earned"
    REVERSED = "reversed"
    MATURED = "matured"
    HELD = "held"
    RESERVED = "reserved"
    CONVERTED = "converted"
    PAID = "paid"
    RETURNED = "returned"
    MERGED = "merged"


@dataclass(frozen=True, slots=True)
class Posting:
    """One movement. Its cause is a commission (at one ``turn`` of it), a claim, or another affiliate who became one.

    ``order_version`` is the version of the order that changed the commission, where one did.
    """

    store_id: str
    affiliate_id: str
    kind: Kind
    source: Bucket
    target: Bucket
    amount_minor: int
    at: datetime
    commission_id: str | None = None
    turn: int | None = None
    order_version: int | None = None
    claim_id: str | None = None
    other_affiliate_id: str | None = None


@dataclass(frozen=True, slots=True)
class Balances:
    """The sums of an affiliate's journal, in minor units of the store's currency."""

    pending_minor: int
    settled_minor: int
    requested_minor: int
    converted_minor: int
    paid_minor: int

    @property
    def available_minor(self) -> int:
        """What the affiliate may take."""
        return max(self.settled_minor, 0)

    @property
    def debt_minor(self) -> int:
        """What was taken and then reversed, and not yet earned again."""
        return max(-self.settled_minor, 0)


NOTHING = Balances(0, 0, 0, 0, 0)
