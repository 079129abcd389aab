"""What an order owes the affiliate who brought it (design §5 affiliates; features A3). Pure.

A decision is made once per order: whose it is, at which rate, from when it is payable, or that nothing is owed.
What follows from the order's money is derived anew from its highest version, so neither order nor repetition matters.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from affiliates.enrolment import State as AffiliateState
from affiliates.enrolment import canonical
from affiliates.journal import Bucket, Kind, Posting
from affiliates.program import Terms
from contracts.affiliates import CommissionEarned
from contracts.carts import OrderCompleted


class State(StrEnum):
    """Where a commission stands. ``WAITING``: decided, and nothing of the order's money seen yet; never stored."""

    WAITING = "waiting"
    DECLINED = "declined"
    HELD = "held"
    PENDING = "pending"
    PAYABLE = "payable"


class Reason(StrEnum):
    """Why a commission is declined or held."""

    UNKNOWN_CODE = "unknown_code"
    NOT_ACTIVE = "not_active"
    PROGRAM_OFF = "program_off"
    OWN_PURCHASE = "own_purchase"
    NO_RATE = "no_rate"


_FINAL = {Reason.UNKNOWN_CODE, Reason.NOT_ACTIVE, Reason.PROGRAM_OFF}
_BUCKET = {State.PENDING: Bucket.PENDING, State.PAYABLE: Bucket.SETTLED}


@dataclass(frozen=True, slots=True)
class Referrer:
    """Whom a code belongs to. ``customer_id`` is the one their customer acts as after merges."""

    affiliate_id: str
    customer_id: str
    state: AffiliateState


@dataclass(frozen=True, slots=True)
class Commission:
    """What was decided about an order. ``base_minor`` is in ``order_currency``; ``amount_minor`` in ``currency``."""

    store_id: str
    order_id: str
    commission_id: str
    affiliate_id: str | None
    code: str
    order_version: int
    order_currency: str
    base_minor: int
    state: State
    reason: Reason | None
    rate_bps: int
    amount_minor: int | None
    revenue_minor: int | None
    currency: str
    earned_at: datetime
    payable_at: datetime

    @property
    def key(self) -> tuple[str, str]:
        """The natural key: store and order."""
        return self.store_id, self.order_id

    @property
    def owed_minor(self) -> int:
        """What it adds to the affiliate's buckets."""
        return self.amount_minor or 0


def latest(orders: Iterable[OrderCompleted]) -> dict[tuple[str, str], tuple[str, OrderCompleted]]:
    """The highest version of each order that came with a code, and the code, by store and order."""
    found: dict[tuple[str, str], tuple[str, OrderCompleted]] = {}
    for order in orders:
        code = None if order.affiliate_code is None else canonical(order.affiliate_code)
        key = order.store_id, order.order_id
        if code is not None and (key not in found or order.version > found[key][1].version):
            found[key] = code, order
    return found


def earned_at(order: OrderCompleted) -> datetime:
    """The moment whose terms count: when the order was first completed."""
    return order.first_completed_at or order.placed_at


def decide(
    order: OrderCompleted, code: str, referrer: Referrer | None, terms: Terms, *, currency: str, commission_id: str
) -> Commission:
    """What never changes about the commission of an order; ``currency`` is the store's."""
    reason = _refusal(referrer, terms)
    return Commission(
        store_id=order.store_id,
        order_id=order.order_id,
        commission_id=commission_id,
        affiliate_id=None if referrer is None else referrer.affiliate_id,
        code=code,
        order_version=0,
        order_currency=order.currency,
        base_minor=0,
        state=State.WAITING if reason is None else State.DECLINED,
        reason=reason,
        rate_bps=terms.rate_bps,
        amount_minor=None,
        revenue_minor=None,
        currency=currency,
        earned_at=earned_at(order),
        payable_at=earned_at(order) + terms.waits,
    )


def _refusal(referrer: Referrer | None, terms: Terms) -> Reason | None:
    if referrer is None:
        return Reason.UNKNOWN_CODE
    if referrer.state is not AffiliateState.ACTIVE:
        return Reason.NOT_ACTIVE
    return None if terms.enabled else Reason.PROGRAM_OFF


