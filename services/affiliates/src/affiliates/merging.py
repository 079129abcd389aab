"""Two affiliates become one, since their customers did: the survivor has what both had. Pure."""

from collections.abc import Iterator
from datetime import datetime

from affiliates.enrolment import Affiliate, State
from affiliates.journal import Bucket, Kind, Posting


def state_of(old: State, survivor: State) -> State:
    """Where the one stands who was both: nobody gets around a suspension, and who was approved once stays so."""
    for state in (State.SUSPENDED, State.ACTIVE):
        if state in {old, survivor}:
            return state
    return State.PENDING


def moved(old: Affiliate, survivor: Affiliate, now: datetime) -> Iterator[Posting]:
    """What moves in the journal: every bucket, by way of the merchant's side. Debt goes the other way round."""
    balances = old.balances
    for bucket, minor in (
        (Bucket.PENDING, balances.pending_minor),
        (Bucket.SETTLED, balances.settled_minor),
        (Bucket.REQUESTED, balances.requested_minor),
        (Bucket.CONVERTED, balances.converted_minor),
        (Bucket.PAID, balances.paid_minor),
    ):
        giver, taker = (old, survivor) if minor > 0 else (survivor, old)
        if minor:
            yield _posting(giver, taker, bucket, Bucket.PROGRAM, abs(minor), now)
            yield _posting(taker, giver, Bucket.PROGRAM, bucket, abs(minor), now)


def _posting(
    affiliate: Affiliate, other: Affiliate, source: Bucket, target: Bucket, amount_minor: int, now: datetime
) -> Posting:
    return Posting(
        store_id=affiliate.store_id,
        affiliate_id=affiliate.affiliate_id,
        kind=Kind.MERGED,
        source=source,
        target=target,
        amount_minor=amount_minor,
        at=now,
        other_affiliate_id=other.affiliate_id,
    )
