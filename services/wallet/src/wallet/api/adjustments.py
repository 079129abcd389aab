"""Changing a customer's credit by hand: an adjustment, and undoing an entry (features W4)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from chassis import clock, known_customers, problems, stores
from chassis.batches import Queued
from chassis.http import Api, Command, Conn, Data, Reply, coalesced, policy
from chassis.money import Amount
from chassis.periods import Moment
from chassis.problems import Flaw, Invalid, NotFound, Problem
from contracts.wallet import EntryType
from wallet import mails, store_lists
from wallet.api.shown import OVER, TransactionReply, show_posted
from wallet.ledger import fits
from wallet.postings import Expiry, Outcome, Post, Posted, Posting, Reason, Refused, Reverse
from wallet.store import append_batch

router = Api()

Code = Annotated[str, Field(pattern="^[a-z0-9_]{1,64}$")]
Note = Annotated[str, Field(min_length=1, max_length=1000)]


class Adjustment(BaseModel):
    """A change by hand: a negative amount takes. ``reason`` is a code of the store's own, ``note`` free text.

    ``expires_at``: left out, the store's default counts; null: never. ``notify``: mail the customer.
    """

    model_config = ConfigDict(extra="forbid")

    amount: Amount
    type: Literal["ADJUSTMENT", "CREDIT", "PROMO", "REFUND", "DEBIT"] = "ADJUSTMENT"
    reason: Code | None = None
    note: Note | None = None
    expires_at: Moment | None = None
    notify: StrictBool = False

    @property
    def expiry(self) -> datetime | Expiry:
        """When the credit expires."""
        if self.expires_at is None:
            return Expiry.NEVER if "expires_at" in self.model_fields_set else Expiry.DEFAULT
        return self.expires_at


class Reversal(BaseModel):
    """Why an entry is undone. ``notify``: mail the customer."""

    model_config = ConfigDict(extra="forbid")

    reason: Code | None = None
    note: Note | None = None
    notify: StrictBool = False


class InsufficientCredit(problems.Refused):
    """A deduction takes at most what is available."""

    code = "insufficient_credit"
    title = "The customer has not so much credit available"


class BalanceLimit(problems.Refused):
    """A balance has at most 15 digits."""

    code = "balance_limit"
    title = "The balance would be too large"


class BalanceCap(problems.Refused):
    """The store caps what a customer may have."""

    code = "balance_cap"
    title = "The balance would be above the store's cap"


class RefundsAsCreditOff(problems.Refused):
    """The store gives no refunds as credit."""

    code = "refunds_as_credit_off"
    title = "This store does not refund as credit"


class AlreadyReversed(problems.Refused):
    """An entry is reversed once."""

    code = "already_reversed"
    title = "This transaction was reversed before"


class NotReversible(problems.Refused):
    """What an order, a claim or an expiry did is not undone by hand: their service, or a new adjustment, does it."""

    code = "not_reversible"
    title = "A transaction of this kind cannot be reversed"


class NothingLeft(problems.Refused):
    """Credit that expired whole is gone: there is nothing to take back."""

    code = "nothing_left"
    title = "This credit has expired"


PROBLEMS: dict[str, type[problems.Refused]] = {
    Reason.INSUFFICIENT_CREDIT: InsufficientCredit,
    Reason.BALANCE_CAP: BalanceCap,
    Reason.BALANCE_LIMIT: BalanceLimit,
    Reason.REFUNDS_AS_CREDIT_OFF: RefundsAsCreditOff,
    Reason.ALREADY_REVERSED: AlreadyReversed,
    Reason.NOTHING_LEFT: NothingLeft,
    Reason.NOT_REVERSIBLE: NotReversible,
}


class _Asked(NamedTuple):
    customer_id: str
    adjustment: Adjustment


async def _adjust_many(conn: Conn, store_id: str, queued: Sequence[Queued]) -> list[Reply | Problem]:
    currency = await stores.currency(conn, store_id)
    now = clock.now()
    read = [_read(member.value, currency, now) for member in queued]
    return await _post_many(conn, store_id, queued, read, [member.value.adjustment.notify for member in queued])


async def _post_many(
    conn: Conn, store_id: str, queued: Sequence[Queued], read: Sequence[Posting | Problem], notify: Sequence[bool]
) -> list[Reply | Problem]:
    """Post what is well, each with its reply; a problem stays what it is."""
    postings = [(its, member) for its, member in zip(read, queued, strict=True) if not isinstance(its, Problem)]
    outcomes = iter(await append_batch(conn, store_id, [p for p, _ in postings], [m for _, m in postings]))
    replies: list[Reply | Problem] = []
    for posting, member, tell in zip(read, queued, notify, strict=True):
        if isinstance(posting, Problem):
            replies.append(posting)
            continue
        outcome = next(outcomes)
        replies.append(_reply(posting, outcome))
        if tell and isinstance(outcome, Posted):
            mails.changed(conn, store_id, outcome, because=member)
    return replies


def _read(asked: _Asked, currency: str, now: datetime) -> Post | Problem:
    adjustment, kind = asked.adjustment, EntryType(asked.adjustment.type)
    try:
        minor = adjustment.amount.minor(currency)
    except Problem as problem:
        return problem
    if flaw := _flaw(adjustment, minor, now):
        return Invalid(errors=[flaw])
    return Post(
        asked.customer_id,
        kind,
        minor,
        currency,
        reason=adjustment.reason,
        note=adjustment.note,
        expires_at=adjustment.expiry,
    )


def _flaw(adjustment: Adjustment, minor: int, now: datetime) -> Flaw | None:
    if minor == 0:
        return Flaw(pointer="/amount", code="amount_zero", message="there is nothing to change")
    if not fits(EntryType(adjustment.type), minor):
        message = f"a {adjustment.type} {'gives' if minor < 0 else 'takes'}: the amount has the wrong sign"
        return Flaw(pointer="/amount", code="amount_sign", message=message)
    if adjustment.expires_at is None:
        return None
    if minor < 0:
        return Flaw(pointer="/expires_at", code="expires_at_unused", message="what takes credit does not expire")
    if adjustment.expires_at <= now:
        return OVER
    return None


def _reply(posting: Posting, outcome: Outcome) -> Reply | Problem:
    if isinstance(outcome, Posted) and isinstance(posting, Post | Reverse):
        return Reply(201, Data(data=show_posted(outcome, posting.note)))
    if isinstance(outcome, Refused):
        if outcome.reason == Reason.EXPIRES_AT_PAST:
            return Invalid(errors=[OVER])
        return PROBLEMS[outcome.reason]()
    raise TypeError(f"{type(outcome).__name__} answers no adjustment")


@router.post(
    "/dev/v1/customers/{customer_id}/wallet/adjustments", status_code=201, response_model=Data[TransactionReply]
)
@policy("wallet.write", key="required")
@coalesced(_adjust_many)
async def adjust(customer_id: str, adjustment: Adjustment) -> Command:
    """Add to a customer's credit, or take from it with a minus sign."""
    return Command(_Asked(customer_id, adjustment))