def fold(commission: Commission, order: OrderCompleted, referrer: Referrer | None, now: datetime) -> Commission:
    """The commission after this version of its order; the same one if a version as high was seen."""
    if order.version <= commission.order_version:
        return commission
    seen = replace(commission, order_version=order.version, base_minor=order.base_remaining_minor)
    if commission.reason in _FINAL:
        return seen
    if referrer is not None and referrer.customer_id in {order.customer_id, order.current_customer_id}:
        return replace(seen, state=State.DECLINED, reason=Reason.OWN_PURCHASE, amount_minor=None, revenue_minor=None)
    if order.currency != commission.currency:
        return replace(seen, state=State.HELD, reason=Reason.NO_RATE, amount_minor=None, revenue_minor=None)
    return replace(
        seen,
        state=commission.state if commission.state in _BUCKET else _reached(commission, now),
        reason=None,
        amount_minor=max(order.base_remaining_minor, 0) * commission.rate_bps // 10_000,
        revenue_minor=order.gross_minor - order.refunded_minor,
    )


def _reached(commission: Commission, now: datetime) -> State:
    return State.PAYABLE if commission.payable_at <= now else State.PENDING


def mature(commission: Commission, now: datetime) -> Commission:
    """The commission once its waiting time is over; the same one before."""
    due = commission.state is State.PENDING and commission.payable_at <= now
    return replace(commission, state=State.PAYABLE) if due else commission


def matured(commission: Commission, now: datetime) -> Posting:
    """What a commission that became payable moves. It must owe something."""
    return _posting(commission, Kind.MATURED, Bucket.PENDING, Bucket.SETTLED, commission.owed_minor, now)


def moved(before: Commission | None, after: Commission, now: datetime) -> Posting | None:
    """What the change moves in the affiliate's journal. Money leaves the bucket it is in."""
    owed_before = 0 if before is None else before.owed_minor
    change = after.owed_minor - owed_before
    if change == 0:
        return None
    bucket = _BUCKET[before.state if before is not None and owed_before else after.state]
    if change > 0:
        posting = _posting(after, Kind.EARNED, Bucket.PROGRAM, bucket, change, now)
    else:
        posting = _posting(after, Kind.REVERSED, bucket, Bucket.PROGRAM, -change, now)
    return replace(posting, order_version=after.order_version)


def _posting(
    commission: Commission, kind: Kind, source: Bucket, target: Bucket, amount_minor: int, now: datetime
) -> Posting:
    return Posting(
        store_id=commission.store_id,
        affiliate_id=commission.affiliate_id or "",
        kind=kind,
        source=source,
        target=target,
        amount_minor=amount_minor,
        at=now,
        commission_id=commission.commission_id,
    )


def sales(changes: Iterable[tuple[Commission | None, Commission]]) -> list[tuple[str, str, int, int]]:
    """What the changes add to links: store, code, sales and revenue, each link once."""
    totals: dict[tuple[str, str], tuple[int, int]] = {}
    for before, after in changes:
        if after.affiliate_id is not None:
            sold, revenue = totals.get((after.store_id, after.code), (0, 0))
            sold += _counts(after) - _counts(before)
            revenue += _revenue(after) - _revenue(before)
            totals[after.store_id, after.code] = sold, revenue
    return [(*link, *added) for link, added in totals.items() if any(added)]


def _counts(commission: Commission | None) -> int:
    return int(commission is not None and commission.state is not State.DECLINED)


def _revenue(commission: Commission | None) -> int:
    return 0 if commission is None else commission.revenue_minor or 0


def announced(before: Commission | None, after: Commission) -> CommissionEarned | None:
    """What is told of the change: the whole amount, where it is another one."""
    if after.affiliate_id is None or after.owed_minor == (0 if before is None else before.owed_minor):
        return None
    return CommissionEarned(
        store_id=after.store_id,
        commission_id=after.commission_id,
        affiliate_id=after.affiliate_id,
        order_id=after.order_id,
        order_version=after.order_version,
        amount_minor=after.owed_minor,
        currency=after.currency,
        rate_bps=after.rate_bps,
        payable_at=after.payable_at,
    )
