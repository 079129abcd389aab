"""Gift codes: made in batches, shown once, and redeemed into a customer's credit (features §2.2)."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, NamedTuple

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from chassis import clock, ids, problems, stores
from chassis.batches import Queued
from chassis.http import Api, Caller, Command, Conn, Data, Reply, coalesced, named, policy
from chassis.money import LIMIT, Amount, Major, major
from chassis.pagination import CursorParameter, Limit, Page, only_key, page_of, read_cursor
from chassis.periods import Moment
from chassis.problems import Flaw, Invalid, NotFound, Problem
from contracts.ids import GIFT_BATCH, GIFT_CODE, GiftBatchId, GiftCodeId
from wallet import gift_codes, store_gift_codes, store_terms
from wallet.api.adjustments import PROBLEMS, Code, Note
from wallet.api.shown import TransactionReply, show_posted
from wallet.gift_codes import Attempt, Batch, Flop, Gift, Status
from wallet.postings import Outcome, Post, Posted, Refused
from wallet.store import append_batch
from wallet.store_gift_codes import Failures

router = Api()

_Gift: TypeAdapter[str] = TypeAdapter(GiftCodeId)


class NewBatch(BaseModel):
    """So many codes of one amount. ``reason`` is a code of the store's own, ``note`` free text, for what they become.

    ``redeem_until``: null: for ever. ``credit_expiry_days``: how long what was redeemed can be spent; left out, as long
    as the store's default says now; null: for ever.
    """

    model_config = ConfigDict(extra="forbid")

    count: int = Field(ge=1, le=1000, strict=True)
    amount: Amount
    redeem_until: Moment | None = None
    credit_expiry_days: Annotated[int, Field(ge=1, le=36_500, strict=True)] | None = None
    reason: Code | None = None
    note: Note | None = None


class Redemption(BaseModel):
    """A code as the customer wrote it: upper or lower case, with or without dashes and spaces."""

    model_config = ConfigDict(extra="forbid")

    code: str


class NewCode(BaseModel):
    """A code. It is shown this once: only what it can be recognised by is kept."""

    id: str
    code: str


class BatchReply(BaseModel):
    """A batch with its codes."""

    id: str
    amount: Major
    currency: str
    redeem_until: datetime | None
    credit_expiry_days: int | None
    reason: str | None
    note: str | None
    created_at: datetime
    codes: list[NewCode]


class GiftReply(BaseModel):
    """A code, told by its last four characters, and what became of it."""

    id: str
    batch_id: str
    last4: str
    amount: Major
    currency: str
    redeem_until: datetime | None
    credit_expiry_days: int | None
    status: Status
    redeemed_by: str | None
    redeemed_at: datetime | None
    transaction_id: str | None


class VoidedBatch(BaseModel):
    """How many codes of a batch nobody can redeem any more, and how many somebody has."""

    id: str
    voided: int
    redeemed: int


class GiftCodeInvalid(problems.Refused):
    """Whatever is wrong with a code, the answer is the same: nothing is to be learnt by trying."""

    code = "gift_code_invalid"
    title = "This gift code cannot be redeemed"


class TooManyAttempts(Problem):
    """Ten failed attempts within 15 minutes are enough; until the first of them is forgotten no code is looked at."""

    status = 429
    code = "too_many_attempts"
    title = "Too many attempts; try again later"

    def __init__(self, seconds: int) -> None:
        super().__init__()
        self.headers: Mapping[str, str] = {"retry-after": str(max(seconds, 1))}


@router.post("/dev/v1/wallet/gift-codes", status_code=201)
@policy("wallet.write", key="required")
async def make_codes(asked: NewBatch, caller: Caller, conn: Conn) -> Data[BatchReply]:
    """Make codes. What is told here is told once."""
    now, currency = clock.now(), await stores.currency(conn, caller.store_id)
    amount_minor = asked.amount.positive(currency)
    if amount_minor * asked.count >= LIMIT:
        flaw = Flaw(pointer="/amount", code="amount_range", message="the amount of all together is too large")
        raise Invalid(errors=[flaw])
    if asked.redeem_until is not None and asked.redeem_until <= now:
        flaw = Flaw(pointer="/redeem_until", code="redeem_until_past", message="this is over already")
        raise Invalid(errors=[flaw])
    days = asked.credit_expiry_days
    if "credit_expiry_days" not in asked.model_fields_set:
        days = (await store_terms.terms_of(conn, caller.store_id)).terms.default_expiry_days
    batch_id = ids.new(GIFT_BATCH)
    batch = Batch(
        caller.store_id, batch_id, amount_minor, currency, asked.redeem_until, days, asked.reason, asked.note, now
    )
    codes = {ids.new(GIFT_CODE): gift_codes.write(secrets.randbits(gift_codes.BITS)) for _ in range(asked.count)}
    await store_gift_codes.add_batch(conn, batch, codes)
    return Data(data=_show_batch(batch, [NewCode(id=gift_id, code=its.code) for gift_id, its in codes.items()]))


def _show_batch(batch: Batch, codes: list[NewCode]) -> BatchReply:
    return BatchReply(
        id=batch.batch_id,
        amount=major(batch.amount_minor, batch.currency),
        currency=batch.currency,
        redeem_until=batch.redeem_until,
        credit_expiry_days=batch.credit_expiry_days,
        reason=batch.reason,
        note=batch.note,
        created_at=batch.created_at,
        codes=codes,
    )


@router.get("/dev/v1/wallet/gift-codes")
@policy("wallet.read")
async def codes(
    caller: Caller,
    conn: Conn,
    batch_id: GiftBatchId | None = None,
    status: Status | None = None,
    limit: Limit = 25,
    cursor: CursorParameter = None,
) -> Page[GiftReply]:
    """The store's codes, newest first."""
    filters, now = [batch_id, status], clock.now()
    before = only_key(read_cursor(cursor, filters), _Gift)
    rows = await store_gift_codes.page_of_gifts(conn, caller.store_id, batch_id, status, now, before, limit + 1)
    return page_of(rows, limit, lambda gift: _show(gift, now), lambda gift: [gift.gift_id], filters)


