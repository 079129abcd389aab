"""What the ledger is asked for, what it writes and what it answers. Amounts in minor units."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from contracts.wallet import EntryType

ADJUSTMENT = "adjustment"
CLAIM = "claim"
ORDER = "order"


class Side(StrEnum):
    """The accounts between which an entry moves money. Only ``CUSTOMER`` has a balance row; the others are sums."""

    CUSTOMER = "customer"
    COMMISSIONS = "commissions"
    PROMOTIONS = "promotions"
    REFUNDS = "refunds"
    ORDERS = "orders"
    ADJUSTMENTS = "adjustments"
    BREAKAGE = "breakage"


class Reason(StrEnum):
    """Why the wallet says no, and how a hold ended."""

    AMOUNT_EXCEEDS_HOLD = "amount_exceeds_hold"
    AMOUNT_INVALID = "amount_invalid"
    BALANCE_LIMIT = "balance_limit"
    CURRENCY_MISMATCH = "currency_mismatch"
    HOLD_ENDED = "hold_ended"
    INSUFFICIENT_CREDIT = "insufficient_credit"
    ORDER_MISMATCH = "order_mismatch"
    ORDER_PAID = "order_paid"
    RELEASED = "released"
    UNKNOWN_HOLD = "unknown_hold"


class HoldStatus(StrEnum):
    """Where a hold stands; only ``PLACED`` sets credit aside, all others are final."""

    PLACED = "placed"
    REFUSED = "refused"
    CAPTURED = "captured"
    RELEASED = "released"


class Cause(NamedTuple):
    """What led to an entry. Anything but an adjustment is a natural key: it leads to one entry at most."""

    kind: str
    id: str


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


Posting = Post | Place | Capture | Release


class Entry(NamedTuple):
    """One line of the ledger. ``amount_minor`` is positive and leaves ``debit_account`` for ``credit_account``."""

    entry_id: str
    customer_id: str
    sequence: int
    type: str
    debit_account: str
    credit_account: str
    amount_minor: int
    balance_after_minor: int
    currency: str
    cause_kind: str
    cause_id: str
    reason: str | None
    posted_at: datetime

    @property
    def signed_minor(self) -> int:
        """What it does to the customer's balance."""
        return self.amount_minor if self.credit_account == Side.CUSTOMER else -self.amount_minor


class Hold(NamedTuple):
    """A hold and how it was answered. One that ended before it was asked for has no order and no amount."""

    hold_id: str
    customer_id: str
    order_id: str | None
    amount_minor: int
    status: str
    captured_minor: int
    entry_id: str | None
    reason: str | None
    asked_at: datetime
    ended_at: datetime | None


class Refusal(NamedTuple):
    """A refusal to remember."""

    cause_kind: str
    cause_id: str
    customer_id: str
    reason: str
    refused_at: datetime


class Posted(NamedTuple):
    """There is an entry; ``again`` when it was there before."""

    entry: Entry
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


Outcome = Posted | Refused | Placed | Captured | Released
