"""A customer's affiliate side: enrolling, and the summary a portal shows (features A1, A4)."""

from typing import Literal

from fastapi import Response, status
from pydantic import BaseModel, ConfigDict

from affiliates import store, store_activity, store_links, store_lists, store_program
from affiliates.api.links import give_link
from affiliates.api.shown import (
    ChosenCode,
    ClaimReply,
    CommissionReply,
    SummaryLink,
    affiliate_of,
    show_balances,
    show_claim,
    show_commission,
    show_link,
)
from affiliates.enrolment import Affiliate, State, announced, by_themselves
from affiliates.links import State as LinkState
from affiliates.program import Terms
from affiliates.store_lists import START
from chassis import clock, ids, outbox, stores
from chassis.http import Api, Caller, Conn, Data, policy
from chassis.money import Major
from chassis.problems import Flaw, Forbidden, Invalid, Refused
from contracts.ids import AFFILIATE

router = Api()

_SHOWN = 10


class AlreadyEnrolled(Refused):
    """Enrolling again is harmless, but does not change the code."""

    code = "already_enrolled"
    title = "This customer is an affiliate with another code"


class SelfEnrolmentOff(Forbidden):
    """The store's program decides whether customers may enrol themselves."""

    code = "self_enrolment_off"
    title = "This store enrols its affiliates itself"


_STATE_NOT_YOURS = Flaw(pointer="/state", code="state_not_yours", message="the store's program decides it")


class Enrolment(BaseModel):
    """``code`` ends the affiliate's link; one is made up where it is left out.

    ``state``: active unless told; not for customers who enrol themselves, for whom the program decides it.
    """

    model_config = ConfigDict(extra="forbid")

    code: ChosenCode | None = None
    state: Literal[State.PENDING, State.ACTIVE] | None = None


class BalancesReply(BaseModel):
    """``requested`` is on its way, ``converted`` went into the store balance."""

    available: Major
    requested: Major
    converted: Major


class SummaryReply(BaseModel):
    """An affiliate, in the store's currency. ``debt`` was taken and then reversed: what comes in next pays it."""

    customer_id: str
    state: State
    link: SummaryLink
    balances: BalancesReply
    pending: Major
    paid: Major
    debt: Major
    commissions: list[CommissionReply]
    claims: list[ClaimReply]


@router.post("/dev/v1/customers/{customer_id}/affiliate", status_code=status.HTTP_201_CREATED)
@policy("customers.write")
async def enrol(
    customer_id: str, caller: Caller, conn: Conn, response: Response, enrolment: Enrolment | None = None
) -> Data[SummaryReply]:
    """Make a customer an affiliate. One who is an affiliate already stays as they are, with a 200.

    A chosen code waits for approval where the program says so, unless the caller may write ``affiliates``; the
    affiliate shares a made-up one until then.
    """
    asked = enrolment or Enrolment()
    if caller.actor == "customer" and asked.state is not None:
        raise Invalid(errors=[_STATE_NOT_YOURS])
    affiliate = await store.affiliate_of(conn, caller.store_id, customer_id)
    if affiliate is None:
        terms = await store_program.terms_now(conn, caller.store_id)
        state = _admitted(terms) if caller.actor == "customer" else asked.state or State.ACTIVE
        affiliate = Affiliate(caller.store_id, ids.new(AFFILIATE), customer_id, state, clock.now())
        if await store.add_affiliate(conn, affiliate):
            await _begin(conn, caller, affiliate, asked.code, terms)
            return await _summary(conn, affiliate)
        affiliate = await affiliate_of(conn, caller.store_id, customer_id)  # somebody enrolled them just now
    links = await store_links.links_of(conn, affiliate)
    if asked.code not in {None, *(link.code for link in links if link.state is not LinkState.REMOVED)}:
        raise AlreadyEnrolled
    response.status_code = status.HTTP_200_OK
    return await _summary(conn, affiliate)


def _admitted(terms: Terms) -> State:
    state = by_themselves(terms.self_enrolment)
    if state is None:
        raise SelfEnrolmentOff
    return state


async def _begin(conn: Conn, caller: Caller, affiliate: Affiliate, chosen: str | None, terms: Terms) -> None:
    """Give a new affiliate their links, and tell of them."""
    now = affiliate.enrolled_at
    await store_activity.note(conn, caller, "affiliate.enrolled", affiliate.affiliate_id, now, state=affiliate.state)
    links = [await give_link(conn, caller, affiliate, chosen, terms, now)]
    if links[0].state is LinkState.REQUESTED:
        links.append(await give_link(conn, caller, affiliate, None, terms, now))
    for told in announced(affiliate, links, terms.discount, now):
        outbox.add(conn, told)


@router.get("/dev/v1/customers/{customer_id}/affiliate")
@policy("customers.read")
async def summary(customer_id: str, caller: Caller, conn: Conn) -> Data[SummaryReply]:
    """What an affiliate's portal shows: link, clicks, sales, balances, the latest commissions and claims."""
    return await _summary(conn, await affiliate_of(conn, caller.store_id, customer_id))


async def _summary(conn: Conn, affiliate: Affiliate) -> Data[SummaryReply]:
    shop = await stores.store(conn, affiliate.store_id)
    link, *_ = await store_links.links_of(conn, affiliate)
    commissions = await store_lists.commissions_of_affiliate(conn, affiliate, None, START, _SHOWN)
    claims = await store_lists.claims_of_affiliate(conn, affiliate, None, None, START, _SHOWN)
    balances = show_balances(affiliate.balances, shop.currency)
    return Data(
        data=SummaryReply(
            customer_id=affiliate.customer_id,
            state=affiliate.state,
            link=SummaryLink.model_validate(dict(show_link(link, shop.url, shop.currency))),
            balances=BalancesReply.model_validate(balances),
            pending=balances["pending"],
            paid=balances["paid"],
            debt=balances["debt"],
            commissions=[show_commission(each) for each in commissions],
            claims=[show_claim(each) for each in claims],
        )
    )
