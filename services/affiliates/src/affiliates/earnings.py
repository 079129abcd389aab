"""What a change of a commission moves, adds to links, and is told as. Pure."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from affiliates.commissions import Commission, Reason, State
from affiliates.journal import Bucket, Kind, Posting
from contracts.affiliates import CommissionEarned, CommissionHeld, CommissionPayable, CommissionReversed

Change = tuple[Commission | None, Commission]
Move = tuple[Commission, Kind, Bucket, Bucket, int]  # whose, why, from where, to where, how much
Told = CommissionEarned | CommissionReversed | CommissionHeld | CommissionPayable

_BUCKET = {State.HELD: Bucket.PENDING, State.PENDING: Bucket.PENDING, State.PAYABLE: Bucket.SETTLED}
_NO_SALE = {State.DECLINED, State.DENIED}


def moved(before: Commission | None, after: Commission, now: datetime) -> list[Posting]:
    """What the change moves in the journal. Money leaves the bucket it is in, and the affiliate it belonged to."""
    by_order = before is None or before.order_version != after.order_version
    return [
        Posting(
            store_id=after.store_id,
            affiliate_id=whose.affiliate_id or "",
            kind=kind,
            source=source,
            target=target,
            amount_minor=amount_minor,
            at=now,
            commission_id=after.commission_id,
            turn=after.turn,
            order_version=after.order_version if by_order else None,
        )
        for whose, kind, source, target, amount_minor in _moves(before, after)
    ]


def _moves(before: Commission | None, after: Commission) -> Iterator[Move]:
    owed = 0 if before is None else before.owed_minor
    if before is None or not owed:
        yield from _changed(after, 0, after.owed_minor)
    elif before.affiliate_id != after.affiliate_id:
        yield from _changed(before, owed, 0)
        yield from _changed(after, 0, after.owed_minor)
    elif owed != after.owed_minor:
        yield from _changed(before, owed, after.owed_minor)
    else:
        yield from _shifted(before, after)


def _changed(where: Commission, owed_minor: int, owes_minor: int) -> Iterator[Move]:
    """What is owed changes, in the bucket and for the affiliate of ``where``."""
    change = owes_minor - owed_minor
    if change > 0:
        yield where, Kind.EARNED, Bucket.PROGRAM, _BUCKET[where.state], change
    elif change < 0:
        yield where, Kind.REVERSED, _BUCKET[where.state], Bucket.PROGRAM, -change


def _shifted(before: Commission, after: Commission) -> Iterator[Move]:
    """The same is owed; it may be in another bucket."""
    source, target = _BUCKET[before.state], _BUCKET[after.state]
    if source is not target:
        yield after, Kind.MATURED if target is Bucket.SETTLED else Kind.HELD, source, target, after.owed_minor


def sales(changes: Iterable[Change]) -> list[tuple[str, str, int, int]]:
    """What the changes add to links: store, code, sales and revenue, each link once, sorted."""
    totals: dict[tuple[str, str], tuple[int, int]] = {}
    for before, after in changes:
        for commission, sign in ((before, -1), (after, 1)):
            if commission is not None and commission.affiliate_id is not None and commission.state not in _NO_SALE:
                sold, revenue = totals.get((commission.store_id, commission.code), (0, 0))
                revenue += sign * (commission.revenue_minor or 0)
                totals[commission.store_id, commission.code] = sold + sign, revenue
    return [(*link, *added) for link, added in sorted(totals.items()) if any(added)]


def announced(before: Commission | None, after: Commission) -> Iterator[Told]:
    """What is told of a change: another amount, a hold, and that what waited can be taken."""
    if before is not None and before.affiliate_id != after.affiliate_id:
        yield from _told(before, before.owed_minor, 0, reason="reattributed")
        before = None
    owed = 0 if before is None else before.owed_minor
    yield from _told(after, owed, after.owed_minor, reason=_why(after))
    if after.affiliate_id is None or (before is not None and before.state is after.state):
        return
    if after.state is State.HELD:
        yield CommissionHeld(
            store_id=after.store_id,
            commission_id=after.commission_id,
            affiliate_id=after.affiliate_id,
            order_id=after.order_id,
            reason=after.reason or Reason.STAFF,
        )
    if after.state is State.PAYABLE and before is not None and after.owed_minor:
        yield CommissionPayable(
            store_id=after.store_id,
            commission_id=after.commission_id,
            affiliate_id=after.affiliate_id,
            order_id=after.order_id,
            amount_minor=after.owed_minor,
            currency=after.currency,
        )


def _why(after: Commission) -> str:
    if after.state is State.DENIED:
        return "denied"
    return Reason.OWN_PURCHASE if after.reason is Reason.OWN_PURCHASE else "order"


def _told(commission: Commission, owed_minor: int, owes_minor: int, *, reason: str) -> Iterator[Told]:
    if commission.affiliate_id is None or owed_minor == owes_minor:
        return
    if owes_minor < owed_minor:
        yield CommissionReversed(
            store_id=commission.store_id,
            commission_id=commission.commission_id,
            affiliate_id=commission.affiliate_id,
            order_id=commission.order_id,
            amount_minor=owes_minor,
            reversed_minor=owed_minor - owes_minor,
            currency=commission.currency,
            reason=reason,
        )
        return
    yield CommissionEarned(
        store_id=commission.store_id,
        commission_id=commission.commission_id,
        affiliate_id=commission.affiliate_id,
        order_id=commission.order_id,
        order_version=commission.order_version,
        amount_minor=owes_minor,
        currency=commission.currency,
        rate_bps=commission.rate_bps,
        payable_at=commission.payable_at,
    )
