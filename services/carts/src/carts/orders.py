"""The life of an order: what was heard about it, and the one function that decides what follows.

Events only note a fact on the order (``identified``, ``screened``, ``hold_placed``, …); ``advance`` derives status,
version and what has to be asked and announced from the facts. Both are pure, so repeats and any order of arrival end
in the same place. A fact that does not fit (a repeat, an answer that came too late) leaves the order as it is.

PLACED: accepted from the buyer, waits for its customer, its screening, its hold. UNDER_REVIEW: screening wants a
human. AWAITING_PAYMENT: announced; something is due, or the wallet is asked to capture. COMPLETED: every part is
paid, the wallet's PAYMENT entry included. CANCELLED: refused; the hold is released and the cart is free again.

A refused capture makes the credit's part due again: the order stays AWAITING_PAYMENT, whether the provider has paid
its part or not, and the buyer pays the rest with another session. (Refunding the provider's part is a later issue.)
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from contracts.carts import OrderStatus, Touch
from contracts.fraud import Decision


class Screening(StrEnum):
    """What fraud-block was asked and said."""

    NEEDED = "needed"
    ASKED = "asked"
    ALLOW = "allow"
    BLOCK = "block"
    REVIEW = "review"


class Credit(StrEnum):
    """Where the hold of an order stands. ``UNCAPTURED``: the wallet refused the capture, the credit pays nothing."""

    NONE = "none"
    NEEDED = "needed"
    ASKED = "asked"
    HELD = "held"
    REFUSED = "refused"
    CAPTURING = "capturing"
    CAPTURED = "captured"
    UNCAPTURED = "uncaptured"
    RELEASING = "releasing"
    RELEASED = "released"


class Refusal(StrEnum):
    """Why an order was cancelled; the ``code`` the buyer sees."""

    NOT_WELCOME = "order_refused"
    INSUFFICIENT_CREDIT = "insufficient_credit"


class Do(StrEnum):
    """What a decision asks the service to do."""

    ASK_SCREENING = "ask screening"
    ASK_HOLD = "ask hold"
    ASK_CAPTURE = "ask capture"
    ASK_RELEASE = "ask release"
    ANNOUNCE_PLACED = "announce placed"
    ANNOUNCE_COMPLETED = "announce completed"
    ANNOUNCE_CANCELLED = "announce cancelled"
    NUMBER_INVOICE = "number invoice"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class OrderLine:
    """One product of an order, frozen at checkout."""

    product_id: str
    sku: str
    name: str
    quantity: int
    unit_minor: int

    @property
    def amount_minor(self) -> int:
        """Quantity times unit price."""
        return self.quantity * self.unit_minor


@dataclass(frozen=True, slots=True)
class Order:
    """An order and all that is known of it. ``paid_minor`` is what the provider took; ``answered``: who checked out was told."""

    store_id: str
    order_id: str
    cart_id: str
    invoice_id: str
    number: str
    currency: str
    lines: tuple[OrderLine, ...]
    gross_minor: int
    screening_id: str
    hold_id: str
    placed_at: datetime
    asked_credit_minor: int = 0
    paid_minor: int = 0
    status: OrderStatus = OrderStatus.PLACED
    refusal: Refusal | None = None
    version: int = 0
    customer_id: str | None = None
    affiliate_code: str | None = None
    touches: tuple[Touch, ...] = ()
    gateway: str | None = None
    email: str | None = None
    client_ip: str | None = None
    screening: Screening = Screening.NEEDED
    credit: Credit = Credit.NONE
    answered: bool = False
    first_completed_at: datetime | None = None
    invoice_number: int | None = None

    @property
    def credit_minor(self) -> int:
        """What the wallet pays, or is to pay."""
        return 0 if self.credit is Credit.UNCAPTURED else self.asked_credit_minor

    @property
    def due_minor(self) -> int:
        """What is left for a payment provider."""
        return self.gross_minor - self.credit_minor - self.paid_minor

    @property
    def payable(self) -> bool:
        """Whether a payment session may pay what is due."""
        return self.status is OrderStatus.AWAITING_PAYMENT and self.due_minor > 0

    @property
    def settled(self) -> bool:
        """Whether the buyer's next step is known: pay, read the outcome, or come back after the review."""
        return self.payable or self.status not in {OrderStatus.PLACED, OrderStatus.AWAITING_PAYMENT}


class Step(NamedTuple):
    """Something to do, with the order as it was when that was decided."""

    do: Do
    order: Order


class Decisions(NamedTuple):
    """Where an order stands now, and what has to be done for it, in order."""

    order: Order
    steps: tuple[Step, ...]


def identified(order: Order, customer_id: str) -> Order:
    """The customers service said whose order it is. Never changes again."""
    return order if order.customer_id is not None else replace(order, customer_id=customer_id)