@router.post("/dev/v1/wallet/gift-codes/{gift_id}/void")
@policy("wallet.write")
async def void_code(gift_id: Annotated[str, Path(), named(GIFT_CODE)], caller: Caller, conn: Conn) -> Data[GiftReply]:
    """Let nobody redeem a code any more. One that was redeemed stays so."""
    await store_gift_codes.void(conn, caller.store_id, gift_id)
    gift = await store_gift_codes.gift_of(conn, caller.store_id, gift_id)
    if gift is None:
        raise NotFound("there is no such gift code")
    return Data(data=_show(gift, clock.now()))


@router.post("/dev/v1/wallet/gift-code-batches/{batch_id}/void")
@policy("wallet.write")
async def void_batch(
    batch_id: Annotated[str, Path(), named(GIFT_BATCH)], caller: Caller, conn: Conn
) -> Data[VoidedBatch]:
    """Let nobody redeem a batch's codes any more. Those that were redeemed stay so."""
    now_are = await store_gift_codes.void_batch(conn, caller.store_id, batch_id)
    if not now_are:
        raise NotFound("there is no such batch")
    voided, redeemed = now_are.get(Status.VOID, 0), now_are.get(Status.REDEEMED, 0)
    return Data(data=VoidedBatch(id=batch_id, voided=voided, redeemed=redeemed))


def _show(gift: Gift, now: datetime) -> GiftReply:
    return GiftReply(
        id=gift.gift_id,
        batch_id=gift.batch_id,
        last4=gift.last4,
        amount=major(gift.amount_minor, gift.currency),
        currency=gift.currency,
        redeem_until=gift.redeem_until,
        credit_expiry_days=gift.credit_expiry_days,
        status=gift.status_at(now),
        redeemed_by=gift.redeemed_by,
        redeemed_at=gift.redeemed_at,
        transaction_id=gift.entry_id,
    )


class _Asked(NamedTuple):
    customer_id: str
    code: str


async def _redeem_many(conn: Conn, store_id: str, queued: Sequence[Queued]) -> list[Reply | Problem]:
    """Locks the customers' attempts, the codes, and by ``append_batch`` the accounts."""
    attempts = [Attempt(asked.customer_id, gift_codes.digest_of(asked.code)) for asked, _ in queued]
    failures = await store_gift_codes.lock_failures(conn, store_id, sorted({its.customer_id for its in attempts}))
    digests = [its.digest for its in attempts if its.digest is not None]
    gifts = await store_gift_codes.lock_gifts(conn, store_id, digests) if digests else {}
    times = {customer_id: its.times for customer_id, its in failures.items()}
    read = gift_codes.sort_out(attempts, gifts, times, clock.now())
    posts = [(its, member) for its, member in zip(read, queued, strict=True) if isinstance(its, Post)]
    outcomes = iter(await append_batch(conn, store_id, [post for post, _ in posts], [member for _, member in posts]))
    results = [next(outcomes) if isinstance(its, Post) else its for its in read]
    await _record(conn, store_id, attempts, results)
    return [
        _reply(result, its.note if isinstance(its, Post) else None, failures[attempt.customer_id])
        for attempt, its, result in zip(attempts, read, results, strict=True)
    ]


async def _record(conn: Conn, store_id: str, attempts: Sequence[Attempt], results: Sequence[Outcome | Flop]) -> None:
    entries = [result.entry for result in results if isinstance(result, Posted) and not result.again]
    if entries:
        await store_gift_codes.redeem(conn, store_id, entries)
    failed = [its.customer_id for its, result in zip(attempts, results, strict=True) if _is_invalid(result)]
    if failed:
        await store_gift_codes.count_failures(conn, store_id, failed)


def _is_invalid(result: Outcome | Flop) -> bool:
    """Also of a code that another attempt of the same batch took first."""
    return result is Flop.INVALID or (isinstance(result, Posted) and result.again)


def _reply(result: Outcome | Flop, note: str | None, failures: Failures) -> Reply | Problem:
    if result is Flop.TOO_MANY:
        return TooManyAttempts(failures.seconds)
    if _is_invalid(result):
        return GiftCodeInvalid()
    if isinstance(result, Posted):
        return Reply(201, Data(data=show_posted(result, note)))
    if isinstance(result, Refused):
        return PROBLEMS[result.reason]()
    raise TypeError(f"{type(result).__name__} answers no attempt")


@router.post(
    "/dev/v1/customers/{customer_id}/wallet/gift-codes", status_code=201, response_model=Data[TransactionReply]
)
@policy("wallet.write", key="required")
@coalesced(_redeem_many)
async def redeem(customer_id: str, redemption: Redemption) -> Command:
    """Add what a code is worth to a customer's credit. It is worth it once."""
    return Command(_Asked(customer_id, redemption.code))
