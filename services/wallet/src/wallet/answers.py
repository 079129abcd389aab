"""What the world is told of a posting and what it came to. Asked again, the answer is told again."""

from collections.abc import Sequence
from uuid import UUID

from contracts import wallet as told
from contracts.event import Event
from wallet.entries import CLAIM, GIFT_CODE, Entry
from wallet.postings import (
    Capture,
    Captured,
    Done,
    Hold,
    Outcome,
    Place,
    Placed,
    Post,
    Posted,
    Posting,
    Refused,
    Released,
)


def events(store_id: str, epoch: UUID, posting: Posting, outcome: Outcome, entries: Sequence[Entry]) -> list[Event]:
    """The events of an outcome: the entries that it wrote, in their order, then what the asker waits for."""
    if isinstance(outcome, Posted) and outcome.again:
        if outcome.entry.cause_kind == GIFT_CODE:
            return []  # whoever asked is told over HTTP
        return [_posted(store_id, epoch, outcome.entry, outcome.balance_minor)]
    balance = outcome.balance_minor if isinstance(outcome, Posted) else None
    asked = outcome.entry if isinstance(outcome, Posted) else None
    posted = [_posted(store_id, epoch, entry, balance if entry is asked else None) for entry in entries]
    return [*posted, *_answer(store_id, posting, outcome)]


def _posted(store_id: str, epoch: UUID, entry: Entry, settled_minor: int | None) -> Event:
    return told.WalletPosted(
        store_id=store_id,
        entry_id=entry.entry_id,
        customer_id=entry.customer_id,
        epoch=epoch,
        sequence=entry.sequence,
        type=told.EntryType(entry.type),
        amount_minor=entry.signed_minor,
        balance_after_minor=entry.balance_after_minor,
        currency=entry.currency,
        cause=told.Cause(kind=entry.cause_kind, id=entry.cause_id),
        expires_at=entry.expires_at,
        posted_at=entry.posted_at,
        on_debt=entry.on_debt or None,
        debt_after_minor=entry.debt_after_minor or None,
        settled_balance_minor=settled_minor if settled_minor != entry.balance_after_minor else None,
    )


def _answer(store_id: str, posting: Posting, outcome: Outcome) -> list[Event]:
    match outcome:
        case Refused(reason):
            return _refused(store_id, posting, reason)
        case Placed(hold):
            return [
                told.HoldPlaced(
                    store_id=store_id,
                    hold_id=hold.hold_id,
                    customer_id=hold.customer_id,
                    amount_minor=hold.amount_minor,
                )
            ]
        case Captured(hold):
            return [_captured(store_id, hold)]
        case Released(hold, reason):
            return [
                told.HoldReleased(store_id=store_id, hold_id=hold.hold_id, customer_id=hold.customer_id, reason=reason)
            ]
        case Posted() | Done():
            return []


def _captured(store_id: str, hold: Hold) -> Event:
    return told.Captured.model_validate(
        {
            "store_id": store_id,
            "hold_id": hold.hold_id,
            "customer_id": hold.customer_id,
            "order_id": hold.order_id,
            "entry_id": hold.entry_id,
            "amount_minor": hold.captured_minor,
        }
    )


def _refused(store_id: str, posting: Posting, reason: str) -> list[Event]:
    customer_id = posting.customer_id
    match posting:
        case Place(hold_id):
            return [told.HoldRefused(store_id=store_id, hold_id=hold_id, customer_id=customer_id, reason=reason)]
        case Capture(hold_id, _, order_id):
            return [
                told.CaptureRefused(
                    store_id=store_id, hold_id=hold_id, customer_id=customer_id, order_id=order_id, reason=reason
                )
            ]
        case Post(cause=cause) if cause is not None and cause.kind == CLAIM:
            asked = told.Cause(kind=cause.kind, id=cause.id)
            return [told.CreditRefused(store_id=store_id, customer_id=customer_id, cause=asked, reason=reason)]
        case _:
            return []  # whoever asked is told over HTTP
