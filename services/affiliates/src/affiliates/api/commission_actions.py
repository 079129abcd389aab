"""What staff decide about a commission: hold it, release it, deny it, give it to whom it is due (features §2.3)."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from affiliates import (
    changes,
    reattribution,
    store,
    store_activity,
    store_commissions,
    store_links,
    store_people,
    store_reattribution,
)
from affiliates.api.commissions import CommissionNamed, StaffCommissionReply, seen_by_staff
from affiliates.api.shown import NotActive, Said, refuse
from affiliates.commissions import Commission, Reason, deny, hold, objection, release
from affiliates.reattribution import Grounds
from chassis import clock
from chassis.http import Api, Caller, Conn, Data, policy
from chassis.problems import Flaw, Invalid, NotFound, Problem, Refused
from chassis.verdicts import NotYet
from contracts.ids import CustomerId

router = Api()

T = TypeVar("T")


class CommissionBusy(Problem):
    """It became another affiliate's each time before it could be locked."""

    status = 409
    code = "commission_busy"
    title = "Others are deciding about this commission right now; try again"
    headers: Mapping[str, str] = {"retry-after": "1"}


class CommissionDenied(Refused):
    """Denying is for good."""

    code = "commission_denied"
    title = "This commission was denied"


class CommissionDeclined(Refused):
    """Nothing was ever owed for the order."""

    code = "commission_declined"
    title = "This commission was declined: nothing is owed that could be held, released or denied"


class NoRate(Refused):
    """What is owed is not known before there is an exchange rate."""

    code = "no_rate"
    title = "This commission has no amount before there is an exchange rate"


class CommissionTaken(Refused):
    """Only what was not taken can become somebody else's."""

    code = "commission_taken"
    title = "The affiliate has taken this commission, or it has paid their debt"


class LinkInactive(Refused):
    """The code is not, or no longer, an active link."""

    code = "link_inactive"
    title = "This code earns nothing"


class ProgramOff(Refused):
    """The program was off when the order was completed."""

    code = "program_off"
    title = "The program was off when this order was completed"


class OwnPurchase(Refused):
    """Nobody earns by their own purchase."""

    code = "own_purchase"
    title = "This affiliate, or the same person, bought the order"


_REFUSALS: dict[str, type[Refused]] = {
    refusal.code: refusal
    for refusal in (
        CommissionDenied,
        CommissionDeclined,
        NoRate,
        CommissionTaken,
        NotActive,
        LinkInactive,
        ProgramOff,
        OwnPurchase,
    )
}


class Remark(BaseModel):
    """What staff say to what they do; kept with who did it."""

    model_config = ConfigDict(extra="forbid")

    note: Said | None = None


class Denial(BaseModel):
    """Why staff take a commission back."""

    model_config = ConfigDict(extra="forbid")

    reason: Literal["fraud", "own_purchase", "duplicate", "terms", "other"]
    note: Said | None = None


class Reattribution(BaseModel):
    """To whom a commission is due: whose ``code`` it is, or who ``customer_id`` is, by the link that is theirs."""

    model_config = ConfigDict(extra="forbid")

    code: Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True, max_length=64)] | None = None
    customer_id: CustomerId | None = None
    note: Said = Field(description="Why; kept with who did it")


@router.post("/dev/v1/affiliates/commissions/{commission_id}/hold")
@policy("affiliates.write", key="required")
async def hold_commission(
    commission_id: CommissionNamed, caller: Caller, conn: Conn, remark: Remark | None = None
) -> Data[StaffCommissionReply]:
    """Keep a commission from its affiliate, also when it can be taken already. Held again, it stays as it is."""
    before, now = await _locked(conn, caller, commission_id), clock.now()
    after = hold(before, Reason.STAFF)
    return await _keep(conn, caller, before, after, now, "commission.held", None if remark is None else remark.note)


@router.post("/dev/v1/affiliates/commissions/{commission_id}/release")
@policy("affiliates.write", key="required")
async def release_commission(
    commission_id: CommissionNamed, caller: Caller, conn: Conn, remark: Remark | None = None
) -> Data[StaffCommissionReply]:
    """Let a held commission go its way; no verdict of fraud-block holds it again. One's own purchase is declined."""
    before, now = await _locked(conn, caller, commission_id), clock.now()
    owner = (await store_people.owners_of(conn, [before])).get(before.affiliate_id or "")
    after = release(before, owner, now)
    return await _keep(conn, caller, before, after, now, "commission.released", None if remark is None else remark.note)


