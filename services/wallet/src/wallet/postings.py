"""What the ledger is asked for and what it answers. Amounts in minor units."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from contracts.wallet import EntryType
from wallet.entries import Cause, Entry, Part


class Reason(StrEnum):
    """Why the wallet says no, and how a hold ended."""

    ALREADY_REVERSED = "already_reversed"
    AMOUNT_EXCEEDS_HOLD = "amount_exceeds_hold"
    AMOUNT_INVALID = "amount_invalid"
    BALANCE_CAP = "balance_cap"
    BALANCE_LIMIT = "balance_limit"
    CURRENCY_MISMATCH = "currency_mismatch"
    EXPIRED = "expired"
    EXPIRES_AT_PAST = "expires_at_past"
    HOLD_ENDED = "hold_ended"
    INSUFFICIENT_CREDIT = "insufficient_credit"
    NOTHING_LEFT = "nothing_left"
    NOT_REVERSIBLE = "not_reversible"
    ORDER_MISMATCH = "order_mismatch"
    ORDER_PAID = "order_paid"
    REFUNDS_AS_CREDIT_OFF = "refunds_as_credit_off"
    RELEASED = "released"
    UNKNOWN_HOLD = "unknown_hold"


class HoldStatus(StrEnum):
    """Where a hold stands; only ``PLACED`` sets credit aside, all others are final."""

    PLACED = "placed"
    REFUSED = "refused"
    CAPTURED = "captured"
    RELEASED = "released"


class Expiry(StrEnum):
    """When credit expires, if not at a time of its own."""

    DEFAULT = "default"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Post:
    """Add to a customer's credit, or take from it with a negative amount. Without a ``cause`` it is its own."""

    customer_id: str
    type: EntryType
    amount_minor: int
    currency: str
    cause: Cause | None = None
    reason: str | None = None
    note: str | None = None
    expires_at: datetime | Expiry = Expiry.DEFAULT


@dataclass(frozen=True, slots=True)
class Reverse:
    """Undo an entry by a new one: what it gave is taken, by debt where it is spent; what it took comes back."""

    origin: Entry
    reason: str | None = None
    note: str | None = None

    @property
    def customer_id(self) -> str:
        """Whose entry it is."""
        return self.origin.customer_id


@dataclass(frozen=True, slots=True)
class Place:
    """Set credit aside for an order."""

    hold_id: str
    customer_id: str
    order_id: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Capture:
    """Pay an order with what a hold set aside, or with a part of it; the rest is free again."""

    hold_id: str
    customer_id: str
    order_id: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Release:
    """Give back what a hold set aside."""

    hold_id: str
    customer_id: str


@dataclass(frozen=True, slots=True)
class Lapse:
    """End a hold whose time is over."""

    hold_id: str
    customer_id: str


@dataclass(frozen=True, slots=True)
class Expire:
    """Let a customer's credit expire whose date has come. Whatever else is asked for does so first."""

    customer_id: str


@dataclass(frozen=True, slots=True)
class Transfer:
    """Move what a merged customer has available, and what they owe, to the one they were merged into."""

    customer_id: str
    into: str


Posting = Post | Reverse | Place | Capture | Release | Lapse | Expire | Transfer
OfHold = Place | Capture | Release | Lapse


class Hold(NamedTuple):
    """A hold and how it was answered. One that ended before it was asked for has no order and no amount.

    ``parts``: the grants it sets aside; what it releases returns to them. ``expires_at`` is the backstop's.
    """

    hold_id: str
    customer_id: str
    order_id: str | None
    amount_minor: int
    status: str
    captured_minor: int
    entry_id: str | None
    reason: str | None
    parts: tuple[Part, ...]
    asked_at: datetime
    expires_at: datetime
    ended_at: datetime | None


class Refusal(NamedTuple):
    """A refusal to remember."""

    cause_kind: str
    cause_id: str
    customer_id: str
    reason: str
    refused_at: datetime


class Posted(NamedTuple):
    """There is an entry, ``again`` when it was there before; balance and debt are those after all that it led to."""

    entry: Entry
    balance_minor: int
    debt_minor: int
    again: bool = False


class Refused(NamedTuple):
    """Nothing was written for this, nor will be for its claim."""

    reason: str


class Placed(NamedTuple):
    """The credit is, or was, set aside."""

    hold: Hold


class Captured(NamedTuple):
    """The hold paid its order; ``entry`` is ``None`` when it had done so before."""

    hold: Hold
    entry: Entry | None = None


class Released(NamedTuple):
    """Nothing is set aside under this hold's id, nor will be."""

    hold: Hold
    reason: str


class Done(NamedTuple):
    """What was due is done."""


Outcome = Posted | Refused | Placed | Captured | Released | Done
