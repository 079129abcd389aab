"""The links of an affiliate, and those that wait for approval (features A2)."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Literal

from fastapi import Path, Response, status
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter

from affiliates import store, store_activity, store_links, store_program
from affiliates.api.shown import (
    ChosenCode,
    CodeTaken,
    LinkReply,
    NotActive,
    Said,
    affiliate_of,
    lock_affiliate_of,
    show_link,
)
from affiliates.enrolment import Affiliate, added, rejected, removed
from affiliates.enrolment import State as AffiliateState
from affiliates.links import CODE, MOST, TAKEN_UP, Link, State, approve, canonical, is_last, new_link
from affiliates.program import Terms
from chassis import clock, outbox, stores
from chassis.http import Api, Caller, Conn, Data, policy
from chassis.pagination import CursorParameter, Limit, Page, only_key, page_of, read_cursor
from chassis.problems import NotFound, Refused

router = Api()

_Code: TypeAdapter[str] = TypeAdapter(Annotated[str, Field(pattern=CODE)])


class TooManyLinks(Refused):
    """An affiliate has a bounded number of links; removed ones count, since their codes stay taken."""

    code = "too_many_links"
    title = f"An affiliate has at most {MOST} links"


class LastLink(Refused):
    """An affiliate always has a link."""

    code = "last_link"
    title = "This is the affiliate's only active link"


class NotWaiting(Refused):
    """Only a requested link is approved or rejected."""

    code = "link_state"
    title = "This link is not waiting for approval"


class CodeRemoved(Refused):
    """What an affiliate removed needs the approval of whoever gives links, as a new one does."""

    code = "code_removed"
    title = "This affiliate had this code and removed it; who may approve links can give it back"


class TakenUpTooOften(Refused):
    """Each time a link is taken up again counts for its late orders, so there are not any number of them."""

    code = "too_often"
    title = f"This link was removed and taken up again {TAKEN_UP} times, and stays removed"


class NewLink(BaseModel):
    """``code`` ends the link; one is made up where it is left out."""

    model_config = ConfigDict(extra="forbid")

    code: ChosenCode | None = None


class Rejection(BaseModel):
    """Why a link is rejected, in the words of staff; the affiliate reads them."""

    model_config = ConfigDict(extra="forbid")

    reason: Said


class AffiliateLinkReply(LinkReply):
    """A link and whose it is."""

    customer_id: str


def _canonical(value: str) -> str:
    code = canonical(value)
    if code is None:
        raise NotFound
    return code


Code = Annotated[str, Path(), AfterValidator(_canonical)]


async def give_link(
    conn: Conn, caller: Caller, affiliate: Affiliate, chosen: str | None, terms: Terms, now: datetime
) -> Link:
    """Give an affiliate a link. Raises ``CodeTaken``. The affiliate must be locked."""
    needs_approval = _needs_approval(caller, terms)
    link = new_link(affiliate.affiliate_id, chosen, now, needs_approval=needs_approval)
    while not await store_links.add_link(conn, affiliate.store_id, link):
        if link.custom:
            raise CodeTaken
        link = new_link(affiliate.affiliate_id, chosen, now, needs_approval=needs_approval)
    action = "link.added" if link.state is State.ACTIVE else "link.requested"
    await store_activity.note(conn, caller, action, affiliate.affiliate_id, now, code=link.code)
    return link


async def _take_up(conn: Conn, caller: Caller, affiliate: Affiliate, link: Link, terms: Terms, now: datetime) -> Link:
    """Have a removed link earn again."""
    if _needs_approval(caller, terms):
        raise CodeRemoved
    if await store_links.times_active(conn, affiliate.store_id, link.code) >= TAKEN_UP:
        raise TakenUpTooOften
    again = replace(link, state=State.ACTIVE, active_from=now, removed_at=None)
    await store_links.save_link(conn, affiliate, again)
    await store_activity.note(conn, caller, "link.added", affiliate.affiliate_id, now, code=link.code)
    return again


def _needs_approval(caller: Caller, terms: Terms) -> bool:
    return terms.custom_links_need_approval and "affiliates.write" not in caller.scopes


@router.get("/dev/v1/customers/{customer_id}/affiliate/links")
@policy("customers.read")
async def links(customer_id: str, caller: Caller, conn: Conn) -> Data[list[LinkReply]]:
    """All links of an affiliate, each with its own figures; the first is the one to share.

    At the end: the latest codes they asked for in vain, each with the ``reason``.
    """
    affiliate = await affiliate_of(conn, caller.store_id, customer_id)
    its = [*await store_links.links_of(conn, affiliate), *await store_links.rejected_of(conn, affiliate)]
    shop = await stores.store(conn, caller.store_id)
    return Data(data=[show_link(link, shop.url, shop.currency) for link in its])


@router.post("/dev/v1/customers/{customer_id}/affiliate/links", status_code=status.HTTP_201_CREATED)
@policy("customers.write")
async def add_link(
    customer_id: str, caller: Caller, conn: Conn, response: Response, link: NewLink | None = None
) -> Data[LinkReply]:
    """Give an affiliate another link. One that is theirs already stays as it is, with a 200.

    A chosen code waits for approval where the program says so, unless the caller may write ``affiliates``. One that
    they removed earns again, with the figures it had; where it would have to wait, or for the 51st time, it is refused.
    """
    affiliate = await lock_affiliate_of(conn, caller.store_id, customer_id)
    if affiliate.state is AffiliateState.SUSPENDED:
        raise NotActive
    chosen, now = None if link is None else link.code, clock.now()
    before = {each.code: each for each in await store_links.links_of(conn, affiliate)}
    its = before.get(chosen or "")
    if its is not None and its.state is not State.REMOVED:
        response.status_code = status.HTTP_200_OK
        return Data(data=await _show(conn, affiliate, its))
    if its is None and len(before) >= MOST:
        raise TooManyLinks
    terms = await store_program.terms_now(conn, caller.store_id)
    if its is None:
        new = await give_link(conn, caller, affiliate, chosen, terms, now)
    else:
        new = await _take_up(conn, caller, affiliate, its, terms, now)
    for told in added(affiliate, new, terms.discount):
        outbox.add(conn, told)
    return Data(data=await _show(conn, affiliate, new))


@router.delete("/dev/v1/customers/{customer_id}/affiliate/links/{code}", status_code=status.HTTP_204_NO_CONTENT)
@policy("customers.write")
async def remove_link(customer_id: str, code: Code, caller: Caller, conn: Conn) -> None:
    """Have a link earn no longer; its code stays the affiliate's. One that was only requested is free again."""
    affiliate, now = await lock_affiliate_of(conn, caller.store_id, customer_id), clock.now()
    its = await store_links.links_of(conn, affiliate)
    link = _named(its, code)
    if link.state is State.REMOVED:
        return
    if is_last(its, link):
        raise LastLink
    if link.state is State.REQUESTED:
        await store_links.drop_request(conn, affiliate, code)
    else:
        await store_links.save_link(conn, affiliate, replace(link, state=State.REMOVED, removed_at=now))
    outbox.add(conn, removed(affiliate, link, now))
    await store_activity.note(conn, caller, "link.removed", affiliate.affiliate_id, now, code=code)


