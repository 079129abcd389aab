"""Instants as a body or a query names them, and periods of a query."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Query
from pydantic import AfterValidator, AwareDatetime
from pydantic_core import PydanticCustomError

from chassis.problems import Flaw, Invalid

_LAST = datetime.max.replace(tzinfo=UTC)


def _utc(at: datetime) -> datetime:
    """An instant in UTC that comes back from the database as it was: asyncpg takes the last one for infinity."""
    try:
        its = at.astimezone(UTC)
    except OverflowError:
        its = _LAST
    if its == _LAST:
        raise PydanticCustomError("datetime_range", "There is no such instant in UTC")
    return its


Moment = Annotated[AwareDatetime, AfterValidator(_utc)]

Since = Annotated[Moment, Query(alias="from")]
Until = Annotated[Moment, Query(alias="to")]
PerhapsSince = Annotated[Moment | None, Query(alias="from")]
PerhapsUntil = Annotated[Moment | None, Query(alias="to")]


def check_period(since: datetime | None, until: datetime | None) -> None:
    """A period is from ``since`` until before ``until``. Raises ``Invalid`` when there is nothing in between."""
    if since is not None and until is not None and since >= until:
        flaw = Flaw(pointer="/query/to", code="period_empty", message="a period ends after it has begun")
        raise Invalid(errors=[flaw])
