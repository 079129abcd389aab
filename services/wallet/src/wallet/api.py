"""What the wallet may be asked over HTTP: a customer's credit, its history, and a change by hand (features W4, W5)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from chassis import problems, stores
from chassis.batches import Queued
from chassis.http import Api, Caller, Command, Conn, Data, Reply, coalesced, policy
from chassis.money import Amount, Major, major
from chassis.pagination import CursorParameter, Limit, Page, only_key, page_of, read_cursor
from chassis.problems import Flaw, Invalid, Problem
from contracts.ids import WalletEntryId
from contracts.wallet import EntryType
from wallet import store_lists
from wallet.ledger import fits
from wallet.postings import Entry, Outcome, Post, Posted, Reason, Refused
from wallet.store import append_batch
from wallet.store_lists import Transaction

_Sequence = TypeAdapter(Annotated[int, Field(ge=0, lt=2**63)])
_EntryId: TypeAdapter[str] = TypeAdapter(WalletEntryId)

router = Api()


class Adjustment(BaseModel):
    """A change by hand: a negative amount takes. ``reason`` is a code of the store's own, ``note`` free text."""

    model_config = ConfigDict(extra="forbid")

    amount: Amount
    type: Literal[EntryType.ADJUSTMENT, EntryType.CREDIT, EntryType.PROMO, EntryType.REFUND, EntryType.DEBIT] = (
        EntryType.ADJUSTMENT
    )
    reason: Annotated[str, Field(pattern="^[a-z0-9_]{1,64}$")] | None = None
    note: Annotated[str, Field(min_length=1, max_length=1000)] | None = None


class CauseReply(BaseModel):
    """What led to a transaction."""

    kind: str
    id: str


class TransactionReply(BaseModel):
    """One line of the wallet's history; ``balance`` is what it left."""

    id: str
    customer_id: str
    sequence: int
    type: str
    amount: Major
    balance: Major
    currency: str
    reason: str | None
    note: str | None
    cause: CauseReply
    created_at: datetime


class WalletReply(BaseModel):
    """A customer's credit: ``held`` of ``balance`` is set aside for orders, ``available`` can be spent."""

    customer_id: str
    currency: str
    balance: Major
    held: Major
    available: Major


class InsufficientCredit(problems.Refused):
    """A deduction takes at most what is available."""

    code = "insufficient_credit"
    title = "The customer has not so much credit available"


class BalanceLimit(problems.Refused):
    """A balance has at most 15 digits."""

    code = "balance_limit"
    title = "The balance would be too large"


class _Asked(NamedTuple):
    customer_id: str
    adjustment: Adjustment


async def _adjust_many(conn: Conn, store_id: str, queued: Sequence[Queued]) -> list[Reply | Problem]:
    currency = await stores.currency(conn, store_id)
    read = [_read(member.value, currency) for member in queued]
    posts = [(post, member) for post, member in zip(read, queued, strict=True) if isinstance(post, Post)]
    outcomes = iter(await append_batch(conn, store_id, [post for post, _ in posts], [member for _, member in posts]))
    return [_reply(post, next(outcomes)) if isinstance(post, Post) else post for post in read]


def _read(asked: _Asked, currency: str) -> Post | Problem:
    adjustment = asked.adjustment
    try:
        minor = adjustment.amount.minor(currency)
    except Problem as problem:
        return problem
    if minor == 0:
        return Invalid(errors=[Flaw(pointer="/amount", code="amount_zero", message="there is nothing to change")])
    if not fits(adjustment.type, minor):
        message = f"a {adjustment.type} {'gives' if minor < 0 else 'takes'}: the amount has the wrong sign"
        return Invalid(errors=[Flaw(pointer="/amount", code="amount_sign", message=message)])
    return Post(asked.customer_id, adjustment.type, minor, currency, reason=adjustment.reason, note=adjustment.note)


def _reply(post: Post, outcome: Outcome) -> Reply | Problem:
    match outcome:
        case Posted(entry):
            return Reply(201, Data(data=_show_entry(entry, post.note)))
        case Refused(Reason.INSUFFICIENT_CREDIT):
            return InsufficientCredit()
        case _:
            return BalanceLimit()


@router.post(
    "/dev/v1/customers/{customer_id}/wallet/adjustments", status_code=201, response_model=Data[TransactionReply]
)
@policy("wallet.write", key="required")
@coalesced(_adjust_many)
async def adjust(customer_id: str, adjustment: Adjustment) -> Command:
    """Add to a customer's credit, or take from it with a minus sign."""
    return Command(_Asked(customer_id, adjustment))


@router.get("/dev/v1/customers/{customer_id}/wallet")
@policy("wallet.read")
async def wallet(customer_id: str, caller: Caller, conn: Conn) -> Data[WalletReply]:
    """A customer's credit."""
    account = await store_lists.account_of(conn, caller.store_id, customer_id)
    currency = account.currency if account else await stores.currency(conn, caller.store_id)
    balance, held = (account.balance_minor, account.held_minor) if account else (0, 0)
    return Data(
        data=WalletReply(
            customer_id=customer_id,
            currency=currency,
            balance=major(balance, currency),
            held=major(held, currency),
            available=major(balance - held, currency),
        )
    )


@router.get("/dev/v1/customers/{customer_id}/wallet/transactions")
@policy("wallet.read")
async def transactions_of_customer(
    customer_id: str, caller: Caller, conn: Conn, limit: Limit = 25, cursor: CursorParameter = None
) -> Page[TransactionReply]:
    """A customer's transactions, newest first."""
    filters = ["customer", customer_id]
    before = only_key(read_cursor(cursor, filters), _Sequence)
    rows = await store_lists.transactions_of_customer(conn, caller.store_id, customer_id, before, limit + 1)
    return page_of(rows, limit, _show, lambda row: [row.sequence], filters)


@router.get("/dev/v1/wallet/transactions")
@policy("wallet.read")
async def transactions_of_store(
    caller: Caller, conn: Conn, limit: Limit = 25, cursor: CursorParameter = None
) -> Page[TransactionReply]:
    """The transactions of all customers, newest first."""
    before = only_key(read_cursor(cursor, ["store"]), _EntryId)
    rows = await store_lists.transactions_of_store(conn, caller.store_id, before, limit + 1)
    return page_of(rows, limit, _show, lambda row: [row.entry_id], ["store"])


def _show(row: Transaction) -> TransactionReply:
    return TransactionReply(
        id=row.entry_id,
        customer_id=row.customer_id,
        sequence=row.sequence,
        type=row.type,
        amount=major(row.amount_minor, row.currency),
        balance=major(row.balance_after_minor, row.currency),
        currency=row.currency,
        reason=row.reason,
        note=row.note,
        cause=CauseReply(kind=row.cause_kind, id=row.cause_id),
        created_at=row.posted_at,
    )


def _show_entry(entry: Entry, note: str | None) -> TransactionReply:
    return _show(
        Transaction(
            entry.entry_id,
            entry.customer_id,
            entry.sequence,
            entry.type,
            entry.signed_minor,
            entry.balance_after_minor,
            entry.currency,
            entry.cause_kind,
            entry.cause_id,
            entry.reason,
            note,
            entry.posted_at,
        )
    )