@router.get("/dev/v1/affiliates/links")
@policy("affiliates.read")
async def links_of_store(
    caller: Caller,
    conn: Conn,
    state: Literal[State.REQUESTED, State.ACTIVE, State.REMOVED] | None = None,
    limit: Limit = 25,
    cursor: CursorParameter = None,
) -> Page[AffiliateLinkReply]:
    """The links of all affiliates by their codes; those in a state, such as ``requested``. What was rejected is none."""
    filters = [state]
    after = only_key(read_cursor(cursor, filters), _Code)
    rows = await store_links.page_of_links(conn, caller.store_id, state, after, limit + 1)
    shop = await stores.store(conn, caller.store_id)

    def show(row: tuple[Link, str]) -> AffiliateLinkReply:
        link, customer_id = row
        return AffiliateLinkReply(customer_id=customer_id, **dict(show_link(link, shop.url, shop.currency)))

    return page_of(rows, limit, show, lambda row: [row[0].code], filters)


@router.post("/dev/v1/affiliates/links/{code}/approve")
@policy("affiliates.write")
async def approve_link(code: Code, caller: Caller, conn: Conn) -> Data[LinkReply]:
    """Have a requested link earn. One that does already stays as it is."""
    affiliate, link = await _lock(conn, caller.store_id, code)
    now = clock.now()
    approved = approve(link, now)
    if approved is None:
        raise NotWaiting
    if approved is not link:
        await store_links.save_link(conn, affiliate, approved)
        terms = await store_program.terms_now(conn, caller.store_id)
        for told in added(affiliate, approved, terms.discount):
            outbox.add(conn, told)
        await store_activity.note(conn, caller, "link.approved", affiliate.affiliate_id, now, code=code)
    return Data(data=await _show(conn, affiliate, approved))


@router.post("/dev/v1/affiliates/links/{code}/reject", status_code=status.HTTP_204_NO_CONTENT)
@policy("affiliates.write")
async def reject_link(code: Code, rejection: Rejection, caller: Caller, conn: Conn) -> None:
    """Do not have a requested link earn: its code is free again, and its affiliate sees why."""
    affiliate, link = await _lock(conn, caller.store_id, code)
    now, said = clock.now(), rejection.reason
    if link.state is not State.REQUESTED:
        raise NotWaiting
    await store_links.reject_request(conn, affiliate, code, said, now)
    outbox.add(conn, rejected(affiliate, link, now))
    await store_activity.note(conn, caller, "link.rejected", affiliate.affiliate_id, now, said=said, code=code)


async def _lock(conn: Conn, store_id: str, code: str) -> tuple[Affiliate, Link]:
    """A link as it is once its affiliate is locked. Raises ``NotFound``."""
    affiliate = await store.lock_owner(conn, store_id, code)
    if affiliate is None:
        raise NotFound
    return affiliate, _named(await store_links.links_of(conn, affiliate), code)


def _named(its: Sequence[Link], code: str) -> Link:
    for link in its:
        if link.code == code:
            return link
    raise NotFound


async def _show(conn: Conn, affiliate: Affiliate, link: Link) -> LinkReply:
    shop = await stores.store(conn, affiliate.store_id)
    return show_link(link, shop.url, shop.currency)
