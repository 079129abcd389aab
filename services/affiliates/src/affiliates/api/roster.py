"""The store's affiliates as staff see them: who they are, whether they may earn, and on what terms (features A1, A2)."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter

from affiliates import store, store_activity, store_links, store_program, store_referrals
from affiliates.api.program import Days, Percent, RulesReply, show_terms
from affiliates.api.shown import Said, affiliate_of, lock_affiliate_of, show_balances
from affiliates.enrolment import Affiliate, State, announced, approve, reactivate, suspend
from affiliates.program import OwnTerms, RateFrom, bps, deal, latest_own, percent, revised
from chassis import clock, outbox, stores
from chassis.http import Api, Caller, Conn, Data, policy
from chassis.money import Major
from chassis.pagination import CursorParameter, Limit, Page, only_key, page_of, read_cursor
from chassis.problems import Refused
from contracts.ids import AffiliateId

router = Api()

_AffiliateId: TypeAdapter[str] = TypeAdapter(AffiliateId)
_SHOWN = 100


class WrongState(Refused):
    """Only a pending affiliate is approved, and only a suspended one goes on."""

    code = "affiliate_state"
    title = "This affiliate's state does not allow that"


class AffiliateReply(BaseModel):
    """An affiliate and their money, in the store's currency; ``code`` is that of the link they share."""

    affiliate_id: str
    customer_id: str
    state: State
    code: str | None
    enrolled_at: datetime
    available: Major
    pending: Major
    requested: Major
    converted: Major
    paid: Major
    debt: Major


@router.get("/dev/v1/affiliates")
@policy("affiliates.read")
async def affiliates(
    caller: Caller, conn: Conn, state: State | None = None, limit: Limit = 25, cursor: CursorParameter = None
) -> Page[AffiliateReply]:
    """The affiliates of the store, those who enrolled last first."""
    filters = [state]
    before = only_key(read_cursor(cursor, filters), _AffiliateId)
    rows = await store.page_of_affiliates(conn, caller.store_id, state, before, limit + 1)
    currency = await stores.currency(conn, caller.store_id)
    return page_of(rows, limit, lambda row: _show(*row, currency), lambda row: [row[0].affiliate_id], filters)


class Suspension(BaseModel):
    """Why an affiliate is suspended."""

    model_config = ConfigDict(extra="forbid")

    reason: Said


@router.post("/dev/v1/customers/{customer_id}/affiliate/approve")
@policy("affiliates.write")
async def approve_affiliate(customer_id: str, caller: Caller, conn: Conn) -> Data[AffiliateReply]:
    """Have a pending affiliate earn."""
    return await _step(conn, caller, customer_id, approve, "affiliate.approved")


@router.post("/dev/v1/customers/{customer_id}/affiliate/suspend")
@policy("affiliates.write")
async def suspend_affiliate(
    customer_id: str, suspension: Suspension, caller: Caller, conn: Conn
) -> Data[AffiliateReply]:
    """Have an affiliate earn nothing more and take nothing. What is on its way goes on."""
    return await _step(conn, caller, customer_id, suspend, "affiliate.suspended", suspension.reason)


@router.post("/dev/v1/customers/{customer_id}/affiliate/reactivate")
@policy("affiliates.write")
async def reactivate_affiliate(customer_id: str, caller: Caller, conn: Conn) -> Data[AffiliateReply]:
    """Have a suspended affiliate earn again."""
    return await _step(conn, caller, customer_id, reactivate, "affiliate.reactivated")


async def _step(
    conn: Conn,
    caller: Caller,
    customer_id: str,
    step: Callable[[Affiliate], Affiliate | None],
    action: str,
    said: str | None = None,
) -> Data[AffiliateReply]:
    """One step of an affiliate, if it is one."""
    affiliate, now = await lock_affiliate_of(conn, caller.store_id, customer_id), clock.now()
    after = step(affiliate)
    if after is None:
        raise WrongState(f"this affiliate is {affiliate.state}")
    links = await store_links.links_of(conn, affiliate)
    if after is not affiliate:
        await store.save_state(conn, after, now)
        terms = await store_program.terms_now(conn, caller.store_id)
        for told in announced(after, links, terms.discount, now):
            outbox.add(conn, told)
        await store_activity.note(conn, caller, action, affiliate.affiliate_id, now, said=said)
    return Data(data=_show(after, links[0].code, await stores.currency(conn, caller.store_id)))


