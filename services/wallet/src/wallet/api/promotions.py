"""Giving credit to many customers at once: the list is taken in whole, the credit follows (features §2.2)."""

import re
from datetime import datetime
from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, ConfigDict, FailFast, Field, TypeAdapter

from chassis import clock, ids, stores
from chassis.http import Api, Caller, Conn, Data, named, policy
from chassis.money import LIMIT, Amount, Major, major
from chassis.pagination import CursorParameter, Limit, Page, only_key, page_of, read_cursor
from chassis.periods import Moment
from chassis.problems import Flaw, Invalid, NotFound
from contracts.ids import CUSTOMER, PROMOTION, SUFFIX, CustomerId, PromotionId
from wallet import store_promotions, store_terms
from wallet.api.adjustments import Code, Note
from wallet.api.shown import OVER
from wallet.promotions import Promotion, Recipient, RecipientStatus, Status

router = Api()

_LARGEST_BODY = 4_000_000  # 100,000 ids, each on a line of its own; the gateway takes no more
_FLAWS_NAMED = 5

_CUSTOMER_ID = re.compile(f"{CUSTOMER}_{SUFFIX}")
_Promotion: TypeAdapter[str] = TypeAdapter(PromotionId)
_Customer: TypeAdapter[str] = TypeAdapter(CustomerId)


class NewPromotion(BaseModel):
    """The same credit for each of these customers, once. ``reason`` is a code of the store's own, ``note`` free text.

    ``expires_at``: left out, the store's default counts from now; null: never. ``notify``: mail the customers.
    """

    model_config = ConfigDict(extra="forbid")

    amount: Amount
    reason: Code | None = None
    note: Note | None = None
    expires_at: Moment | None = None
    notify: bool = False
    customer_ids: Annotated[list[str], FailFast(), Field(min_length=1, max_length=100_000)]


class PromotionReply(BaseModel):
    """A promotion and how far it has come: ``granted`` and ``refused`` of ``total`` are done.

    ``clipped`` of ``granted`` got less than ``amount``, since the store caps balances.
    """

    id: str
    status: Status
    amount: Major
    currency: str
    reason: str | None
    note: str | None
    expires_at: datetime | None = Field(description="When what is left of this credit is gone; null: never")
    notify: bool
    total: int = Field(description="Customers on the list, each counted once")
    granted: int
    clipped: int
    refused: dict[str, int] = Field(description="How many got nothing, by reason")
    granted_amount: Major
    created_at: datetime
    finished_at: datetime | None


class RecipientReply(BaseModel):
    """One on a promotion's list; ``reason`` says why they got nothing."""

    customer_id: str
    status: RecipientStatus
    reason: str | None
    transaction_id: str | None


def _flaws(asked: NewPromotion, amount_minor: int, customer_ids: set[str], now: datetime) -> list[Flaw]:
    if amount_minor * len(customer_ids) >= LIMIT:
        return [Flaw(pointer="/amount", code="amount_range", message="the amount of all together is too large")]
    if asked.expires_at is not None and asked.expires_at <= now:
        return [OVER]
    if all(map(_CUSTOMER_ID.fullmatch, customer_ids)):
        return []
    wrong = [i for i, customer_id in enumerate(asked.customer_ids) if not _CUSTOMER_ID.fullmatch(customer_id)]
    return [
        Flaw(pointer=f"/customer_ids/{i}", code="customer_id_format", message="this is no customer's id")
        for i in wrong[:_FLAWS_NAMED]
    ]


