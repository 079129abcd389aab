"""Clicks on links: handed over by the gateway in batches, and shown day by day beside what they sold (features A8).

What is no link of ours is left out of a batch, never refused.
"""

import re
from datetime import UTC, date, timedelta
from typing import Annotated

from annotated_types import Ge, Lt
from fastapi import Query
from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from affiliates import store_clicks, store_links
from affiliates.api.shown import affiliate_of
from affiliates.clicks import Click, counted
from affiliates.links import canonical, conversion_percent
from affiliates.store_clicks import Day
from chassis import clock, stores
from chassis.http import Api, Caller, Conn, Data, policy
from chassis.money import Major, major
from chassis.problems import Flaw, Invalid, NotFound

router = Api()

_MOST = 500
_SHOWN = 30
_MOST_DAYS = 366
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def _iso(value: object) -> object:
    """No number of seconds, which one may take for a date, and no instant."""
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        raise PydanticCustomError("date_format", "A day is a text such as 2026-01-31")
    return value


Calendar = Annotated[date, Ge(date(2000, 1, 1)), Lt(date(9000, 1, 1)), BeforeValidator(_iso)]


class ClickBody(BaseModel):
    """One click; ``visitor`` is the gateway's keyed hash of who."""

    code: str
    visitor: Annotated[str, Field(pattern="^[A-Za-z0-9_-]{1,64}$")]
    bot: bool
    at: AwareDatetime


class ClickBatch(BaseModel):
    """Clicks on links of one store; a batch counts once, however often it is sent."""

    batch_id: Annotated[str, Field(pattern="^[A-Za-z0-9_-]{1,64}$")]
    clicks: Annotated[list[ClickBody], Field(max_length=_MOST)]


class BatchReply(BaseModel):
    """The batch is counted, now or before."""

    batch_id: str


class DayReply(BaseModel):
    """A day (UTC). ``unique_clicks`` counts a visitor once for each link; ``sales`` are by when orders were completed."""

    day: date
    clicks: int
    unique_clicks: int
    sales: int
    revenue: Major


class TotalsReply(BaseModel):
    """All days together. ``conversion_percent``: sales per hundred unique clicks; null where nobody came."""

    clicks: int
    unique_clicks: int
    sales: int
    revenue: Major
    conversion_percent: float | None


class ClicksReply(BaseModel):
    """Every day of a period, also those on which nothing happened."""

    data: list[DayReply]
    totals: TotalsReply
    currency: str


@router.post("/internal/v1/clicks")
@policy("internal")
async def add_clicks(batch: ClickBatch, caller: Caller, conn: Conn) -> Data[BatchReply]:
    """Count the clicks of people."""
    now = clock.now()
    if await store_clicks.add_batch(conn, caller.store_id, batch.batch_id, now):
        clicks = (Click(click.code, click.visitor, click.bot, click.at) for click in batch.clicks)
        await store_clicks.add_clicks(conn, caller.store_id, counted(clicks, now))
    return Data(data=BatchReply(batch_id=batch.batch_id))


@router.get("/dev/v1/customers/{customer_id}/affiliate/clicks")
@policy("customers.read")
async def clicks(
    customer_id: str,
    caller: Caller,
    conn: Conn,
    first: Annotated[Calendar | None, Query(alias="from")] = None,
    last: Annotated[Calendar | None, Query(alias="to")] = None,
    code: str | None = None,
) -> ClicksReply:
    """What an affiliate's links did, day by day, both ends included; the last 30 days unless told.

    ``code`` asks for one link of theirs, in any state; 404 for any other.
    """
    affiliate = await affiliate_of(conn, caller.store_id, customer_id)
    today = clock.now().astimezone(UTC).date()
    first = first or (last or today) - timedelta(days=_SHOWN - 1)
    _check(first, last, today)
    last = last or today
    kept = None if code is None else canonical(code)
    if code is not None and kept not in {link.code for link in await store_links.links_of(conn, affiliate)}:
        raise NotFound("they have no such link")
    days = await store_clicks.days_of(conn, affiliate, first, last, kept)
    return _show(days, await stores.currency(conn, caller.store_id))


def _check(first: date, last: date | None, today: date) -> None:
    """Raises ``Invalid`` unless there is a day in the period, and no more than a year. Without a last day: today."""
    pointer = "/query/from" if last is None else "/query/to"
    if first > (last or today):
        message = "it is after today" if last is None else "a period ends no sooner than it begins"
        raise Invalid(errors=[Flaw(pointer=pointer, code="period_empty", message=message)])
    if (last or today) - first >= timedelta(days=_MOST_DAYS):
        message = f"a period has at most {_MOST_DAYS} days{', and this one ends today' if last is None else ''}"
        raise Invalid(errors=[Flaw(pointer=pointer, code="period_too_long", message=message)])


def _show(days: list[Day], currency: str) -> ClicksReply:
    sales, unique_clicks = sum(day.sales for day in days), sum(day.unique_clicks for day in days)
    totals = TotalsReply(
        clicks=sum(day.clicks for day in days),
        unique_clicks=unique_clicks,
        sales=sales,
        revenue=major(sum(day.revenue_minor for day in days), currency),
        conversion_percent=conversion_percent(sales, unique_clicks),
    )
    shown = [
        DayReply(
            day=day.day,
            clicks=day.clicks,
            unique_clicks=day.unique_clicks,
            sales=day.sales,
            revenue=major(day.revenue_minor, currency),
        )
        for day in days
    ]
    return ClicksReply(data=shown, totals=totals, currency=currency)