def _show(affiliate: Affiliate, code: str | None, currency: str) -> AffiliateReply:
    return AffiliateReply(
        affiliate_id=affiliate.affiliate_id,
        customer_id=affiliate.customer_id,
        state=affiliate.state,
        code=code,
        enrolled_at=affiliate.enrolled_at,
        **show_balances(affiliate.balances, currency),
    )


class OwnTermsChange(BaseModel):
    """What is agreed with one affiliate from now on. Left out: as it was; null: as the program has it."""

    model_config = ConfigDict(extra="forbid")

    percent: Percent | None = None
    waiting_days: Days | None = None

    def fields(self) -> dict[str, Any]:
        """The fields of ``OwnTerms`` that were sent."""
        sent = {name: getattr(self, name) for name in self.model_fields_set}
        if "percent" in sent:
            sent["rate_bps"] = None if self.percent is None else bps(self.percent)
            del sent["percent"]
        return sent


class DatedOwnTermsReply(BaseModel):
    """What was agreed from ``since`` until the next terms."""

    percent: int | float | None
    waiting_days: int | None
    since: datetime


class AppliedReply(RulesReply):
    """The rules an affiliate goes by now. ``rate_from``: the program, their tier, or what was agreed with them."""

    rate_from: RateFrom


class OwnTermsReply(BaseModel):
    """What is agreed with an affiliate, and what was before, newest first. Null: as the program has it.

    ``applies`` is what follows for them from both: how their next order earns, and how they are paid.
    """

    percent: int | float | None
    waiting_days: int | None
    applies: AppliedReply
    history: list[DatedOwnTermsReply]


@router.get("/dev/v1/customers/{customer_id}/affiliate/terms")
@policy("customers.read")
async def own_terms(customer_id: str, caller: Caller, conn: Conn) -> Data[OwnTermsReply]:
    """The terms of an affiliate: what is agreed with them alone, and all rules that apply to them."""
    affiliate = await affiliate_of(conn, caller.store_id, customer_id)
    return await _show_terms(conn, affiliate, await store_program.newest_own_terms(conn, affiliate, _SHOWN))


@router.put("/dev/v1/customers/{customer_id}/affiliate/terms")
@policy("affiliates.write")
async def change_own_terms(customer_id: str, change: OwnTermsChange, caller: Caller, conn: Conn) -> Data[OwnTermsReply]:
    """Agree other terms with one affiliate, for orders completed from now on."""
    affiliate, now = await lock_affiliate_of(conn, caller.store_id, customer_id), clock.now()
    history = await store_program.newest_own_terms(conn, affiliate, _SHOWN)
    before = latest_own(history)
    own = revised(before, change.fields(), now)
    if own is not before:
        await store_program.add_own_terms(conn, affiliate, own)
        its = {"percent": _percent(own), "waiting_days": own.waiting_days}
        await store_activity.note(conn, caller, "affiliate.terms_changed", affiliate.affiliate_id, now, terms=its)
        history = [own, *history][:_SHOWN]
    return await _show_terms(conn, affiliate, history)


def _percent(own: OwnTerms) -> int | float | None:
    return None if own.rate_bps is None else percent(own.rate_bps)


async def _show_terms(conn: Conn, affiliate: Affiliate, history: list[OwnTerms]) -> Data[OwnTermsReply]:
    latest, terms = latest_own(history), await store_program.terms_now(conn, affiliate.store_id)
    key = affiliate.store_id, affiliate.affiliate_id
    its = deal(terms, latest, (await store_referrals.volumes_of(conn, [key])).get(key, 0))
    applies = show_terms(terms, await stores.currency(conn, affiliate.store_id)) | {
        "revenue_share_percent": percent(its.rate_bps),
        "rate_from": its.rate_from,
        "waiting_days": its.waits.days,
    }
    return Data(
        data=OwnTermsReply(
            percent=_percent(latest),
            waiting_days=latest.waiting_days,
            applies=AppliedReply.model_validate(applies),
            history=[
                DatedOwnTermsReply(percent=_percent(own), waiting_days=own.waiting_days, since=own.since)
                for own in history
            ],
        )
    )
