"""What the replies of several endpoints have in common, and the refusals."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, NoReturn

from pydantic import AfterValidator, BaseModel, StringConstraints
from pydantic_core import PydanticCustomError

from affiliates import payouts, store, store_lists, store_people
from affiliates.claims import Claim, ClaimKind, Status
from affiliates.commissions import Commission
from affiliates.enrolment import Affiliate
from affiliates.journal import Balances
from affiliates.links import Link, State, chosen, conversion_percent, url
from affiliates.program import percent
from chassis.db import Conn
from chassis.money import Major, major
from chassis.problems import NotFound, Refused, Unavailable

Said = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)
]  # by staff, to what they do


class NotAnAffiliate(NotFound):
    """The customer exists, and is no affiliate."""

    title = "This customer is not an affiliate"


class NotActive(Refused):
    """Only an active affiliate earns and takes."""

    code = "not_active"
    title = "This affiliate is not active"


class CodeTaken(Refused):
    """A code is unique in its store."""

    code = "code_taken"
    title = "This code is taken"


class InsufficientBalance(Refused):
    """An affiliate takes at most what is available."""

    code = "insufficient_balance"
    title = "The affiliate has not so much available"

    def __init__(self, affiliate: Affiliate, currency: str) -> None:
        super().__init__(f"{major(affiliate.balances.available_minor, currency)} {currency} is available")


def _chosen(value: str) -> str:
    code = chosen(value)
    if code is None:
        raise PydanticCustomError("code_format", "A code has 3 to 32 letters a-z, digits and dashes, no dash first")
    return code


ChosenCode = Annotated[str, AfterValidator(_chosen)]  # capitals are made small: nobody types them on purpose


class SummaryLink(BaseModel):
    """What the affiliate shares, and what came of it (features A4). Clicks are people's, not machines'."""

    code: str
    url: str
    total_clicks: int
    total_sales: int
    total_revenue: Major


class LinkReply(SummaryLink):
    """A link with all its figures. ``conversion_percent``: sales per hundred visitors; null where nobody came.

    ``reason``: why it was rejected, in the words of staff.
    """

    state: State
    reason: str | None
    unique_clicks: int
    conversion_percent: float | None
    added_at: datetime


class CommissionReply(BaseModel):
    """A share of an order; ``amount`` is null where nothing is owed, or an exchange rate is wanting.

    ``rate_from``: the program, the affiliate's tier, or what was agreed with the affiliate.
    """

    id: str
    order_id: str
    code: str
    amount: Major | None
    status: str
    reason: str | None
    rate_percent: int | float
    rate_from: str
    earned_at: datetime
    payable_at: datetime


class ClaimReply(BaseModel):
    """A claim. ``reason`` says why it failed or was rejected, ``explanation`` in the words of staff.

    ``asset`` to ``approvable_at`` are a payout's, ``wallet_transaction_id``, ``new_balance`` and ``bonus`` (what the
    store added) of what went into the store balance.
    """

    claim_id: str
    type: ClaimKind
    amount: Major
    status: Status
    reason: str | None
    explanation: str | None
    wallet_transaction_id: str | None
    new_balance: Major | None
    bonus: Major
    asset: str | None
    address: str | None
    network: str | None
    note: str | None
    transaction_hash: str | None
    approvable_at: datetime | None
    created_at: datetime
    ended_at: datetime | None


class StaffClaimReply(ClaimReply):
    """A claim as staff see it. ``approvals``: who has approved it; ``debt``: what its affiliate owes now.

    ``address_shared_with``: how many other affiliates have asked to be paid at its address.
    """

    customer_id: str
    affiliate_id: str
    approvals: list[str]
    address_shared_with: int
    debt: Major


def show_balances(balances: Balances, currency: str) -> dict[str, Major]:
    """Where an affiliate's money is, as replies name the places."""
    return {
        "available": major(balances.available_minor, currency),
        "pending": major(balances.pending_minor, currency),
        "requested": major(balances.requested_minor, currency),
        "converted": major(balances.converted_minor, currency),
        "paid": major(balances.paid_minor, currency),
        "debt": major(balances.debt_minor, currency),
    }


async def affiliate_of(conn: Conn, store_id: str, customer_id: str) -> Affiliate:
    """The affiliate that a customer is. Raises ``NotAnAffiliate``."""
    affiliate = await store.affiliate_of(conn, store_id, customer_id)
    if affiliate is None:
        raise NotAnAffiliate
    return affiliate


