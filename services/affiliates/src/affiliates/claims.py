"""What an affiliate asks to have of their money (features A5-A7). Pure; amounts in minor units of the store's currency.

A conversion is PROCESSING until the wallet has answered: COMPLETED or FAILED. A payout is PENDING until staff approve
or reject it, APPROVED until it is SENT, and that until it is CONFIRMED or has FAILED; until it is sent it may be
settled into the wallet instead, which makes it a conversion.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from affiliates.enrolment import Affiliate, State
from affiliates.journal import Bucket, Kind, Posting
from contracts.affiliates import (
    ClaimCompleted,
    ClaimConverted,
    ClaimFailed,
    PayoutApproved,
    PayoutConfirmed,
    PayoutRejected,
    PayoutRequested,
    PayoutSent,
)


class ClaimKind(StrEnum):
    """What was asked for."""

    CONVERSION = "conversion"
    PAYOUT = "payout"


class Status(StrEnum):
    """Where a claim stands."""

    PENDING = "PENDING"
    APPROVED = "APPROVED"
    SENT = "SENT"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    CONFIRMED = "CONFIRMED"
    REJECTED = "REJECTED"
    FAILED = "FAILED"


class Objection(StrEnum):
    """Why a claim is not accepted, or an action on a payout refused."""

    NOT_ACTIVE = "not_active"
    INSUFFICIENT_BALANCE = "insufficient_balance"
    BELOW_MINIMUM_PAYOUT = "below_minimum_payout"
    CLAIM_STATUS = "claim_status"
    IN_DEBT = "in_debt"
    COOLING_PERIOD = "cooling_period"
    SECOND_PERSON_NEEDED = "second_person_needed"


OPEN = frozenset({Status.PENDING, Status.APPROVED, Status.SENT, Status.PROCESSING})


@dataclass(frozen=True, slots=True)
class Claim:
    """A conversion into store balance, or a payout in ``asset`` over ``network`` to ``address``.

    ``balance_after_minor`` is the wallet's, once it had credited the claim; ``bonus_minor`` is what the store adds to a
    conversion. A payout may be approved from ``approvable_at`` on; ``approvals`` are who did. ``explanation`` is what
    staff said to a rejection or a failure. ``transaction_shared``: its transaction (``transaction_hash``) may pay others,
    too.
    """

    store_id: str
    claim_id: str
    affiliate_id: str
    customer_id: str
    amount_minor: int
    currency: str
    created_at: datetime
    changed_at: datetime
    kind: ClaimKind = ClaimKind.CONVERSION
    status: Status = Status.PROCESSING
    reason: str | None = None
    explanation: str | None = None
    wallet_transaction_id: str | None = None
    balance_after_minor: int | None = None
    bonus_minor: int = 0
    asset: str | None = None
    network: str | None = None
    address: str | None = None
    note: str | None = None
    approvable_at: datetime | None = None
    approvals: tuple[str, ...] = ()
    transaction_hash: str | None = None
    transaction_shared: bool = False
    ended_at: datetime | None = None


def objection(affiliate: Affiliate, amount_minor: int) -> Objection | None:
    """What stands against taking so much."""
    if affiliate.state is not State.ACTIVE:
        return Objection.NOT_ACTIVE
    if amount_minor > affiliate.balances.available_minor:
        return Objection.INSUFFICIENT_BALANCE
    return None


def bonus(amount_minor: int, bps: int) -> int:
    """What a store adds to a conversion, rounded down."""
    return amount_minor * bps // 10_000


def complete(claim: Claim, entry_id: str, balance_after_minor: int, now: datetime) -> Claim:
    """The claim once the wallet has credited it; an ended one stays as it is."""
    if claim.status is not Status.PROCESSING:
        return claim
    return replace(
        claim,
        status=Status.COMPLETED,
        wallet_transaction_id=entry_id,
        balance_after_minor=balance_after_minor,
        changed_at=now,
        ended_at=now,
    )


def fail(claim: Claim, reason: str, now: datetime) -> Claim:
    """The claim once the wallet has refused it; an ended one stays as it is."""
    if claim.status is not Status.PROCESSING:
        return claim
    return replace(claim, status=Status.FAILED, reason=reason, changed_at=now, ended_at=now)


_MOVES = {
    Status.PROCESSING: (Kind.RESERVED, Bucket.SETTLED, Bucket.REQUESTED),
    Status.PENDING: (Kind.RESERVED, Bucket.SETTLED, Bucket.REQUESTED),
    Status.COMPLETED: (Kind.CONVERTED, Bucket.REQUESTED, Bucket.CONVERTED),
    Status.CONFIRMED: (Kind.PAID, Bucket.REQUESTED, Bucket.PAID),
    Status.REJECTED: (Kind.RETURNED, Bucket.REQUESTED, Bucket.SETTLED),
    Status.FAILED: (Kind.RETURNED, Bucket.REQUESTED, Bucket.SETTLED),
}


def moved(before: Claim | None, after: Claim) -> list[Posting]:
    """What a claim moves on reaching its status: in when it is made, out when it ends, and nothing on its way."""
    if before is not None and (after.status in OPEN or before.status is after.status):
        return []
    kind, source, target = _MOVES[after.status]
    return [
        Posting(
            store_id=after.store_id,
            affiliate_id=after.affiliate_id,
            kind=kind,
            source=source,
            target=target,
            amount_minor=after.amount_minor,
            at=after.changed_at,
            claim_id=after.claim_id,
        )
    ]


def request(claim: Claim) -> ClaimConverted:
    """What the wallet is asked: the claim, and what the store adds to it."""
    return ClaimConverted(
        store_id=claim.store_id,
        claim_id=claim.claim_id,
        customer_id=claim.customer_id,
        amount_minor=claim.amount_minor + claim.bonus_minor,
        currency=claim.currency,
    )


Told = ClaimCompleted | ClaimFailed | PayoutRequested | PayoutApproved | PayoutRejected | PayoutSent | PayoutConfirmed


def _of(told: type[Told]) -> Callable[[Claim], Told]:
    return lambda claim: told.model_validate({name: getattr(claim, name) for name in told.model_fields})


_TOLD: dict[Status, Callable[[Claim], Told]] = {
    Status.PENDING: _of(PayoutRequested),
    Status.APPROVED: _of(PayoutApproved),
    Status.REJECTED: _of(PayoutRejected),
    Status.SENT: _of(PayoutSent),
    Status.CONFIRMED: _of(PayoutConfirmed),
    Status.COMPLETED: _of(ClaimCompleted),
    Status.FAILED: _of(ClaimFailed),
}


def announced(claim: Claim) -> Told | None:
    """What is told of a claim that reached its status; of one that waits for the wallet, ``request`` is."""
    tell = _TOLD.get(claim.status)
    return None if tell is None else tell(claim)