@router.post("/dev/v1/wallet/promotions", status_code=201)
@policy("wallet.write", key="required", max_body=_LARGEST_BODY)
async def start_promotion(asked: NewPromotion, caller: Caller, conn: Conn) -> Data[PromotionReply]:
    """Give many customers the same credit. They get it one after the other, soon after this."""
    store_id, now = caller.store_id, clock.now()
    currency = await stores.currency(conn, store_id)
    amount_minor, customer_ids = asked.amount.positive(currency), set(asked.customer_ids)
    if flaws := _flaws(asked, amount_minor, customer_ids, now):
        raise Invalid(errors=flaws)
    expires_at = asked.expires_at
    if "expires_at" not in asked.model_fields_set:
        expires_at = (await store_terms.terms_of(conn, store_id)).terms.expiry(now)
    promotion = Promotion(
        store_id,
        ids.new(PROMOTION),
        amount_minor,
        currency,
        asked.reason,
        asked.note,
        expires_at,
        asked.notify,
        Status.RUNNING,
        len(customer_ids),
        now,
    )
    await store_promotions.add(conn, promotion, sorted(customer_ids))
    return Data(data=_show(promotion))


Named = Annotated[str, Path(), named(PROMOTION)]


@router.get("/dev/v1/wallet/promotions")
@policy("wallet.read")
async def promotions(
    caller: Caller, conn: Conn, limit: Limit = 25, cursor: CursorParameter = None
) -> Page[PromotionReply]:
    """The store's promotions, newest first."""
    before = only_key(read_cursor(cursor), _Promotion)
    rows = await store_promotions.page_of_promotions(conn, caller.store_id, before, limit + 1)
    return page_of(rows, limit, _show, lambda row: [row.promotion_id])


@router.get("/dev/v1/wallet/promotions/{promotion_id}")
@policy("wallet.read")
async def promotion(promotion_id: Named, caller: Caller, conn: Conn) -> Data[PromotionReply]:
    """A promotion and how far it has come."""
    return Data(data=_show(await _of(conn, caller.store_id, promotion_id)))


@router.get("/dev/v1/wallet/promotions/{promotion_id}/recipients")
@policy("wallet.read")
async def recipients(
    promotion_id: Named,
    caller: Caller,
    conn: Conn,
    status: RecipientStatus | None = None,
    limit: Limit = 25,
    cursor: CursorParameter = None,
) -> Page[RecipientReply]:
    """Who is on a promotion's list, and what became of them."""
    filters = [status]
    after = only_key(read_cursor(cursor, filters), _Customer)
    await _of(conn, caller.store_id, promotion_id)
    rows = await store_promotions.page_of_recipients(conn, caller.store_id, promotion_id, status, after, limit + 1)
    return page_of(rows, limit, _show_recipient, lambda row: [row.customer_id], filters)


@router.post("/dev/v1/wallet/promotions/{promotion_id}/cancel")
@policy("wallet.write")
async def cancel_promotion(promotion_id: Named, caller: Caller, conn: Conn) -> Data[PromotionReply]:
    """Stop what of a promotion is not done yet. Who has got it keeps it."""
    await store_promotions.cancel(conn, caller.store_id, promotion_id, clock.now())
    return Data(data=_show(await _of(conn, caller.store_id, promotion_id)))


async def _of(conn: Conn, store_id: str, promotion_id: str) -> Promotion:
    found = await store_promotions.promotion_of(conn, store_id, promotion_id)
    if found is None:
        raise NotFound("there is no such promotion")
    return found


def _show(its: Promotion) -> PromotionReply:
    return PromotionReply(
        id=its.promotion_id,
        status=Status(its.status),
        amount=major(its.amount_minor, its.currency),
        currency=its.currency,
        reason=its.reason,
        note=its.note,
        expires_at=its.expires_at,
        notify=its.notify,
        total=its.total,
        granted=its.granted,
        clipped=its.clipped,
        refused=dict(its.refused or {}),
        granted_amount=major(its.granted_minor, its.currency),
        created_at=its.created_at,
        finished_at=its.finished_at,
    )


def _show_recipient(its: Recipient) -> RecipientReply:
    return RecipientReply(
        customer_id=its.customer_id,
        status=RecipientStatus(its.status),
        reason=its.reason,
        transaction_id=its.entry_id,
    )
