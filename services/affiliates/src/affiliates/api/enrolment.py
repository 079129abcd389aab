"""A customer's affiliate side: enrolling, and the summary a portal shows (features A1, A4)."""

from datetime import datetime
from typing import Annotated

from fastapi import Response, status
from pydantic import BaseModel, ConfigDict, Field

from affiliates import store, store_claims, store_commissions
from affiliates.api.claims import ClaimReply, NotAnAffiliate, show_claim
from affiliates.commissions import Commission
from affiliates.enrolment import CODE, Affiliate, State, new_code, url
from affiliates.program import percent
from chassis import clock, ids, outbox, stores
from chassis.http import Api, Caller, Conn, Data, policy
from chassis.money import Major, major
from chassis.problems import Refused
from contracts.affiliates import AffiliateEnrolled
from contracts.ids import AFFILIATE

router = Api()

_SHOWN = 10


class CodeTaken(Refused):
    """A code is unique in its store."""

    code = "code_taken"
    title = "Another affiliate has this code"


class AlreadyEnrolled(Refused):
    """Enrolling again is harmless, but does not change the code."""

    code = "already_enrolled"
    title = "This customer is an affiliate with another code"


class Enrolment(BaseModel):
    """``code`` ends the affiliate's link; one is made up where it is left out."""

    model_config = ConfigDict(extra="forbid")

    code: Annotated[str, Field(pattern=CODE)] | None = None


class LinkReply(BaseModel):
    """What the affiliate shares, and what came of it."""

    code: str
    url: str
    total_clicks: int
    total_sales: int
    total_revenue: Major


class BalancesReply(BaseModel):
    """``requested`` is on its way, ``converted`` went into the store balance."""

    available: Major
    requested: Major
    converted: Major


class CommissionReply(BaseModel):
    """A share of an order; ``amount`` is null while it is held for want of an exchange rate."""

    id: str
    order_id: str
    amount: Major | None
    status: str
    reason: str | None
    rate_percent: int | float
    earned_at: datetime
    payable_at: datetime


class SummaryReply(BaseModel):
    """An affiliate, in the store's currency. ``debt`` was taken and then reversed: what comes in next pays it."""

    customer_id: str
    state: State
    link: LinkReply
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
    """Make a customer an affiliate. One who is an affiliate already stays as they are, with a 200."""
    chosen = None if enrolment is None else enrolment.code
    now = clock.now()
    affiliate = Affiliate(caller.store_id, ids.new(AFFILIATE), customer_id, State.ACTIVE, now)
    if await store.add_affiliate(conn, affiliate):
        code = await _add_link(conn, affiliate, chosen, now)
        outbox.add(
            conn,
            AffiliateEnrolled(
                store_id=affiliate.store_id,
                affiliate_id=affiliate.affiliate_id,
                customer_id=customer_id,
                code=code,
                enrolled_at=now,
            ),
        )
        return await _summary(conn, affiliate)
    summary = await _summary(conn, await _affiliate(conn, caller.store_id, customer_id))
    if chosen not in {None, summary.data.link.code}:
        raise AlreadyEnrolled
    response.status_code = status.HTTP_200_OK
    return summary


async def _add_link(conn: Conn, affiliate: Affiliate, chosen: str | None, now: datetime) -> str:
    code = chosen or new_code()
    while not await store.add_link(conn, affiliate, code, now):
        if chosen is not None:
            raise CodeTaken
        code = new_code()
    return code


@router.get("/dev/v1/customers/{customer_id}/affiliate")
@policy("customers.read")
async def summary(customer_id: str, caller: Caller, conn: Conn) -> Data[SummaryReply]:
    """What an affiliate's portal shows: link, clicks, sales, balances, the latest commissions and claims."""
    return await _summary(conn, await _affiliate(conn, caller.store_id, customer_id))


async def _affiliate(conn: Conn, store_id: str, customer_id: str) -> Affiliate:
    affiliate = await store.affiliate_of(conn, store_id, customer_id)
    if affiliate is None:
        raise NotAnAffiliate
    return affiliate


async def _summary(conn: Conn, affiliate: Affiliate) -> Data[SummaryReply]:
    shop = await stores.store(conn, affiliate.store_id)
    link = await store.link_of(conn, affiliate)
    balances, currency = affiliate.balances, shop.currency
    return Data(
        data=SummaryReply(
            customer_id=affiliate.customer_id,
            state=affiliate.state,
            link=LinkReply(
                code=link.code,
                url=url(shop.url, link.code),
                total_clicks=link.total_clicks,
                total_sales=link.total_sales,
                total_revenue=major(link.total_revenue_minor, currency),
            ),
            balances=BalancesReply(
                available=major(balances.available_minor, currency),
                requested=major(balances.requested_minor, currency),
                converted=major(balances.converted_minor, currency),
            ),
            pending=major(balances.pending_minor, currency),
            paid=major(balances.paid_minor, currency),
            debt=major(balances.debt_minor, currency),
            commissions=[_show(each) for each in await store_commissions.latest_commissions(conn, affiliate, _SHOWN)],
            claims=[show_claim(each) for each in await store_claims.latest_claims(conn, affiliate, _SHOWN)],
        )
    )


def _show(commission: Commission) -> CommissionReply:
    amount_minor = commission.amount_minor
    return CommissionReply(
        id=commission.commission_id,
        order_id=commission.order_id,
        amount=None if amount_minor is None else major(amount_minor, commission.currency),
        status=commission.state,
        reason=commission.reason,
        rate_percent=percent(commission.rate_bps),
        earned_at=commission.earned_at,
        payable_at=commission.payable_at,
    )