class _Undone(NamedTuple):
    entry_id: str
    reversal: Reversal


async def _reverse_many(conn: Conn, store_id: str, queued: Sequence[Queued]) -> list[Reply | Problem]:
    undone: list[_Undone] = [member.value for member in queued]
    origins = await store_lists.entries(conn, store_id, sorted({asked.entry_id for asked in undone}))
    pairs = {origin.entry_id: (store_id, origin.customer_id) for origin in origins.values()}
    known = await known_customers.acting(conn, pairs.values())
    read: list[Posting | Problem] = []
    for entry_id, reversal in undone:
        if entry_id not in origins or ((its := known.get(pairs[entry_id])) is not None and its.erased):
            read.append(NotFound("there is no such transaction"))
        else:
            read.append(Reverse(origins[entry_id], reversal.reason, reversal.note))
    return await _post_many(conn, store_id, queued, read, [asked.reversal.notify for asked in undone])


@router.post("/dev/v1/wallet/transactions/{entry_id}/reversal", status_code=201, response_model=Data[TransactionReply])
@policy("wallet.write", key="required")
@coalesced(_reverse_many)
async def reverse(entry_id: str, reversal: Reversal) -> Command:
    """Undo a transaction by a new one that names it: what it gave is taken, by debt where it is spent."""
    return Command(_Undone(entry_id, reversal))
