"""Holds: credit set aside for an order, then captured or released (design §5 wallet). Pure; amounts in minor units.

A hold's id is minted by carts and names the request: whatever comes twice gets the first answer, and an id that ended
before it was asked for never becomes a hold. A hold remembers its grants; what it releases returns to them.
"""

from datetime import timedelta

from contracts.wallet import EntryType
from wallet.book import Account, Book, Line
from wallet.entries import ORDER, Cause, Part, Side
from wallet.grants import first_of
from wallet.postings import (
    Capture,
    Captured,
    Done,
    Hold,
    HoldStatus,
    Lapse,
    OfHold,
    Outcome,
    Place,
    Placed,
    Posted,
    Reason,
    Refused,
    Release,
    Released,
)

KEPT = timedelta(days=7)  # carts ends its holds itself; this is for those it forgets

_FIRST_ANSWERS = {  # to a capture, which ended the hold
    Reason.UNKNOWN_HOLD.value,
    Reason.ORDER_PAID.value,
    Reason.INSUFFICIENT_CREDIT.value,
}
_TOLD = {Reason.UNKNOWN_HOLD.value, Reason.EXPIRED.value}


def decide(book: Book, asked: OfHold) -> Outcome:
    """What is asked of a hold, and what becomes of it."""
    match asked:
        case Place():
            return _place(book, asked)
        case Capture():
            return _capture(book, asked)
        case Release():
            return _release(book, asked)
        case Lapse():
            return _lapse(book, asked)


def _place(book: Book, asked: Place) -> Outcome:
    """Set the amount aside if it is available."""
    known = book.holds.get(asked.hold_id)
    if known is not None:
        return _answer_again(known)
    account = book.account(asked.customer_id)
    reason = _objection_to_place(account, asked)
    hold = _new(book, asked.hold_id, asked.customer_id, asked.order_id, asked.amount_minor)
    if reason is not None:
        book.keep(hold._replace(status=HoldStatus.REFUSED, reason=reason.value, ended_at=book.at))
        return Refused(reason.value)
    parts = account.grants.choose(asked.amount_minor)
    book.set_aside(account, parts)
    return Placed(book.keep(hold._replace(parts=parts)))


def _objection_to_place(account: Account, asked: Place) -> Reason | None:
    if asked.currency != account.currency:
        return Reason.CURRENCY_MISMATCH
    return Reason.INSUFFICIENT_CREDIT if asked.amount_minor > account.available_minor else None


def _answer_again(hold: Hold) -> Outcome:
    match hold.status:
        case HoldStatus.PLACED | HoldStatus.CAPTURED:
            return Placed(hold)
        case HoldStatus.REFUSED:
            return Refused(str(hold.reason))
        case _:
            return Refused(Reason.HOLD_ENDED.value)


def _capture(book: Book, asked: Capture) -> Outcome:
    """Pay the order with the hold, in one PAYMENT entry. What the order does not need is free again.

    A hold that lapsed pays with what is available; if that is too little, it is over.
    """
    hold = book.holds.get(asked.hold_id)
    if hold is None:
        book.keep(_never_placed(book, asked.hold_id, asked.customer_id))
        return Refused(Reason.UNKNOWN_HOLD.value)
    if hold.status == HoldStatus.CAPTURED:
        return Captured(hold)
    if objection := _objection(hold, asked):
        return Refused(objection)
    account, order = book.account(hold.customer_id), Cause(ORDER, asked.order_id)
    if order in book.answers:  # another hold paid this order: never a second time, and nothing stays aside for it
        _end(book, hold, Reason.ORDER_PAID)
        return Refused(Reason.ORDER_PAID.value)
    if hold.status == HoldStatus.PLACED:
        parts, rest = first_of(hold.parts, asked.amount_minor)
        book.free(account, parts)
    elif asked.amount_minor <= account.available_minor:
        parts, rest = account.grants.choose(asked.amount_minor), ()
    else:
        book.keep(hold._replace(reason=Reason.INSUFFICIENT_CREDIT.value))
        return Refused(Reason.INSUFFICIENT_CREDIT.value)
    line = Line(EntryType.PAYMENT, Side.CUSTOMER, Side.ORDERS, asked.amount_minor, order, parts)
    return _pay(book, account, hold, line, rest)


def _pay(book: Book, account: Account, hold: Hold, line: Line, rest: tuple[Part, ...]) -> Captured:
    entry = book.enter(account, line)
    assert line.cause is not None, "an order"
    book.answers[line.cause] = Posted(entry, account.balance_minor, account.debt_minor, again=True)
    ended = hold._replace(
        status=HoldStatus.CAPTURED,
        captured_minor=line.amount_minor,
        entry_id=entry.entry_id,
        reason=None,
        ended_at=book.at,
    )
    book.keep(ended)
    book.free(account, rest)
    book.settle(account, rest, hold.hold_id)
    return Captured(ended, entry)


def _objection(hold: Hold, asked: Capture) -> str | None:
    if hold.status != HoldStatus.PLACED and hold.reason != Reason.EXPIRED:
        told = hold.status == HoldStatus.RELEASED and hold.reason in _FIRST_ANSWERS
        return str(hold.reason) if told else Reason.HOLD_ENDED.value
    if asked.order_id != hold.order_id:
        return Reason.ORDER_MISMATCH.value
    return Reason.AMOUNT_EXCEEDS_HOLD.value if asked.amount_minor > hold.amount_minor else None


def _release(book: Book, asked: Release) -> Outcome:
    """Make the credit available again. A hold that was captured stays captured, and says so."""
    hold = book.holds.get(asked.hold_id)
    if hold is None:
        hold = book.keep(_never_placed(book, asked.hold_id, asked.customer_id))
    if hold.status == HoldStatus.CAPTURED:
        return Captured(hold)
    if hold.status == HoldStatus.PLACED:
        hold = _end(book, hold, Reason.RELEASED)
    return Released(hold, str(hold.reason) if hold.reason in _TOLD else Reason.RELEASED.value)


def _lapse(book: Book, asked: Lapse) -> Outcome:
    """End a hold whose time is over, unless it has ended since."""
    hold = book.holds[asked.hold_id]
    if hold.status != HoldStatus.PLACED or hold.expires_at > book.at:
        return Done()
    return Released(_end(book, hold, Reason.EXPIRED), Reason.EXPIRED.value)


def _end(book: Book, hold: Hold, reason: Reason) -> Hold:
    ended = book.keep(hold._replace(status=HoldStatus.RELEASED, reason=reason.value, ended_at=book.at))
    if hold.status == HoldStatus.PLACED:
        account = book.account(hold.customer_id)
        book.free(account, hold.parts)
        book.settle(account, hold.parts, hold.hold_id)
    return ended


def _new(book: Book, hold_id: str, customer_id: str, order_id: str | None, amount_minor: int) -> Hold:
    return Hold(
        hold_id,
        customer_id,
        order_id,
        amount_minor,
        HoldStatus.PLACED,
        0,
        None,
        None,
        (),
        book.at,
        book.at + KEPT,
        None,
    )


def _never_placed(book: Book, hold_id: str, customer_id: str) -> Hold:
    hold = _new(book, hold_id, customer_id, None, 0)
    return hold._replace(status=HoldStatus.RELEASED, reason=Reason.UNKNOWN_HOLD.value, ended_at=book.at)