async def lock_affiliate_of(conn: Conn, store_id: str, customer_id: str) -> Affiliate:
    """The affiliate that a customer is, locked. Raises ``NotAnAffiliate``."""
    affiliate = await store.lock_affiliate_of(conn, store_id, customer_id)
    if affiliate is None:
        raise NotAnAffiliate
    return affiliate


async def refuse_half(conn: Conn, affiliate: Affiliate) -> None:
    """Decide nothing by half of a person.

    Raises ``Unavailable`` while an affiliate is about to become one with another, who may have what is wanting, or owe.
    """
    if await store_people.becomes_one(conn, affiliate):
        raise Unavailable("this customer was merged a moment ago, and not all is in one place yet")


async def refuse(conn: Conn, affiliate: Affiliate, against: Refused) -> NoReturn:
    """Refuse what an affiliate's money or state stands against: for good, so only by all of it."""
    await refuse_half(conn, affiliate)
    raise against


def show_link(link: Link, store_url: str, currency: str) -> LinkReply:
    """A link as replies show it."""
    return LinkReply(
        code=link.code,
        url=url(store_url, link.code),
        state=link.state,
        reason=link.reason,
        total_clicks=link.total_clicks,
        unique_clicks=link.unique_clicks,
        total_sales=link.total_sales,
        total_revenue=major(link.total_revenue_minor, currency),
        conversion_percent=conversion_percent(link.total_sales, link.unique_clicks),
        added_at=link.added_at,
    )


def show_commission(commission: Commission) -> CommissionReply:
    """A commission as replies show it."""
    amount_minor = commission.amount_minor
    return CommissionReply(
        id=commission.commission_id,
        order_id=commission.order_id,
        code=commission.code,
        amount=None if amount_minor is None else major(amount_minor, commission.currency),
        status=commission.state,
        reason=commission.reason,
        rate_percent=percent(commission.rate_bps),
        rate_from=commission.rate_from,
        earned_at=commission.earned_at,
        payable_at=commission.payable_at,
    )


def show_claim(claim: Claim) -> ClaimReply:
    """A claim as replies show it."""
    balance = claim.balance_after_minor
    return ClaimReply(
        claim_id=claim.claim_id,
        type=claim.kind,
        amount=major(claim.amount_minor, claim.currency),
        status=claim.status,
        reason=claim.reason,
        explanation=claim.explanation,
        wallet_transaction_id=claim.wallet_transaction_id,
        new_balance=None if balance is None else major(balance, claim.currency),
        bonus=major(claim.bonus_minor, claim.currency),
        asset=claim.asset,
        address=claim.address,
        network=claim.network,
        note=claim.note,
        transaction_hash=claim.transaction_hash,
        approvable_at=claim.approvable_at,
        created_at=claim.created_at,
        ended_at=claim.ended_at,
    )


async def show_claims_to_staff(conn: Conn, store_id: str, claims: Sequence[Claim]) -> list[StaffClaimReply]:
    """Claims of a store as replies show them to staff."""
    to = {claim.claim_id: _paid_at(claim) for claim in claims}
    asked = {address for address in to.values() if address is not None}
    paid_there = await store_lists.affiliates_at(conn, store_id, list(asked)) if asked else {}
    debts = await store_lists.debts_of(conn, store_id, {claim.affiliate_id for claim in claims})

    def show(claim: Claim) -> StaffClaimReply:
        address = to[claim.claim_id]
        return StaffClaimReply(
            **dict(show_claim(claim)),
            customer_id=claim.customer_id,
            affiliate_id=claim.affiliate_id,
            approvals=list(claim.approvals),
            address_shared_with=0 if address is None else max(paid_there.get(address, 0) - 1, 0),
            debt=major(debts.get(claim.affiliate_id, 0), claim.currency),
        )

    return [show(claim) for claim in claims]


async def show_claim_to_staff(conn: Conn, claim: Claim) -> StaffClaimReply:
    """A claim as replies show it to staff."""
    (shown,) = await show_claims_to_staff(conn, claim.store_id, [claim])
    return shown


def _paid_at(claim: Claim) -> tuple[str, str] | None:
    if claim.network is None or claim.address is None:
        return None
    return payouts.address_of(claim)
