"""Commissions as affiliates see them (features A4, A8), and one as staff do: how it came about, and what became of it."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Path
from pydantic import BaseModel

from affiliates import store_commissions, store_lists, store_statements
from affiliates.api.movements import MovementReply, show_movement
from affiliates.api.places import before_commission, commission_keys
from affiliates.api.shown import CommissionReply, affiliate_of, show_commission
from affiliates.commissions import Commission, State
from affiliates.enrolment import Affiliate
from affiliates.store_lists import SeenCommission
from chassis.http import Api, Caller, Conn, Data, named, policy
from chassis.money import Major, major
from chassis.pagination import CursorParameter, Limit, Page, page_of
from chassis.problems import NotFound
from contracts.ids import COMMISSION

router = Api()

CommissionNamed = Annotated[str, Path(), named(COMMISSION)]


class TouchReply(BaseModel):
    """A code that an order came with, by the ``order`` itself, a ``click`` or ``staff``, and what became of it."""

    code: str
    kind: str
    at: datetime | None
    outcome: str


class CommissionInFull(CommissionReply):
    """A commission, what it was decided by under which ``rule``, and what moved its money since, oldest first."""

    rule: str
    touches: list[TouchReply]
    history: list[MovementReply]


class StaffCommissionReply(CommissionReply):
    """A commission as staff see it. ``customer_id`` is the affiliate's, ``buyer_id`` who bought, as they act now.

    ``base`` is what the share is of, ``revenue`` what the order sold for, less refunds; null in another currency.
    ``verdict`` is fraud-block's where it was not content with the order: ``block`` or ``review``, by these ``rule_ids``.
    """

    affiliate_id: str | None
    customer_id: str | None
    buyer_id: str | None
    currency: str
    base: Major
    order_currency: str
    revenue: Major | None
    verdict: str | None
    rule_ids: list[str]
    cleared_at: datetime | None


class StaffCommissionInFull(StaffCommissionReply, CommissionInFull):
    """A commission as staff see it, and how it came about."""


@router.get("/dev/v1/customers/{customer_id}/affiliate/commissions")
@policy("customers.read")
async def commissions_of_affiliate(
    customer_id: str,
    caller: Caller,
    conn: Conn,
    status: Literal["held", "pending", "payable", "denied"] | None = None,
    limit: Limit = 25,
    cursor: CursorParameter = None,
) -> Page[CommissionReply]:
    """An affiliate's commissions, newest first, without those that were declined."""
    affiliate = await affiliate_of(conn, caller.store_id, customer_id)
    filters = [status]
    before = before_commission(cursor, filters)
    rows = await store_lists.commissions_of_affiliate(conn, affiliate, status, before, limit + 1)
    return page_of(rows, limit, show_commission, commission_keys, filters)


@router.get("/dev/v1/customers/{customer_id}/affiliate/commissions/{commission_id}")
@policy("customers.read")
async def commission_of_affiliate(
    customer_id: str, commission_id: CommissionNamed, caller: Caller, conn: Conn
) -> Data[CommissionInFull]:
    """One of an affiliate's commissions."""
    affiliate = await affiliate_of(conn, caller.store_id, customer_id)
    found = await store_commissions.commission_of(conn, caller.store_id, commission_id)
    if found is None or found.affiliate_id != affiliate.affiliate_id or found.state is State.DECLINED:
        raise NotFound
    touches, history = _touches(found), await _history(conn, found, affiliate)
    shown = show_commission(found)
    return Data(data=CommissionInFull(**dict(shown), rule=found.rule, touches=touches, history=history))


@router.get("/dev/v1/affiliates/commissions/{commission_id}")
@policy("affiliates.read")
async def commission(commission_id: CommissionNamed, caller: Caller, conn: Conn) -> Data[StaffCommissionInFull]:
    """One of the store's commissions, also one that was declined."""
    seen = await _seen(conn, caller.store_id, commission_id)
    found, shown = seen.commission, show_to_staff(seen)
    touches, history = _touches(found), await _history(conn, found)
    return Data(data=StaffCommissionInFull(**dict(shown), rule=found.rule, touches=touches, history=history))


async def seen_by_staff(conn: Conn, store_id: str, commission_id: str) -> Data[StaffCommissionReply]:
    """One of the store's commissions as it is now. Raises ``NotFound``."""
    return Data(data=show_to_staff(await _seen(conn, store_id, commission_id)))


async def _seen(conn: Conn, store_id: str, commission_id: str) -> SeenCommission:
    seen = await store_lists.seen_commission_of(conn, store_id, commission_id)
    if seen is None:
        raise NotFound
    return seen


def show_to_staff(seen: SeenCommission) -> StaffCommissionReply:
    """A commission as staff see it."""
    found = seen.commission
    return StaffCommissionReply(
        **dict(show_commission(found)),
        affiliate_id=found.affiliate_id,
        customer_id=seen.customer_id,
        buyer_id=found.current_customer_id or found.customer_id,
        currency=found.currency,
        base=major(found.base_minor, found.order_currency),
        order_currency=found.order_currency,
        revenue=None if found.revenue_minor is None else major(found.revenue_minor, found.currency),
        verdict=seen.verdict,
        rule_ids=list(seen.rule_ids),
        cleared_at=found.cleared_at,
    )


def _touches(found: Commission) -> list[TouchReply]:
    return [TouchReply(code=touch.code, kind=touch.kind, at=touch.at, outcome=touch.outcome) for touch in found.touches]


async def _history(conn: Conn, found: Commission, affiliate: Affiliate | None = None) -> list[MovementReply]:
    moves = await store_statements.history_of(conn, found.store_id, found.commission_id, affiliate)
    return [show_movement(move, found.currency) for move in moves]
