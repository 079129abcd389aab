"""Instants as a body or a query names them, and periods of a query."""

import re
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Query
from pydantic import AfterValidator, AwareDatetime, BeforeValidator
from pydantic_core import PydanticCustomError

from chassis.problems import Flaw, Invalid

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d")
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


def _rfc_3339(value: object) -> object:
    """No number of seconds, which one may take for a date, and no date without a time."""
    if not isinstance(value, str) or not _RFC_3339.match(value):
        message = "An instant is a text such as 2026-01-31T12:00:00Z (RFC 3339; in a query, a plus is %2B)"
        raise PydanticCustomError("datetime_format", message)
    return value


Moment = Annotated[AwareDatetime, AfterValidator(_utc), BeforeValidator(_rfc_3339)]

Since = Annotated[Moment, Query(alias="from")]
Until = Annotated[Moment, Query(alias="to")]
PerhapsSince = Annotated[Moment | None, Query(alias="from")]
PerhapsUntil = Annotated[Moment | None, Query(alias="to")]


def check_period(since: datetime | None, until: datetime | None) -> None:
    """A period is from ``since`` until before ``until``. Raises ``Invalid`` when there is nothing in between."""
    if since is not None and until is not None and since >= until:
        flaw = Flaw(pointer="/query/to", code="period_empty", message="a period ends after it has begun")
        raise Invalid(errors=[flaw])
