"""Who did what: kept for ever, beside what it changed."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from affiliates.store import plan_each
from chassis.db import Conn
from chassis.tokens import Caller


@dataclass(frozen=True, slots=True)
class Activity:
    """What somebody did: what they said to it, and what it changed."""

    seq: int
    at: datetime
    actor: str
    actor_id: str
    action: str
    subject_id: str
    note: str | None
    detail: dict[str, Any]


async def note(
    conn: Conn, caller: Caller, action: str, subject_id: str, now: datetime, *, said: str | None = None, **detail: Any
) -> None:
    """Keep that a caller did this to a subject: what they said to it, and what it changed."""
    await conn.execute(
        """
        INSERT INTO activity (store_id, at, actor, actor_id, action, subject_id, note, detail)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        """,
        caller.store_id,
        now,
        caller.actor,
        caller.actor_id,
        action,
        subject_id,
        said,
        json.dumps(detail),
    )


async def page_of_activity(
    conn: Conn, store_id: str, subject_id: str | None, before: int | None, limit: int
) -> list[Activity]:
    """What was done in a store, or to a subject, before a number, the latest first."""
    await plan_each(conn)
    rows = await conn.rows(
        """
        SELECT seq, at, actor, actor_id, action, subject_id, note, detail FROM activity
        WHERE store_id = $1 AND ($2::text IS NULL OR subject_id = $2) AND ($3::bigint IS NULL OR seq < $3)
        ORDER BY seq DESC LIMIT $4
        """,
        store_id,
        subject_id,
        before,
        limit,
    )
    return [Activity(**dict(row) | {"detail": json.loads(row["detail"])}) for row in rows]
