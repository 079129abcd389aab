"""What an order owes the affiliate who brought it (design §5 affiliates; features A3). Pure.

A decision is made once per order: whose it is, at which rate, from when it is payable, or that nothing is owed.
What follows from the order's money is derived anew from its highest version, so neither order nor repetition matters.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from affiliates.attribution import RULE, Attribution, Kind, Outcome, Touch, superseded
from affiliates.program import Deal, RateFrom, Terms
from contracts.carts import OrderCompleted


class State(StrEnum):
    """Where a commission stands. ``WAITING``: decided, and nothing of the order's money seen yet; never stored.

    ``DECLINED``: nothing was ever owed; ``DENIED``: staff took it back, for good.
    """

    WAITING = "waiting"
    DECLINED = "declined"
    DENIED = "denied"
    HELD = "held"
    PENDING = "pending"
    PAYABLE = "payable"


class Reason(StrEnum):
    """Why a commission is declined, denied or held."""

    UNKNOWN_CODE = "unknown_code"
    LINK_INACTIVE = "link_inactive"
    NOT_ACTIVE = "not_active"
    OUTSIDE_WINDOW = "outside_window"
    PROGRAM_OFF = "program_off"
    OWN_PURCHASE = "own_purchase"
    NO_RATE = "no_rate"
    FRAUD = "fraud"
    DUPLICATE = "duplicate"
    TERMS = "terms"
    STAFF = "staff"


class Objection(StrEnum):
    """Why staff cannot hold, release or deny a commission."""

    DENIED = "commission_denied"
    DECLINED = "commission_declined"
    NO_RATE = "no_rate"


_AGAINST = {
    Outcome.UNKNOWN_CODE: Reason.UNKNOWN_CODE,
    Outcome.LINK_INACTIVE: Reason.LINK_INACTIVE,
    Outcome.NOT_ACTIVE: Reason.NOT_ACTIVE,
    Outcome.EXPIRED: Reason.OUTSIDE_WINDOW,
}
_FINAL = {*_AGAINST.values(), Reason.PROGRAM_OFF}


@dataclass(frozen=True, slots=True)
class Referrer:
    """Whom a commission may belong to. ``customer_id`` is the one their customer acts as after merges.

    ``same_people``: who else they are, as customers merged with them, or with who shares an address to be paid at.
    """

    affiliate_id: str
    customer_id: str
    same_people: frozenset[str] = field(default=frozenset())


@dataclass(frozen=True, slots=True)
class Commission:
    """What was decided about an order. ``base_minor`` is in ``order_currency``; ``amount_minor`` in ``currency``.

    ``revenue_minor`` is what the order sold for, less refunds; unknown in another currency. ``customer_id`` bought, and
    acts as ``current_customer_id``. ``turn`` counts the changes. ``cleared_at``: staff released it: no verdict holds it.
    ``held_for``: why it is held, and is held again where it owed nothing in between, until they release it.
    """

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
    rate_from: RateFrom
    amount_minor: int | None
    revenue_minor: int | None
    currency: str
    earned_at: datetime
    payable_at: datetime
    customer_id: str | None
    current_customer_id: str | None
    rule: str
    touches: tuple[Touch, ...]
    turn: int = 0
    cleared_at: datetime | None = None
    held_for: Reason | None = None

    @property
    def key(self) -> tuple[str, str]:
        """The natural key: store and order."""
        return self.store_id, self.order_id

    @property
    def owed_minor(self) -> int:
        """What it adds to the affiliate's buckets."""
        return self.amount_minor or 0

    @property
    def takes_money(self) -> bool:
        """Whether what it owes can be held, released or denied."""
        return self.amount_minor is not None


def earned_at(order: OrderCompleted) -> datetime:
    """The moment whose terms count: when the order was first completed."""
    return order.first_completed_at or order.placed_at


def decide(
    order: OrderCompleted,
    attribution: Attribution,
    referrer: Referrer | None,
    terms: Terms,
    deal: Deal,
    *,
    currency: str,
    commission_id: str,
) -> Commission:
    """What never changes about the commission of an order; ``currency`` is the store's."""
    reason = _AGAINST.get(attribution.decisive.outcome)
    if reason is None and not terms.enabled:
        reason = Reason.PROGRAM_OFF
    return Commission(
        store_id=order.store_id,
        order_id=order.order_id,
        commission_id=commission_id,
        affiliate_id=None if referrer is None else referrer.affiliate_id,
        code=attribution.decisive.code,
        order_version=0,
        order_currency=order.currency,
        base_minor=0,
        state=State.WAITING if reason is None else State.DECLINED,
        reason=reason,
        rate_bps=deal.rate_bps,
        rate_from=deal.rate_from,
        amount_minor=None,
        revenue_minor=None,
        currency=currency,
        earned_at=earned_at(order),
        payable_at=earned_at(order) + deal.waits,
        customer_id=order.customer_id,
        current_customer_id=order.current_customer_id,
        rule=RULE,
        touches=attribution.touches,
    )