def screened(order: Order, decision: Decision) -> Order:
    """fraud-block decided. A review may still be decided; allow and block are final."""
    open_to_it = order.screening in {Screening.ASKED, Screening.REVIEW}
    return replace(order, screening=Screening(decision.value)) if open_to_it else order


def hold_placed(order: Order) -> Order:
    """The wallet set the credit aside."""
    return _credit(order, Credit.ASKED, Credit.HELD)


def hold_refused(order: Order) -> Order:
    """The wallet has not so much credit for this customer."""
    return _credit(order, Credit.ASKED, Credit.REFUSED)


def hold_released(order: Order) -> Order:
    """The hold of a cancelled order ended. One that merely lapsed changes nothing: its capture may still succeed."""
    return _credit(order, Credit.RELEASING, Credit.RELEASED)


def captured(order: Order) -> Order:
    """The credit paid its part."""
    return _credit(order, Credit.CAPTURING, Credit.CAPTURED)


def capture_refused(order: Order) -> Order:
    """The credit is gone; its part is due again."""
    return _credit(order, Credit.CAPTURING, Credit.UNCAPTURED)


def paid(order: Order, amount_minor: int, gateway: str) -> Order:
    """A provider took ``amount_minor``; the caller has made sure that the order is payable and this much is due."""
    return replace(order, paid_minor=order.paid_minor + amount_minor, gateway=gateway)


def _credit(order: Order, before: Credit, after: Credit) -> Order:
    return replace(order, credit=after) if order.credit is before else order


def advance(order: Order, now: datetime) -> Decisions:
    """Decide all that follows from what is known. Nothing does before the customer is known."""
    if order.customer_id is None:
        return Decisions(order, ())
    steps: list[Step] = []
    after = order
    for rule in (_refuse, _screen, _hold, _review, _accept, _capture, _complete):
        after, todo = rule(after, now)
        steps += [Step(do, after) for do in todo]
    if after.settled and not after.answered:
        after = replace(after, answered=True)
        steps.append(Step(Do.ANSWER, after))
    return Decisions(after, tuple(steps))


_Outcome = tuple[Order, tuple[Do, ...]]
_UNDECIDED = {OrderStatus.PLACED, OrderStatus.UNDER_REVIEW}


def _refuse(order: Order, _now: datetime) -> _Outcome:
    if order.status not in _UNDECIDED:
        return order, ()
    if order.screening is Screening.BLOCK:
        refusal = Refusal.NOT_WELCOME
    elif order.credit is Credit.REFUSED:
        refusal = Refusal.INSUFFICIENT_CREDIT
    else:
        return order, ()
    cancelled = replace(order, status=OrderStatus.CANCELLED, refusal=refusal, version=order.version + 1)
    if order.credit in {Credit.ASKED, Credit.HELD}:
        return replace(cancelled, credit=Credit.RELEASING), (Do.ASK_RELEASE, Do.ANNOUNCE_CANCELLED)
    return cancelled, (Do.ANNOUNCE_CANCELLED,)


def _screen(order: Order, _now: datetime) -> _Outcome:
    if order.screening is not Screening.NEEDED:
        return order, ()
    return replace(order, screening=Screening.ASKED), (Do.ASK_SCREENING,)


def _hold(order: Order, _now: datetime) -> _Outcome:
    if order.credit is not Credit.NEEDED:
        return order, ()
    return replace(order, credit=Credit.ASKED), (Do.ASK_HOLD,)


def _review(order: Order, _now: datetime) -> _Outcome:
    if order.status is OrderStatus.PLACED and order.screening is Screening.REVIEW:
        return replace(order, status=OrderStatus.UNDER_REVIEW), ()
    return order, ()


def _accept(order: Order, _now: datetime) -> _Outcome:
    covered = order.credit in {Credit.NONE, Credit.HELD}
    if order.status in _UNDECIDED and order.screening is Screening.ALLOW and covered:
        accepted = replace(order, status=OrderStatus.AWAITING_PAYMENT, version=order.version + 1)
        return accepted, (Do.ANNOUNCE_PLACED,)
    return order, ()


def _capture(order: Order, _now: datetime) -> _Outcome:
    if order.status is OrderStatus.AWAITING_PAYMENT and order.due_minor == 0 and order.credit is Credit.HELD:
        return replace(order, credit=Credit.CAPTURING), (Do.ASK_CAPTURE,)
    return order, ()


def _complete(order: Order, now: datetime) -> _Outcome:
    ended = order.credit in {Credit.NONE, Credit.CAPTURED, Credit.UNCAPTURED}
    if order.status is not OrderStatus.AWAITING_PAYMENT or order.due_minor != 0 or not ended:
        return order, ()
    by_wallet = "wallet" if order.credit is Credit.CAPTURED else None
    completed = replace(
        order,
        status=OrderStatus.COMPLETED,
        version=order.version + 1,
        first_completed_at=now,
        gateway=order.gateway or by_wallet,
    )
    return completed, (Do.NUMBER_INVOICE, Do.ANNOUNCE_COMPLETED)
