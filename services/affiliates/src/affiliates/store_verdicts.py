"""What fraud-block thought of orders, where it was not content with them."""

from collections.abc import Collection
from datetime import datetime

from affiliates import store
from chassis.db import Conn
from contracts.fraud import ScreeningDecided

Key = tuple[str, str]


async def add_verdict(conn: Conn, verdict: ScreeningDecided, now: datetime) -> None:
    """Keep what fraud-block thought of an order; the first word stays."""
    await conn.execute(
        """
        INSERT INTO verdict (store_id, order_id, decision, rule_ids, heard_at) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT DO NOTHING
        """,
        verdict.store_id,
        verdict.subject,
        verdict.decision,
        list(verdict.rule_ids),
        now,
    )


async def suspects_among(conn: Conn, orders: Collection[Key]) -> set[Key]:
    """Those of the orders that fraud-block was not content with."""
    rows = await conn.rows(
        """
        SELECT store_id, order_id
        FROM verdict JOIN unnest($1::text[], $2::text[]) AS k (store_id, order_id) USING (store_id, order_id)
        """,
        *store.columns(orders),
    )
    return {(row["store_id"], row["order_id"]) for row in rows}


async def close_verdicts(conn: Conn, before: datetime, limit: int) -> int:
    """Look no more at verdicts heard before then that leave nothing to hold; how many."""
    return await conn.execute(
        """
        UPDATE verdict SET open = false WHERE (store_id, order_id) IN (
            SELECT store_id, order_id FROM verdict v
            WHERE v.open AND v.heard_at < $1 AND NOT EXISTS (
                SELECT FROM commission c
                WHERE c.store_id = v.store_id AND c.order_id = v.order_id
                  AND c.state IN ('pending', 'payable') AND c.cleared_at IS NULL
            )
            ORDER BY v.heard_at LIMIT $2
        )
        """,
        before,
        limit,
    )
