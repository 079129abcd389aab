"""The terms of the store's program (features A2)."""

from dataclasses import replace
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from affiliates import store
from affiliates.program import Terms, at, bps, percent
from chassis import clock
from chassis.http import Api, Caller, Conn, Data, policy

router = Api()


class ProgramChange(BaseModel):
    """New terms, for orders completed from now on; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    revenue_share_enabled: Annotated[bool, Field(strict=True)] | None = None
    revenue_share_percent: Annotated[Decimal, Field(ge=0, le=100, decimal_places=2)] | None = None
    waiting_days: Annotated[int, Field(ge=0, le=365, strict=True)] | None = None


class ProgramReply(BaseModel):
    """The terms in force. A commission can be taken ``waiting_days`` after its order was completed."""

    revenue_share_enabled: bool
    revenue_share_percent: int | float
    waiting_days: int


@router.get("/dev/v1/affiliates/program")
@policy("affiliates.read")
async def program(caller: Caller, conn: Conn) -> Data[ProgramReply]:
    """The terms in force."""
    return _show(await _terms(conn, caller.store_id))


@router.put("/dev/v1/affiliates/program")
@policy("affiliates.write")
async def change_program(change: ProgramChange, caller: Caller, conn: Conn) -> Data[ProgramReply]:
    """Change the terms."""
    terms = replace(await _terms(conn, caller.store_id), since=clock.now())
    if change.revenue_share_enabled is not None:
        terms = replace(terms, enabled=change.revenue_share_enabled)
    if change.revenue_share_percent is not None:
        terms = replace(terms, rate_bps=bps(change.revenue_share_percent))
    if change.waiting_days is not None:
        terms = replace(terms, waiting_days=change.waiting_days)
    await store.set_terms(conn, caller.store_id, terms)
    return _show(terms)


async def _terms(conn: Conn, store_id: str) -> Terms:
    return at((await store.terms_of(conn, [store_id]))[store_id], clock.now())


def _show(terms: Terms) -> Data[ProgramReply]:
    return Data(
        data=ProgramReply(
            revenue_share_enabled=terms.enabled,
            revenue_share_percent=percent(terms.rate_bps),
            waiting_days=terms.waiting_days,
        )
    )
