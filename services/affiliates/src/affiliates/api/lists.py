"""The commissions and claims of a store, for staff: what they look for, and what they see."""

from collections.abc import Callable
from typing import Annotated, Literal, TypeVar

from fastapi import Depends, Query

from affiliates import store, store_lists
from affiliates.api.commissions import StaffCommissionReply, show_to_staff
from affiliates.api.places import before_claim, before_commission, claim_keys, commission_keys
from affiliates.api.shown import ClaimReply, StaffClaimReply, affiliate_of, show_claim, show_claims_to_staff
from affiliates.claims import Claim, ClaimKind, Status
from affiliates.store_lists import SeenCommission, WantedClaims, WantedCommissions
from chassis.http import Api, Caller, Conn, policy
from chassis.pagination import CursorParameter, Limit, Page, page_of
from chassis.periods import PerhapsSince, PerhapsUntil, check_period
from contracts.ids import CustomerId, OrderId

router = Api()

T = TypeVar("T")

_Word = Query(min_length=1, max_length=64)
_NOBODY = ""


async def wanted_commissions(
    caller: Caller,
    conn: Conn,
    status: Literal["declined", "denied", "held", "pending", "payable"] | None = None,
    customer_id: CustomerId | None = None,
    code: Annotated[str | None, _Word] = None,
    order_id: OrderId | None = None,
    since: PerhapsSince = None,
    until: PerhapsUntil = None,
) -> WantedCommissions:
    """Which commissions to list. ``customer_id`` is the affiliate's; a period is of when they were earned."""
    check_period(since, until)
    affiliate_id = await _affiliate_id(conn, caller.store_id, customer_id)
    return WantedCommissions(status, affiliate_id, code and code.strip().lower(), order_id, since, until, customer_id)


async def wanted_claims(
    caller: Caller,
    conn: Conn,
    kind: Annotated[ClaimKind | None, Query(alias="type")] = None,
    status: Status | None = None,
    asset: Annotated[str | None, _Word] = None,
    network: Annotated[str | None, _Word] = None,
    customer_id: CustomerId | None = None,
    since: PerhapsSince = None,
    until: PerhapsUntil = None,
) -> WantedClaims:
    """Which claims to list; a period is of when they were made."""
    check_period(since, until)
    affiliate_id = await _affiliate_id(conn, caller.store_id, customer_id)
    asset, network = asset and asset.upper(), network and network.lower()
    return WantedClaims(kind, status, asset, network, affiliate_id, since, until, customer_id)


async def _affiliate_id(conn: Conn, store_id: str, customer_id: str | None) -> str | None:
    """Whose a customer's are; those of one who is no affiliate are none."""
    if customer_id is None:
        return None
    affiliate = await store.affiliate_of(conn, store_id, customer_id)
    return _NOBODY if affiliate is None else affiliate.affiliate_id


async def page_of_commissions(
    conn: Conn,
    store_id: str,
    wanted: WantedCommissions,
    cursor: str | None,
    limit: int,
    show: Callable[[SeenCommission], T],
) -> Page[T]:
    """A store's commissions, newest first, each as it is to be shown."""
    filters = wanted._replace(affiliate_id=None)
    before = before_commission(cursor, filters)
    rows = await store_lists.commissions_of_store(conn, store_id, wanted, before, limit + 1)
    return page_of(rows, limit, show, lambda row: commission_keys(row.commission), filters)


async def page_of_claims(
    conn: Conn, store_id: str, wanted: WantedClaims, cursor: str | None, limit: int, show: Callable[[Claim], T]
) -> Page[T]:
    """A store's claims, newest first, each as it is to be shown."""
    filters = wanted._replace(affiliate_id=None)
    before = before_claim(cursor, filters)
    rows = await store_lists.claims_of_store(conn, store_id, wanted, before, limit + 1)
    return page_of(rows, limit, show, claim_keys, filters)


@router.get("/dev/v1/affiliates/commissions")
@policy("affiliates.read")
async def commissions_of_store(
    caller: Caller,
    conn: Conn,
    wanted: Annotated[WantedCommissions, Depends(wanted_commissions)],
    limit: Limit = 25,
    cursor: CursorParameter = None,
) -> Page[StaffCommissionReply]:
    """The commissions of the store, newest first, also those that were declined."""
    return await page_of_commissions(conn, caller.store_id, wanted, cursor, limit, show_to_staff)


@router.get("/dev/v1/affiliates/claims")
@policy("affiliates.read")
async def claims_of_store(
    caller: Caller,
    conn: Conn,
    wanted: Annotated[WantedClaims, Depends(wanted_claims)],
    limit: Limit = 25,
    cursor: CursorParameter = None,
) -> Page[StaffClaimReply]:
    """The claims of the store, newest first."""
    page = await page_of_claims(conn, caller.store_id, wanted, cursor, limit, lambda claim: claim)
    shown = await show_claims_to_staff(conn, caller.store_id, page.data)
    return Page(data=shown, has_more=page.has_more, next_cursor=page.next_cursor)


@router.get("/dev/v1/customers/{customer_id}/affiliate/claims")
@policy("customers.read")
async def claims_of_affiliate(
    customer_id: str,
    caller: Caller,
    conn: Conn,
    kind: Annotated[ClaimKind | None, Query(alias="type")] = None,
    status: Status | None = None,
    limit: Limit = 25,
    cursor: CursorParameter = None,
) -> Page[ClaimReply]:
    """An affiliate's claims, newest first."""
    affiliate = await affiliate_of(conn, caller.store_id, customer_id)
    filters = [kind, status]
    before = before_claim(cursor, filters)
    rows = await store_lists.claims_of_affiliate(conn, affiliate, kind, status, before, limit + 1)
    return page_of(rows, limit, show_claim, claim_keys, filters)
