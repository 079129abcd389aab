"""Holds: credit set aside for an order, then captured or released (design §5 wallet).

A hold's id is minted by carts and names the request: whatever comes twice gets the first answer, and an id that ended
before it was asked for never becomes a hold.
"""

from datetime import datetime

from contracts.wallet import EntryType
from wallet.book import Book
from wallet.postings import (
    ORDER,
    Capture,
    Captured,
    Cause,
    Hold,
    HoldStatus,
    Outcome,
    Place,
    Placed,
    Post,
    Reason,
    Refused,
    Release,
    Released,
)

_FIRST_ANSWERS = {Reason.UNKNOWN_HOLD.value, Reason.ORDER_PAID.value}  # to a capture, which ended the hold


def place(book: Book, asked: Place, at: datetime) -> Outcome:
    """Set the amount aside if it is available."""
    known = book.holds.get(asked.hold_id)
    if known is not None:
        return _answer_again(known)
    account = book.accounts[asked.customer_id]
    hold = Hold(
        asked.hold_id, asked.customer_id, asked.order_id, asked.amount_minor, HoldStatus.PLACED, 0, None, None, at, None
    )
    reason = None
    if asked.currency != account.currency:
        reason = Reason.CURRENCY_MISMATCH
    elif asked.amount_minor > account.available_minor:
        reason = Reason.INSUFFICIENT_CREDIT
    if reason is not None:
        book.keep(hold._replace(status=HoldStatus.REFUSED, reason=reason.value, ended_at=at))
        return Refused(reason.value)
    return Placed(book.keep(hold, held_minor=asked.amount_minor))


def _answer_again(hold: Hold) -> Outcome:
    match hold.status:
        case HoldStatus.PLACED | HoldStatus.CAPTURED:
            return Placed(hold)
        case HoldStatus.REFUSED:
            return Refused(str(hold.reason))
        case _:
            return Refused(Reason.HOLD_ENDED.value)


def capture(book: Book, asked: Capture, entry_id: str, at: datetime) -> Outcome:
    """Pay the order with the hold, in one PAYMENT entry. What the order does not need is free again."""
    hold = book.holds.get(asked.hold_id)
    if hold is None:
        book.keep(_never_placed(asked.hold_id, asked.customer_id, at))
        return Refused(Reason.UNKNOWN_HOLD.value)
    if hold.status == HoldStatus.CAPTURED:
        return Captured(hold)
    objection = _objection(hold, asked)
    if objection is not None:
        return Refused(objection)
    cause = Cause(ORDER, asked.order_id)
    if cause in book.answers:  # another hold paid this order: never a second time, and nothing stays aside for it
        _end(book, hold, Reason.ORDER_PAID, at)
        return Refused(Reason.ORDER_PAID.value)
    currency = book.accounts[hold.customer_id].currency
    paid = Post(hold.customer_id, EntryType.PAYMENT, -asked.amount_minor, currency, cause)
    ended = hold._replace(status=HoldStatus.CAPTURED, captured_minor=asked.amount_minor, entry_id=entry_id, ended_at=at)
    book.keep(ended, held_minor=-hold.amount_minor)
    return Captured(ended, book.enter(paid, entry_id, at))


def _objection(hold: Hold, asked: Capture) -> str | None:
    if hold.status != HoldStatus.PLACED:
        return hold.reason if hold.reason in _FIRST_ANSWERS else Reason.HOLD_ENDED.value
    if asked.order_id != hold.order_id:
        return Reason.ORDER_MISMATCH.value
    return Reason.AMOUNT_EXCEEDS_HOLD.value if asked.amount_minor > hold.amount_minor else None


def release(book: Book, asked: Release, at: datetime) -> Outcome:
    """Make the credit available again. A hold that was captured stays captured, and says so."""
    hold = book.holds.get(asked.hold_id)
    if hold is None:
        hold = book.keep(_never_placed(asked.hold_id, asked.customer_id, at))
    if hold.status == HoldStatus.CAPTURED:
        return Captured(hold)
    if hold.status == HoldStatus.PLACED:
        hold = _end(book, hold, Reason.RELEASED, at)
    return Released(hold, Reason.UNKNOWN_HOLD.value if hold.reason == Reason.UNKNOWN_HOLD else Reason.RELEASED.value)


def _end(book: Book, hold: Hold, reason: Reason, at: datetime) -> Hold:
    ended = hold._replace(status=HoldStatus.RELEASED, reason=reason.value, ended_at=at)
    return book.keep(ended, held_minor=-hold.amount_minor)


def _never_placed(hold_id: str, customer_id: str, at: datetime) -> Hold:
    return Hold(hold_id, customer_id, None, 0, HoldStatus.RELEASED, 0, None, Reason.UNKNOWN_HOLD.value, at, at)
