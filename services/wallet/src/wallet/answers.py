"""What the world is told of a posting and what it came to. Asked again, the answer is told again."""

from uuid import UUID

from contracts import wallet as told
from contracts.event import Event
from wallet.postings import Capture, Captured, Entry, Outcome, Place, Placed, Post, Posted, Posting, Refused, Released


def events(store_id: str, epoch: UUID, posting: Posting, outcome: Outcome) -> list[Event]:
    """The events of an outcome, in the order in which they happened."""
    match outcome:
        case Posted(entry):
            return [_posted(store_id, epoch, entry)]
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
        case Captured():
            return _captured(store_id, epoch, outcome)
        case Released(hold, reason):
            return [
                told.HoldReleased(store_id=store_id, hold_id=hold.hold_id, customer_id=hold.customer_id, reason=reason)
            ]


def _posted(store_id: str, epoch: UUID, entry: Entry) -> Event:
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
        posted_at=entry.posted_at,
    )


def _captured(store_id: str, epoch: UUID, outcome: Captured) -> list[Event]:
    hold, entry = outcome
    captured = told.Captured.model_validate(
        {
            "store_id": store_id,
            "hold_id": hold.hold_id,
            "customer_id": hold.customer_id,
            "order_id": hold.order_id,
            "entry_id": hold.entry_id,
            "amount_minor": hold.captured_minor,
        }
    )
    return [captured] if entry is None else [_posted(store_id, epoch, entry), captured]


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
        case Post(cause=cause) if cause is not None:
            asked = told.Cause(kind=cause.kind, id=cause.id)
            return [told.CreditRefused(store_id=store_id, customer_id=customer_id, cause=asked, reason=reason)]
        case _:
            return []  # an adjustment: whoever asked is told over HTTP
