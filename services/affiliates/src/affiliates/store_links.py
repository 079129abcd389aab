"""Links, and what came of them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import asyncpg

from affiliates.enrolment import Affiliate
from affiliates.links import MOST, Link, State, new_link
from affiliates.store import plan_each
from chassis.db import Conn


async def add_link(conn: Conn, store_id: str, link: Link) -> bool:
    """Give an affiliate a link, or keep that they ask for it; ``False`` when the code is taken."""
    return bool(
        await conn.execute(
            """
            INSERT INTO link (store_id, code, affiliate_id, added_at, custom, state, active_from)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            ON CONFLICT (store_id, code) DO NOTHING
            """,
            store_id,
            link.code,
            link.affiliate_id,
            link.added_at,
            link.custom,
            link.state,
            link.active_from,
        )
    )


async def links_of(conn: Conn, affiliate: Affiliate) -> Sequence[Link]:
    """An affiliate's links and what came of each. The first is theirs: active before others, chosen before made up."""
    rows = await conn.rows(
        """
        SELECT l.*, coalesce(t.clicks, 0) AS total_clicks, coalesce(t.unique_clicks, 0) AS unique_clicks
        FROM link l LEFT JOIN click_total t USING (store_id, code)
        WHERE store_id = $1 AND affiliate_id = $2
        ORDER BY state <> 'active', custom DESC, added_at, code
        """,
        affiliate.store_id,
        affiliate.affiliate_id,
    )
    return [link_in(row) for row in rows]


async def page_of_links(
    conn: Conn, store_id: str, state: State | None, after: str | None, limit: int
) -> list[tuple[Link, str]]:
    """A store's links after a code, by their codes, each with the customer whose it is."""
    await plan_each(conn)
    rows = await conn.rows(
        """
        SELECT l.*, a.customer_id, coalesce(t.clicks, 0) AS total_clicks,
               coalesce(t.unique_clicks, 0) AS unique_clicks
        FROM link l JOIN affiliate a USING (store_id, affiliate_id) LEFT JOIN click_total t USING (store_id, code)
        WHERE l.store_id = $1 AND ($2::text IS NULL OR l.state = $2) AND ($3::text IS NULL OR l.code > $3)
        ORDER BY l.code LIMIT $4
        """,
        store_id,
        state,
        after,
        limit,
    )
    return [(link_in(row), row["customer_id"]) for row in rows]


async def save_link(conn: Conn, affiliate: Affiliate, link: Link) -> None:
    """Keep where a link stands, and of one that is taken up again when it was active before. The affiliate must be locked."""
    await conn.execute(
        """
        UPDATE link SET state = $4, active_from = $5, removed_at = $6, earlier = CASE
            WHEN state = 'removed' AND $4 = 'active'
            THEN earlier + tstzmultirange(tstzrange(least(active_from, removed_at), removed_at))
            ELSE earlier END
        WHERE store_id = $1 AND affiliate_id = $2 AND code = $3
        """,
        affiliate.store_id,
        affiliate.affiliate_id,
        link.code,
        link.state,
        link.active_from,
        link.removed_at,
    )


async def times_active(conn: Conn, store_id: str, code: str) -> int:
    """How many times a link was active before it was taken up the last time."""
    times: int = await conn.value(
        "SELECT count(*) FROM link, unnest(earlier) WHERE store_id = $1 AND code = $2", store_id, code
    )
    return times


async def drop_request(conn: Conn, affiliate: Affiliate, code: str) -> None:
    """Forget that an affiliate asked for a code: they do no longer, and it is free. The affiliate must be locked."""
    await conn.execute(
        "DELETE FROM link WHERE store_id = $1 AND affiliate_id = $2 AND code = $3 AND state = 'requested'",
        affiliate.store_id,
        affiliate.affiliate_id,
        code,
    )


async def reject_request(conn: Conn, affiliate: Affiliate, code: str, reason: str, now: datetime) -> None:
    """Have a code be free again that an affiliate asked for, and keep why. The affiliate must be locked."""
    await conn.execute(
        """
        WITH asked AS (
            DELETE FROM link WHERE store_id = $1 AND affiliate_id = $2 AND code = $3 AND state = 'requested'
            RETURNING store_id, affiliate_id, code, added_at
        )
        INSERT INTO rejected_link (store_id, affiliate_id, code, requested_at, rejected_at, reason)
        SELECT store_id, affiliate_id, code, added_at, $4, $5 FROM asked
        ON CONFLICT (store_id, affiliate_id, code) DO UPDATE
        SET requested_at = excluded.requested_at, rejected_at = excluded.rejected_at, reason = excluded.reason
        """,
        affiliate.store_id,
        affiliate.affiliate_id,
        code,
        now,
        reason,
    )


async def rejected_of(conn: Conn, affiliate: Affiliate) -> Sequence[Link]:
    """The codes an affiliate asked for in vain and does not have since, the latest first."""
    rows = await conn.rows(
        """
        SELECT code, requested_at, reason FROM rejected_link r
        WHERE store_id = $1 AND affiliate_id = $2 AND NOT EXISTS (
            SELECT FROM link l WHERE (l.store_id, l.code) = (r.store_id, r.code) AND l.affiliate_id = r.affiliate_id
        )
        ORDER BY rejected_at DESC, code LIMIT $3
        """,
        affiliate.store_id,
        affiliate.affiliate_id,
        MOST,
    )
    return [
        replace(
            new_link(affiliate.affiliate_id, row["code"], row["requested_at"], needs_approval=True),
            state=State.REJECTED,
            reason=row["reason"],
        )
        for row in rows
    ]


def link_in(row: asyncpg.Record) -> Link:
    """The link that a row is."""
    return Link(
        code=row["code"],
        affiliate_id=row["affiliate_id"],
        state=State(row["state"]),
        custom=row["custom"],
        added_at=row["added_at"],
        active_from=row["active_from"],
        removed_at=row["removed_at"],
        total_clicks=row["total_clicks"],
        unique_clicks=row["unique_clicks"],
        total_sales=row["total_sales"],
        total_revenue_minor=row["total_revenue_minor"],
    )
