"""Lists are keyset cursors: a page, and an opaque word for where the next one starts (design §1 rule 13)."""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field, TypeAdapter

from chassis.problems import InvalidCursor

T = TypeVar("T")
R = TypeVar("R")

Limit = Annotated[int, Query(ge=1, le=100)]
SEQUENCE = TypeAdapter(Annotated[int, Field(ge=0, lt=2**63)])  # a key that is a number of the database's
# The list at hand: its store, and its path as the caller wrote it, so that a customer in it who is merged stays the same.
asked: ContextVar[tuple[str, str]] = ContextVar("asked")
CursorParameter = Annotated[str | None, Query(alias="cursor", max_length=1000)]


class Page(BaseModel, Generic[T]):
    """One page of a list."""

    data: list[T]
    has_more: bool
    next_cursor: str | None


def read_cursor(cursor: str | None, filters: object = None) -> list[str | int] | None:
    """The keys of the last row of the page before, as ``page_of`` was given them; ``None`` on the first page.

    Inside a request of ``chassis.http`` only, which says what list is at hand.

    Raises:
        InvalidCursor: it is not a cursor, or was made for another list, in another store or under other filters.
    """
    if cursor is None:
        return None
    try:
        mark, keys = json.loads(base64.urlsafe_b64decode(cursor.encode()))
    except (binascii.Error, ValueError, TypeError):
        raise InvalidCursor from None
    if mark != _mark(filters) or not isinstance(keys, list) or not all(isinstance(key, str | int) for key in keys):
        raise InvalidCursor
    return keys


def only_key(keys: list[str | int] | None, kind: TypeAdapter[T]) -> T | None:
    """The one key of a cursor, if it is of this kind. Raises ``InvalidCursor``: a caller may make cursors up."""
    if keys is None:
        return None
    try:
        (key,) = keys
        return kind.validate_python(key, strict=True)
    except ValueError:
        raise InvalidCursor from None


def page_of(
    rows: Sequence[R], limit: int, show: Callable[[R], T], keys: Callable[[R], list[str | int]], filters: object = None
) -> Page[T]:
    """A page from up to ``limit + 1`` rows; the one too many says that there are more.

    Inside a request of ``chassis.http`` only, which says what list is at hand.
    """
    shown = rows[:limit]
    has_more = len(rows) > limit
    cursor = _write_cursor(keys(shown[-1]), filters) if has_more else None
    return Page(data=[show(row) for row in shown], has_more=has_more, next_cursor=cursor)


def _write_cursor(keys: list[str | int], filters: object) -> str:
    return base64.urlsafe_b64encode(json.dumps([_mark(filters), keys]).encode()).decode()


def _mark(filters: object) -> str:
    return hashlib.sha256(json.dumps([asked.get(), filters], sort_keys=True, default=str).encode()).hexdigest()[:12]
