"""What the affiliates service tells, and the claims it hands to the wallet."""

from typing import Annotated

from pydantic import Field

from contracts.event import AmountMinor, Currency, Event, Instant
from contracts.ids import AffiliateId, ClaimId, CommissionId, CustomerId, OrderId, WalletEntryId
from contracts.topics import AFFILIATES, CLAIMS

Bps = Annotated[int, Field(ge=0, le=10_000)]


class ProgramChanged(Event, type="program.changed", topic=AFFILIATES, key="store_id"):
    """The terms of a store's program from ``since`` on. ``discount_bps``: what customers save by an affiliate's link."""

    since: Instant
    revenue_share_enabled: bool
    rate_bps: Bps
    discount_enabled: bool
    discount_bps: Bps
    waiting_days: int
    attribution_days: int
    minimum_payout_minor: AmountMinor
    currency: Currency


class AffiliateRequested(Event, type="affiliate.requested", topic=AFFILIATES, key="affiliate_id"):
    """A customer asks to become an affiliate; staff decide. Again, when their customer was merged and they wait still."""

    affiliate_id: AffiliateId
    customer_id: CustomerId
    code: str
    requested_at: Instant


class AffiliateEnrolled(Event, type="affiliate.enrolled", topic=AFFILIATES, key="affiliate_id"):
    """A customer is an affiliate. Again, when one who was suspended may go on, and when their customer was merged."""

    affiliate_id: AffiliateId
    customer_id: CustomerId
    code: str
    enrolled_at: Instant


class AffiliateSuspended(Event, type="affiliate.suspended", topic=AFFILIATES, key="affiliate_id"):
    """An affiliate earns nothing more and takes nothing, until ``affiliate.enrolled`` is told again."""

    affiliate_id: AffiliateId
    customer_id: CustomerId
    suspended_at: Instant


class LinkRequested(Event, type="link.requested", topic=AFFILIATES, key="affiliate_id"):
    """An affiliate asks for a code; staff decide. Again, whenever ``link.added`` is told again of their other links."""

    affiliate_id: AffiliateId
    customer_id: CustomerId
    code: str
    requested_at: Instant


class LinkRejected(Event, type="link.rejected", topic=AFFILIATES, key="affiliate_id"):
    """Staff rejected a code that an affiliate asked for: it is free again. What staff said is told over HTTP only."""

    affiliate_id: AffiliateId
    customer_id: CustomerId
    code: str
    rejected_at: Instant


class LinkAdded(Event, type="link.added", topic=AFFILIATES, key="affiliate_id"):
    """A code earns for its affiliate. ``discount_bps``: what customers save by it, as the program stands.

    Again, whenever ``affiliate.enrolled`` is told again, and when its affiliate takes up a link they had removed.
    """

    affiliate_id: AffiliateId
    customer_id: CustomerId
    code: str
    discount_bps: Bps
    added_at: Instant


class LinkRemoved(Event, type="link.removed", topic=AFFILIATES, key="affiliate_id"):
    """A code earns no longer, and is never given to anybody else. One that was only requested is free again."""

    affiliate_id: AffiliateId
    customer_id: CustomerId
    code: str
    removed_at: Instant


class CommissionEarned(Event, type="commission.earned", topic=AFFILIATES, key="affiliate_id"):
    """An order owes an affiliate a share, or more than before. ``amount_minor`` is the whole, in settlement currency."""

    commission_id: CommissionId
    affiliate_id: AffiliateId
    order_id: OrderId
    order_version: int
    amount_minor: AmountMinor
    currency: Currency
    rate_bps: int
    payable_at: Instant


class CommissionReversed(Event, type="commission.reversed", topic=AFFILIATES, key="affiliate_id"):
    """An order owes an affiliate less by ``reversed_minor``; ``amount_minor`` is what it still owes.

    ``reason``: ``order`` (refunded, disputed or changed), ``denied``, ``own_purchase`` or ``reattributed``.
    """

    commission_id: CommissionId
    affiliate_id: AffiliateId
    order_id: OrderId
    amount_minor: AmountMinor
    reversed_minor: AmountMinor
    currency: Currency
    reason: str


class CommissionHeld(Event, type="commission.held", topic=AFFILIATES, key="affiliate_id"):
    """A commission cannot be taken. ``reason``: ``fraud`` or ``staff``, until staff release or deny it; ``no_rate``.

    One without an exchange rate has no amount: staff deny it, or it stays held.
    """

    commission_id: CommissionId
    affiliate_id: AffiliateId
    order_id: OrderId
    reason: str


class CommissionPayable(Event, type="commission.payable", topic=AFFILIATES, key="affiliate_id"):
    """A commission that waited, or was held, can be taken."""

    commission_id: CommissionId
    affiliate_id: AffiliateId
    order_id: OrderId
    amount_minor: AmountMinor
    currency: Currency


class ClaimConverted(Event, type="claim.converted", topic=CLAIMS, key="customer_id"):
    """Funds are reserved: the wallet must credit them, once per ``claim_id``.

    ``amount_minor`` is the claim and what the store adds to it; in all other events of a claim it is the claim alone.
    """

    claim_id: ClaimId
    customer_id: CustomerId
    amount_minor: AmountMinor
    currency: Currency


class ClaimCompleted(Event, type="claim.completed", topic=CLAIMS, key="customer_id"):
    """The wallet has credited the claim. ``amount_minor`` is without what the store added."""

    claim_id: ClaimId
    customer_id: CustomerId
    amount_minor: AmountMinor
    currency: Currency
    wallet_transaction_id: WalletEntryId


class ClaimFailed(Event, type="claim.failed", topic=CLAIMS, key="customer_id"):
    """The wallet refused the claim, or its transfer failed; its money is available to the affiliate again."""

    claim_id: ClaimId
    customer_id: CustomerId
    amount_minor: AmountMinor
    currency: Currency
    reason: str


class PayoutRequested(Event, type="claim.payout_requested", topic=CLAIMS, key="customer_id"):
    """An affiliate asks to be paid in ``asset`` over ``network``; staff decide. The address is told over HTTP only."""

    claim_id: ClaimId
    customer_id: CustomerId
    amount_minor: AmountMinor
    currency: Currency
    asset: str
    network: str


class PayoutApproved(Event, type="claim.approved", topic=CLAIMS, key="customer_id"):
    """A payout may be sent."""

    claim_id: ClaimId
    customer_id: CustomerId
    amount_minor: AmountMinor
    currency: Currency
    asset: str
    network: str


class PayoutRejected(Event, type="claim.rejected", topic=CLAIMS, key="customer_id"):
    """Staff rejected a payout; its money is available to the affiliate again. Why is told over HTTP only."""

    claim_id: ClaimId
    customer_id: CustomerId
    amount_minor: AmountMinor
    currency: Currency


class PayoutSent(Event, type="claim.sent", topic=CLAIMS, key="customer_id"):
    """A payout is on its way. Its transaction is told over HTTP only: it leads to the address that is paid."""

    claim_id: ClaimId
    customer_id: CustomerId
    amount_minor: AmountMinor
    currency: Currency
    asset: str
    network: str


class PayoutConfirmed(Event, type="claim.confirmed", topic=CLAIMS, key="customer_id"):
    """A payout has arrived."""

    claim_id: ClaimId
    customer_id: CustomerId
    amount_minor: AmountMinor
    currency: Currency
