"""Clicks, counted per link and day, and what came of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from affiliates.enrolment import Affiliate
from affiliates.store import plan_each
from chassis.db import Conn


@dataclass(frozen=True, slots=True)
class Day:
    """What an affiliate's links did on a day. ``revenue_minor`` is in the store's currency."""

    day: date
    clicks: int
    unique_clicks: int
    sales: int
    revenue_minor: int


async def add_batch(conn: Conn, store_id: str, batch_id: str, now: datetime) -> bool:
    """Claim a batch; ``False`` when it has been counted. Waits for another process that is counting it."""
    return bool(
        await conn.execute(
            "INSERT INTO click_batch (store_id, batch_id, received_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            store_id,
            batch_id,
            now,
        )
    )


async def add_clicks(conn: Conn, store_id: str, clicks: Mapping[tuple[str, date, str], int]) -> None:
    """Count clicks, per code, day and visitor, on links that are active.

    Visitors first, then days, then totals, all sorted: two batches never wait for each other in a circle.
    """
    await conn.execute(
        """
        WITH visit AS (
            SELECT l.code, c.day, c.visitor, c.clicks
            FROM unnest($2::text[], $3::date[], $4::text[], $5::bigint[]) AS c (code, day, visitor, clicks)
            JOIN link l ON l.store_id = $1 AND l.code = c.code AND l.state = 'active'
        ), first AS (
            INSERT INTO click_visitor (store_id, code, day, visitor)
            SELECT $1, code, day, visitor FROM visit ORDER BY code, day, visitor
            ON CONFLICT DO NOTHING
            RETURNING code, day
        ), fresh AS MATERIALIZED (
            SELECT code, day, count(*) AS visitors FROM first GROUP BY 1, 2
        ), counted AS (
            INSERT INTO click_day AS d (store_id, code, day, clicks, unique_clicks)
            SELECT $1, code, day, sum(clicks), coalesce(min(visitors), 0)
            FROM visit LEFT JOIN fresh USING (code, day) GROUP BY code, day ORDER BY code, day
            ON CONFLICT (store_id, code, day) DO UPDATE
            SET clicks = d.clicks + excluded.clicks, unique_clicks = d.unique_clicks + excluded.unique_clicks
            RETURNING new.code, new.clicks - coalesce(old.clicks, 0) AS clicks,
                      new.unique_clicks - coalesce(old.unique_clicks, 0) AS unique_clicks
        )
        INSERT INTO click_total AS t (store_id, code, clicks, unique_clicks)
        SELECT $1, code, sum(clicks), sum(unique_clicks) FROM counted GROUP BY code ORDER BY code
        ON CONFLICT (store_id, code) DO UPDATE
        SET clicks = t.clicks + excluded.clicks, unique_clicks = t.unique_clicks + excluded.unique_clicks
        """,
        store_id,
        [code for code, _, _ in clicks],
        [day for _, day, _ in clicks],
        [visitor for _, _, visitor in clicks],
        list(clicks.values()),
    )


async def days_of(conn: Conn, affiliate: Affiliate, first: date, last: date, code: str | None) -> list[Day]:
    """Every day from the first to the last (UTC) of all links of an affiliate, or of the one with this code.

    A sale is of the day its order was completed; it counts as it does for the link: not when declined or denied.
    """
    await plan_each(conn)
    rows = await conn.rows(
        """
        WITH clicked AS (
            SELECT c.day, sum(c.clicks) AS clicks, sum(c.unique_clicks) AS unique_clicks
            FROM link l JOIN click_day c USING (store_id, code)
            WHERE l.store_id = $1 AND l.affiliate_id = $2 AND ($5::text IS NULL OR l.code = $5)
              AND c.day BETWEEN $3::date AND $4::date
            GROUP BY 1
        ), its AS (
            SELECT affiliate_id FROM affiliate WHERE store_id = $1 AND (affiliate_id = $2 OR merged_into = $2)
        )
        SELECT d::date AS day, coalesce(clicks, 0)::bigint AS clicks, coalesce(unique_clicks, 0)::bigint AS unique_clicks,
               sales, revenue::bigint AS revenue_minor
        FROM generate_series($3::date::timestamp, $4::date::timestamp, '1 day') AS d
        LEFT JOIN clicked ON clicked.day = d::date
        CROSS JOIN LATERAL (
            SELECT count(*) AS sales, coalesce(sum(revenue_minor), 0) AS revenue
            FROM its JOIN commission USING (affiliate_id)
            WHERE store_id = $1 AND ($5::text IS NULL OR code = $5)
              AND state IN ('held', 'pending', 'payable')
              AND earned_at >= d AT TIME ZONE 'UTC' AND earned_at < (d + interval '1 day') AT TIME ZONE 'UTC'
        ) AS sold
        ORDER BY d
        """,
        affiliate.store_id,
        affiliate.affiliate_id,
        first,
        last,
        code,
    )
    return [Day(**row) for row in rows]


async def forget_batches(conn: Conn, before: datetime) -> int:
    """Drop what is known of batches that nobody sends again; the number dropped."""
    return await conn.execute(
        """
        DELETE FROM click_batch WHERE (store_id, batch_id) IN (
            SELECT store_id, batch_id FROM click_batch WHERE received_at < $1 ORDER BY received_at LIMIT 500
        )
        """,
        before,
    )


async def forget_visitors(conn: Conn, before: date) -> int:
    """Drop who followed links on days of which no click counts any more; the number dropped."""
    return await conn.execute(
        """
        DELETE FROM click_visitor WHERE (store_id, code, day, visitor) IN (
            SELECT store_id, code, day, visitor FROM click_visitor WHERE day < $1 ORDER BY day LIMIT 500
        )
        """,
        before,
    )
