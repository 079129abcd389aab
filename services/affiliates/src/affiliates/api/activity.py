"""Who did what in a store."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel

from affiliates import store_activity
from affiliates.store_activity import Activity
from chassis.http import Api, Caller, Conn, policy
from chassis.pagination import SEQUENCE, CursorParameter, Limit, Page, only_key, page_of, read_cursor

router = Api()


class ActivityReply(BaseModel):
    """What somebody did to a subject: a program (by its store's id), an affiliate, a commission, a claim."""

    at: datetime
    actor: str
    actor_id: str
    action: str
    subject_id: str
    note: str | None
    detail: dict[str, Any]


@router.get("/dev/v1/affiliates/activity")
@policy("affiliates.read")
async def activity(
    caller: Caller,
    conn: Conn,
    subject: Annotated[str | None, Query(pattern="^[a-z0-9_-]{1,64}$")] = None,
    limit: Limit = 25,
    cursor: CursorParameter = None,
) -> Page[ActivityReply]:
    """Who did what, the latest first."""
    filters = [subject]
    before = only_key(read_cursor(cursor, filters), SEQUENCE)
    rows = await store_activity.page_of_activity(conn, caller.store_id, subject, before, limit + 1)

    def show(row: Activity) -> ActivityReply:
        return ActivityReply.model_validate(row, from_attributes=True)

    return page_of(rows, limit, show, lambda row: [row.seq], filters)
