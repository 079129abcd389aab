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
    """Why an entry exists: ``kind`` says of what ``id`` is the id.

    ``claim``, ``order``, ``promotion``, ``gift_code``; ``adjustment``: of the entry itself, posted by hand;
    ``reversal``: of the entry undone, ``shortfall``: of the entry whose reversal could not be taken and is owed;
    ``grant``: of the entry whose credit expired; ``debt``: of the credit, or hold, that paid it; ``merge``: of the
    other customer.
    """

    model_config = ConfigDict(frozen=True)

    kind: str
    id: str


class WalletPosted(Event, type="wallet.posted", topic=WALLET, key="customer_id"):
    """A ledger entry. ``amount_minor`` is signed: negative takes from the balance. The answer to ``claim.converted``.

    ``epoch`` and ``sequence`` order the entries of one customer; a restored database starts a new epoch.
    ``expires_at``: when what this credit has left is gone. ``on_debt``: the entry changes what the customer owes and
    leaves the balance as it was. ``debt_after_minor``: what is owed after it, if anything. ``settled_balance_minor``:
    the balance when this credit had paid debt, where it did.
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
    on_debt: bool | None = None
    debt_after_minor: AmountMinor | None = None
    settled_balance_minor: AmountMinor | None = None


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


class GrantExpiring(Event, type="wallet.grant_expiring", topic=WALLET, key="customer_id"):
    """What a credit has left will be gone at ``expires_at``. Told once, ``reminder_days`` before or later."""

    entry_id: WalletEntryId
    customer_id: CustomerId
    amount_minor: PositiveAmount
    currency: Currency
    expires_at: Instant


class OverCap(StrEnum):
    """What becomes of promotional credit that a balance cap leaves no room for."""

    CLIP = "clip"
    REFUSE = "refuse"


class SettingsChanged(Event, type="wallet.settings_changed", topic=WALLET, key="store_id"):
    """A store's settings of credit as they are now; the highest ``version`` wins. What is absent is off."""

    version: int
    refunds_as_credit: bool
    default_expiry_days: int | None = None
    balance_cap_minor: AmountMinor | None = None
    promo_over_cap: OverCap
    reminder_days: int | None = None