@router.post("/dev/v1/affiliates/commissions/{commission_id}/deny")
@policy("affiliates.write", key="required")
async def deny_commission(
    commission_id: CommissionNamed, denial: Denial, caller: Caller, conn: Conn
) -> Data[StaffCommissionReply]:
    """Take a commission back for good. What was taken of it becomes debt."""
    reason = Reason.STAFF if denial.reason == "other" else Reason(denial.reason)
    before, now = await _locked(conn, caller, commission_id, denial=reason), clock.now()
    return await _keep(conn, caller, before, deny(before, reason), now, "commission.denied", denial.note)


@router.post("/dev/v1/affiliates/commissions/{commission_id}/reattribute")
@policy("affiliates.write", key="required")
async def reattribute_commission(
    commission_id: CommissionNamed, asked: Reattribution, caller: Caller, conn: Conn
) -> Data[StaffCommissionReply]:
    """Give a commission that was not taken to another affiliate, at what their orders earned when it was earned.

    One that was declined may be given so, too; to another code of the same affiliate it goes at the rate it has.
    """
    found = await store_commissions.commission_of(conn, caller.store_id, commission_id)
    if found is None:
        raise NotFound
    grounds, now = await _grounds(conn, found, asked), clock.now()
    after = reattribution.decide(grounds, now)
    if isinstance(after, reattribution.Objection):
        by = reattribution.refused_by(grounds, after)
        if by is not None:
            await refuse(conn, await store.affiliate_by(conn, caller.store_id, by), _REFUSALS[after]())
        raise _REFUSALS[after]
    return await _keep(conn, caller, grounds.commission, after, now, "commission.reattributed", asked.note)


async def _locked(conn: Conn, caller: Caller, commission_id: str, *, denial: Reason | None = None) -> Commission:
    found = await _at_rest(conn, lambda: store_commissions.lock_commission(conn, caller.store_id, commission_id))
    if found is None:
        raise NotFound
    against = objection(found, denial)
    if against is not None:
        raise _REFUSALS[against]
    return found


async def _grounds(conn: Conn, found: Commission, asked: Reattribution) -> Grounds:
    if (asked.code is None) == (asked.customer_id is None):
        flaw = Flaw(pointer="/code", code="code_or_customer_id", message="name either a code or a customer_id")
        raise Invalid(errors=[flaw])
    code = await _code_of(conn, found.store_id, asked.customer_id or "") if asked.code is None else asked.code
    grounds = await _at_rest(conn, lambda: store_reattribution.lock_grounds(conn, found.key, code))
    if grounds is None:
        raise Invalid(errors=[Flaw(pointer="/code", code="code_unknown", message="no affiliate has this code")])
    return grounds


async def _at_rest(conn: Conn, lock: Callable[[], Awaitable[T]]) -> T:
    """What ``lock`` finds. Raises ``CommissionBusy``."""
    try:
        return await store.at_rest(conn, lock)
    except NotYet:
        raise CommissionBusy from None


async def _code_of(conn: Conn, store_id: str, customer_id: str) -> str:
    affiliate = await store.affiliate_of(conn, store_id, customer_id)
    if affiliate is None:
        flaw = Flaw(pointer="/customer_id", code="not_an_affiliate", message="this customer is not an affiliate")
        raise Invalid(errors=[flaw])
    return (await store_links.links_of(conn, affiliate))[0].code


async def _keep(
    conn: Conn,
    caller: Caller,
    before: Commission,
    after: Commission,
    now: datetime,
    action: str,
    said: str | None,
) -> Data[StaffCommissionReply]:
    """Keep what staff decided, and that they did; nothing where it is so already."""
    if await changes.keep_commissions(conn, [(before, after)], now):
        detail = {"from": _told(before), "to": _told(after)}
        await store_activity.note(conn, caller, action, before.commission_id, now, said=said, **detail)
    return await seen_by_staff(conn, caller.store_id, before.commission_id)


def _told(commission: Commission) -> dict[str, str | int | None]:
    return {
        "status": commission.state,
        "reason": commission.reason,
        "affiliate_id": commission.affiliate_id,
        "code": commission.code,
        "amount_minor": commission.amount_minor,
        "rate_bps": commission.rate_bps,
    }
