"""What the affiliates service tells, and the claims it hands to the wallet."""

from contracts.event import AmountMinor, Currency, Event, Instant
from contracts.ids import AffiliateId, ClaimId, CommissionId, CustomerId, OrderId, WalletEntryId
from contracts.topics import AFFILIATES, CLAIMS


class AffiliateEnrolled(Event, type="affiliate.enrolled", topic=AFFILIATES, key="affiliate_id"):
    """A customer became an affiliate."""

    affiliate_id: AffiliateId
    customer_id: CustomerId
    code: str
    enrolled_at: Instant


class CommissionEarned(Event, type="commission.earned", topic=AFFILIATES, key="affiliate_id"):
    """An order owes an affiliate a share. ``amount_minor`` is the whole of it, in settlement currency."""

    commission_id: CommissionId
    affiliate_id: AffiliateId
    order_id: OrderId
    order_version: int
    amount_minor: AmountMinor
    currency: Currency
    rate_bps: int
    payable_at: Instant


class ClaimConverted(Event, type="claim.converted", topic=CLAIMS, key="customer_id"):
    """Funds are reserved: the wallet must credit them, once per ``claim_id``."""

    claim_id: ClaimId
    customer_id: CustomerId
    amount_minor: AmountMinor
    currency: Currency


class ClaimCompleted(Event, type="claim.completed", topic=CLAIMS, key="customer_id"):
    """The wallet has credited the claim."""

    claim_id: ClaimId
    customer_id: CustomerId
    amount_minor: AmountMinor
    currency: Currency
    wallet_transaction_id: WalletEntryId


class ClaimFailed(Event, type="claim.failed", topic=CLAIMS, key="customer_id"):
    """The wallet refused the claim; its money is available to the affiliate again."""

    claim_id: ClaimId
    customer_id: CustomerId
    amount_minor: AmountMinor
    currency: Currency
    reason: str
