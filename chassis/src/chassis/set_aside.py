"""What a service has set aside, as an operator sees it: dead letters, and events that are parked (design §3)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from chassis.db import Conn


class Choice(NamedTuple):
    """Which rows are meant; ``None`` does not matter. ``kind`` is the error class of a letter, the reason of a wait."""

    kind: str | None = None
    type: str | None = None


ANY = Choice()


class Count(NamedTuple):
    """How many rows are of one kind and event type."""

    kind: str
    type: str | None
    rows: int


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter. ``error`` says where, never with what value; ``payload`` is ``None`` where none was kept."""

    number: int
    group: str
    topic: str
    partition: int | None
    offset: int | None
    key: str | None
    headers: dict[str, str]
    payload: bytes | None
    error_class: str
    error: str
    died_at: datetime
    unread: bool

    @property
    def type(self) -> str | None:
        """The event's type, if it came with one."""
        return self.headers.get("ce_type")


@dataclass(frozen=True, slots=True)
class Wait:
    """A parked event: how often it was too early (``attempts``), how often it failed, and when it is tried again."""

    number: int
    group: str
    topic: str
    key: str
    type: str
    reason: str
    attempts: int
    failures: int
    retry_at: datetime
    parked_at: datetime


async def letter_counts(conn: Conn, choice: Choice) -> list[Count]:
    """How many letters there are of each error class and event type."""
    rows = await conn.rows(
        """
        SELECT error_class, headers ->> 'ce_type', count(*) FROM dead_letter
        WHERE ($1::text IS NULL OR error_class = $1) AND ($2::text IS NULL OR headers ->> 'ce_type' = $2)
        GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2
        """,
        *choice,
    )
    return [Count(*row) for row in rows]


async def letters(conn: Conn, choice: Choice, limit: int) -> list[Letter]:
    """The latest letters, the last to die first."""
    rows = await conn.rows(
        """
        SELECT * FROM dead_letter
        WHERE ($1::text IS NULL OR error_class = $1) AND ($2::text IS NULL OR headers ->> 'ce_type' = $2)
        ORDER BY seq DESC LIMIT $3
        """,
        *choice,
        limit,
    )
    return [_letter(row) for row in rows]


async def letters_of(conn: Conn, numbers: Sequence[int]) -> list[Letter]:
    """The letters of these numbers that are still there, in this order."""
    rows = await conn.rows(
        """
        SELECT dead_letter.* FROM unnest($1::bigint[]) WITH ORDINALITY AS wanted (seq, position)
        JOIN dead_letter USING (seq) ORDER BY position
        """,
        numbers,
    )
    return [_letter(row) for row in rows]


async def wait_counts(conn: Conn, choice: Choice) -> list[Count]:
    """How many events are parked for each reason and type."""
    rows = await conn.rows(
        """
        SELECT reason, type, count(*) FROM parked
        WHERE ($1::text IS NULL OR reason = $1) AND ($2::text IS NULL OR type = $2)
        GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2
        """,
        *choice,
    )
    return [Count(*row) for row in rows]


async def waits(conn: Conn, choice: Choice, limit: int) -> list[Wait]:
    """The parked events, those that wait longest first."""
    rows = await conn.rows(
        """
        SELECT seq, consumer_group, topic, key, type, reason, attempts, failures, retry_at, parked_at FROM parked
        WHERE ($1::text IS NULL OR reason = $1) AND ($2::text IS NULL OR type = $2)
        ORDER BY parked_at, seq LIMIT $3
        """,
        *choice,
        limit,
    )
    return [Wait(*row) for row in rows]


def _letter(row: Any) -> Letter:
    place = row["partition"], row["offset"], row["key"]
    headers = json.loads(row["headers"])
    error = row["error_class"], row["error"], row["died_at"]
    return Letter(
        row["seq"], row["consumer_group"], row["topic"], *place, headers, row["payload"], *error, row["unread"]
    )
