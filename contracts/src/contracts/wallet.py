"""Store credit: what carts asks of the wallet, and what the wallet answers and tells."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from contracts.event import AmountMinor, Currency, Event, Instant
from contracts.ids import CustomerId, HoldId, OrderId, WalletEntryId
from contracts.topics import WALLET, WALLET_REQUESTS

PositiveAmount = Annotated[int, Field(gt=0, lt=10**15)]


class EntryType(StrEnum):
    """The seven kinds of ledger entry (features W1)."""

    CREDIT = "CREDIT"
    DEBIT = "DEBIT"
    REFUND = "REFUND"
    PROMO = "PROMO"
    ADJUSTMENT = "ADJUSTMENT"
    PAYMENT = "PAYMENT"
    EXPIRED = "EXPIRED"


class Cause(BaseModel):
    """Why an entry exists: ``kind`` is ``claim``, ``order`` or ``adjustment``; ``id`` is that thing's id."""

    model_config = ConfigDict(frozen=True)

    kind: str
    id: str


class WalletPosted(Event, type="wallet.posted", topic=WALLET, key="customer_id"):
    """A ledger entry. ``amount_minor`` is signed: negative takes from the balance. The answer to ``claim.converted``.

    ``epoch`` and ``sequence`` order the entries of one customer; a restored database starts a new epoch.
    """

    entry_id: WalletEntryId
    customer_id: CustomerId
    epoch: UUID
    sequence: int
    type: EntryType
    amount_minor: AmountMinor
    balance_after_minor: AmountMinor
    currency: Currency
    cause: Cause
    expires_at: Instant | None = None
    posted_at: Instant


class CreditRefused(Event, type="wallet.credit_refused", topic=WALLET, key="customer_id"):
    """The wallet would not credit what ``cause`` asked for."""

    customer_id: CustomerId
    cause: Cause
    reason: str


class HoldRequested(Event, type="wallet.hold_requested", topic=WALLET_REQUESTS, key="customer_id"):
    """Set credit aside for an order. The hold id is minted by carts and is the request id."""

    hold_id: HoldId
    customer_id: CustomerId
    order_id: OrderId
    amount_minor: PositiveAmount
    currency: Currency


class HoldPlaced(Event, type="wallet.hold_placed", topic=WALLET, key="customer_id"):
    """The credit is set aside."""

    hold_id: HoldId
    customer_id: CustomerId
    amount_minor: PositiveAmount


class HoldRefused(Event, type="wallet.hold_refused", topic=WALLET, key="customer_id"):
    """There is not so much credit, or the hold had ended before it was asked for."""

    hold_id: HoldId
    customer_id: CustomerId
    reason: str


class CaptureRequested(Event, type="wallet.capture_requested", topic=WALLET_REQUESTS, key="customer_id"):
    """Take what a hold set aside: the order is otherwise paid."""

    hold_id: HoldId
    customer_id: CustomerId
    order_id: OrderId
    amount_minor: PositiveAmount


class Captured(Event, type="wallet.captured", topic=WALLET, key="customer_id"):
    """The held credit paid for the order, in this PAYMENT entry."""

    hold_id: HoldId
    customer_id: CustomerId
    order_id: OrderId
    entry_id: WalletEntryId
    amount_minor: PositiveAmount


class CaptureRefused(Event, type="wallet.capture_refused", topic=WALLET, key="customer_id"):
    """There is no such hold, or it lapsed and the credit is gone."""

    hold_id: HoldId
    customer_id: CustomerId
    order_id: OrderId
    reason: str


class ReleaseRequested(Event, type="wallet.release_requested", topic=WALLET_REQUESTS, key="customer_id"):
    """Give back what a hold set aside; it will not be captured."""

    hold_id: HoldId
    customer_id: CustomerId


class HoldReleased(Event, type="wallet.hold_released", topic=WALLET, key="customer_id"):
    """The hold ended without a payment. ``reason``: released, expired or unknown_hold."""

    hold_id: HoldId
    customer_id: CustomerId
    reason: str
