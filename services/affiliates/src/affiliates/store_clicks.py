"""Clicks, counted per link and day."""

from collections.abc import Mapping
from datetime import date, datetime

from chassis.db import Conn


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


async def add_clicks(conn: Conn, store_id: str, clicks: Mapping[tuple[str, date], int]) -> None:
    """Count clicks on links that exist. Sorted, so that two batches never wait for each other in a circle."""
    await conn.execute(
        """
        INSERT INTO click_day (store_id, code, day, clicks)
        SELECT l.store_id, l.code, c.day, c.clicks
        FROM unnest($2::text[], $3::date[], $4::bigint[]) AS c (code, day, clicks)
        JOIN link l ON l.store_id = $1 AND l.code = c.code
        ORDER BY l.code, c.day
        ON CONFLICT (store_id, code, day) DO UPDATE SET clicks = click_day.clicks + excluded.clicks
        """,
        store_id,
        [code for code, _ in clicks],
        [day for _, day in clicks],
        list(clicks.values()),
    )


async def forget_batches(conn: Conn, before: datetime) -> int:
    """Drop what is known of batches that nobody sends again; the number dropped."""
    return await conn.execute(
        """
        DELETE FROM click_batch WHERE (store_id, batch_id) IN (
            SELECT store_id, batch_id FROM click_batch WHERE received_at < $1 LIMIT 500
        )
        """,
        before,
    )