def fold(
    commission: Commission, order: OrderCompleted, referrer: Referrer | None, now: datetime, *, suspect: bool = False
) -> Commission:
    """The commission after this version of its order; the same one if a version as high was seen.

    ``suspect``: fraud-block was not content with the order.
    """
    if order.version <= commission.order_version:
        return commission
    seen = replace(
        commission,
        order_version=order.version,
        base_minor=order.base_remaining_minor,
        current_customer_id=order.current_customer_id,
        revenue_minor=order.gross_minor - order.refunded_minor if order.currency == commission.currency else None,
        turn=commission.turn + 1,
    )
    if commission.state is State.DENIED or commission.reason in _FINAL:
        return seen
    if (nothing := _nothing_yet(seen, referrer)) is not None:
        return nothing
    owed = replace(seen, amount_minor=share(seen.base_minor, seen.rate_bps))
    return owed if commission.takes_money else _begun(owed, now, suspect=suspect)


def _nothing_yet(commission: Commission, referrer: Referrer | None) -> Commission | None:
    """The commission where it has no amount: one's own purchase, or another currency."""
    if is_own_purchase(commission, referrer):
        return _own(commission)
    if commission.order_currency != commission.currency:
        return replace(commission, state=State.HELD, reason=Reason.NO_RATE, amount_minor=None)
    return None


def _own(commission: Commission) -> Commission:
    return replace(commission, state=State.DECLINED, reason=Reason.OWN_PURCHASE, amount_minor=None)


def share(base_minor: int, rate_bps: int) -> int:
    """What is owed of a base, rounded down."""
    return max(base_minor, 0) * rate_bps // 10_000


def is_own_purchase(commission: Commission, referrer: Referrer | None) -> bool:
    """Whether the buyer is the referrer: the same customer, one merged with them, or one paid at the same address."""
    buyers = {commission.customer_id, commission.current_customer_id}
    return referrer is not None and not buyers.isdisjoint({referrer.customer_id, *referrer.same_people})


def _begun(commission: Commission, now: datetime, *, suspect: bool) -> Commission:
    """The commission where its money is new to whose it is: held if it was, or there is a verdict; else on its way."""
    held_for = commission.held_for or (Reason.FRAUD if suspect and commission.cleared_at is None else None)
    state = _reached(commission, now) if held_for is None else State.HELD
    return replace(commission, state=state, reason=held_for, held_for=held_for)


def _reached(commission: Commission, now: datetime) -> State:
    return State.PAYABLE if commission.payable_at <= now else State.PENDING


def mature(commission: Commission, referrer: Referrer | None, now: datetime) -> Commission:
    """The commission once its waiting time is over, if it is no own purchase; the same one before."""
    if commission.state is not State.PENDING or commission.payable_at > now:
        return commission
    if is_own_purchase(commission, referrer):
        return decline_own(commission, referrer)
    return replace(commission, state=State.PAYABLE, turn=commission.turn + 1)


def decline_own(commission: Commission, referrer: Referrer | None) -> Commission:
    """The commission by which nothing is owed, since it turned out to be one's own purchase; else the same one."""
    if commission.state in {State.DECLINED, State.DENIED} or not is_own_purchase(commission, referrer):
        return commission
    return replace(_own(commission), turn=commission.turn + 1)


def objection(commission: Commission, denial: Reason | None = None) -> Objection | None:
    """What stands against holding or releasing a commission, or against denying it, where a reason is given."""
    if commission.state is State.DECLINED:
        return Objection.DECLINED
    if commission.state is State.DENIED:
        return None if commission.reason is denial else Objection.DENIED
    return Objection.NO_RATE if denial is None and commission.reason is Reason.NO_RATE else None


def hold(commission: Commission, reason: Reason) -> Commission:
    """The commission kept from its affiliate until staff had a look; the same one if it owes nothing or is held."""
    if commission.state not in {State.PENDING, State.PAYABLE}:
        return commission
    return replace(commission, state=State.HELD, reason=reason, held_for=reason, turn=commission.turn + 1)


def release(commission: Commission, referrer: Referrer | None, now: datetime) -> Commission:
    """A held commission on its way again, for good, if no own purchase; the same if not held, or without an amount."""
    if commission.state is not State.HELD or not commission.takes_money:
        return commission
    if is_own_purchase(commission, referrer):
        return decline_own(commission, referrer)
    free = replace(commission, state=_reached(commission, now), reason=None, held_for=None)
    return replace(free, cleared_at=now, turn=commission.turn + 1)


def deny(commission: Commission, reason: Reason) -> Commission:
    """A commission that staff take back, whatever the order becomes; the same one if nothing was ever owed."""
    if commission.state in {State.DECLINED, State.DENIED}:
        return commission
    return replace(commission, state=State.DENIED, reason=reason, amount_minor=None, turn=commission.turn + 1)


def reattribute(
    commission: Commission, code: str, referrer: Referrer, deal: Deal, now: datetime, *, suspect: bool
) -> Commission:
    """The commission as ``referrer``'s, by a code and a deal of theirs. The touches keep whose it was."""
    touches = Touch(code, Kind.STAFF, now, Outcome.WON), *superseded(commission.touches)
    moved = replace(
        commission,
        affiliate_id=referrer.affiliate_id,
        code=code,
        touches=touches,
        rate_bps=deal.rate_bps,
        rate_from=deal.rate_from,
        payable_at=commission.earned_at + deal.waits,
        turn=commission.turn + 1,
    )
    if (nothing := _nothing_yet(moved, referrer)) is not None:
        return nothing
    owed = replace(moved, amount_minor=share(commission.base_minor, deal.rate_bps))
    return _begun(owed, now, suspect=suspect and not commission.takes_money)
