"""What an affiliate asks to have of their money (features A5). Pure; amounts in minor units of the store's currency."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from affiliates.enrolment import Affiliate, State
from affiliates.journal import Bucket, Kind, Posting
from contracts.affiliates import ClaimCompleted, ClaimConverted, ClaimFailed


class Status(StrEnum):
    """Where a claim stands. Only the wallet's answer ends a conversion."""

    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class Objection(StrEnum):
    """Why a claim is not accepted."""

    NOT_ACTIVE = "not_active"
    INSUFFICIENT_BALANCE = "insufficient_balance"


@dataclass(frozen=True, slots=True)
class Claim:
    """A conversion into store balance. ``balance_after_minor`` is the wallet's, once it had credited the claim."""

    store_id: str
    claim_id: str
    affiliate_id: str
    customer_id: str
    amount_minor: int
    currency: str
    created_at: datetime
    status: Status = Status.PROCESSING
    reason: str | None = None
    wallet_transaction_id: str | None = None
    balance_after_minor: int | None = None
    ended_at: datetime | None = None


def objection(affiliate: Affiliate, amount_minor: int) -> Objection | None:
    """What stands against taking so much."""
    if affiliate.state is not State.ACTIVE:
        return Objection.NOT_ACTIVE
    if amount_minor > affiliate.balances.available_minor:
        return Objection.INSUFFICIENT_BALANCE
    return None


def complete(claim: Claim, entry_id: str, balance_after_minor: int, now: datetime) -> Claim:
    """The claim once the wallet has credited it; an ended one stays as it is."""
    if claim.status is not Status.PROCESSING:
        return claim
    return replace(
        claim,
        status=Status.COMPLETED,
        wallet_transaction_id=entry_id,
        balance_after_minor=balance_after_minor,
        ended_at=now,
    )


def fail(claim: Claim, reason: str, now: datetime) -> Claim:
    """The claim once the wallet has refused it; an ended one stays as it is."""
    if claim.status is not Status.PROCESSING:
        return claim
    return replace(claim, status=Status.FAILED, reason=reason, ended_at=now)


_MOVES = {
    Status.PROCESSING: (Kind.RESERVED, Bucket.SETTLED, Bucket.REQUESTED),
    Status.COMPLETED: (Kind.CONVERTED, Bucket.REQUESTED, Bucket.CONVERTED),
    Status.FAILED: (Kind.RETURNED, Bucket.REQUESTED, Bucket.SETTLED),
}


def moved(claim: Claim, now: datetime) -> Posting:
    """What a claim moves on reaching its status."""
    kind, source, target = _MOVES[claim.status]
    return Posting(
        claim.store_id, claim.affiliate_id, kind, source, target, claim.amount_minor, now, claim_id=claim.claim_id
    )


def request(claim: Claim) -> ClaimConverted:
    """What the wallet is asked."""
    return ClaimConverted(
        store_id=claim.store_id,
        claim_id=claim.claim_id,
        customer_id=claim.customer_id,
        amount_minor=claim.amount_minor,
        currency=claim.currency,
    )


def outcome(claim: Claim) -> ClaimCompleted | ClaimFailed:
    """What is told of a claim that ended."""
    if claim.wallet_transaction_id is not None:
        return ClaimCompleted(
            store_id=claim.store_id,
            claim_id=claim.claim_id,
            customer_id=claim.customer_id,
            amount_minor=claim.amount_minor,
            currency=claim.currency,
            wallet_transaction_id=claim.wallet_transaction_id,
        )
    return ClaimFailed(
        store_id=claim.store_id,
        claim_id=claim.claim_id,
        customer_id=claim.customer_id,
        amount_minor=claim.amount_minor,
        currency=claim.currency,
        reason=claim.reason or "refused",
    )
