"""Finding what time has made due: without locks, then the accounts are locked, sorted, past those at work."""

from datetime import datetime

from chassis.db import Conn
from contracts.wallet import GrantExpiring
from wallet.terms import Terms


async def lock_expiring(conn: Conn, now: datetime, limit: int) -> list[tuple[str, str]]:
    """Lock accounts with credit whose date may have come: (store id, customer id)."""
    rows = await conn.rows(
        """
        WITH due AS (
            SELECT store_id, customer_id FROM account WHERE due_at <= $1 ORDER BY due_at LIMIT $2
        )
        SELECT a.store_id, a.customer_id FROM account a JOIN due USING (store_id, customer_id)
        WHERE a.due_at <= $1
        ORDER BY a.store_id, a.customer_id
        FOR UPDATE OF a SKIP LOCKED
        """,
        now,
        limit,
    )
    return [(row[0], row[1]) for row in rows]


async def lapsing(conn: Conn, now: datetime, limit: int) -> list[tuple[str, str, str]]:
    """Holds whose time is over: (store id, customer id, hold id). Locks nothing: what they free may move to others."""
    rows = await conn.rows(
        """
        SELECT store_id, customer_id, hold_id FROM hold
        WHERE status = 'placed' AND expires_at <= $1 ORDER BY expires_at LIMIT $2
        """,
        now,
        limit,
    )
    return [(row[0], row[1], row[2]) for row in rows]


async def merged(conn: Conn, limit: int) -> list[tuple[str, str, str]]:
    """Merged customers who have something to move: (store id, customer id, who acts for them). Locks nothing."""
    rows = await conn.rows(
        """
        WITH RECURSIVE due AS (
            SELECT a.store_id, a.customer_id, k.merged_into AS into_id, 1 AS hops
            FROM known_customer k
            JOIN account a ON a.store_id = k.store_id AND a.customer_id = k.id
            WHERE k.merged_into IS NOT NULL AND (a.balance_minor > a.held_minor OR a.debt_minor > 0)
            UNION ALL
            SELECT due.store_id, due.customer_id, k.merged_into, hops + 1
            FROM due JOIN known_customer k ON k.store_id = due.store_id AND k.id = due.into_id
            WHERE k.merged_into IS NOT NULL AND hops < 50
        )
        SELECT DISTINCT ON (store_id, customer_id) store_id, customer_id, into_id
        FROM due ORDER BY store_id, customer_id, hops DESC LIMIT $1
        """,
        limit,
    )
    return [(row[0], row[1], row[2]) for row in rows]


async def remind(conn: Conn, now: datetime, limit: int) -> list[GrantExpiring]:
    """Mark grants that expire within their store's reminder days; what is to be told of them.

    A grant whose date comes sooner than that is told at once.
    """
    rows = await conn.rows(
        """
        WITH due AS (
            SELECT g.store_id, g.customer_id, g.sequence
            FROM store s
            LEFT JOIN terms t ON t.store_id = s.store_id
            JOIN LATERAL (
                SELECT * FROM credit_grant g
                WHERE g.store_id = s.store_id AND g.open AND NOT g.reminded AND g.expires_at IS NOT NULL
                  AND g.expires_at <= $1::timestamptz + make_interval(days => CASE WHEN t.store_id IS NULL THEN $3::int
                                                                     ELSE t.reminder_days END)
                ORDER BY g.expires_at LIMIT $2
            ) AS g ON true
            LIMIT $2
        ), locked AS (
            SELECT a.store_id, a.customer_id FROM account a
            WHERE (a.store_id, a.customer_id) IN (SELECT store_id, customer_id FROM due)
            ORDER BY a.store_id, a.customer_id
            FOR UPDATE SKIP LOCKED
        )
        UPDATE credit_grant g SET reminded = true
        FROM due JOIN locked USING (store_id, customer_id)
        JOIN account a USING (store_id, customer_id)
        WHERE (g.store_id, g.customer_id, g.sequence) = (due.store_id, due.customer_id, due.sequence)
          AND g.open AND NOT g.reminded
        RETURNING g.store_id, g.entry_id, g.customer_id, g.left_minor, a.currency, g.expires_at
        """,
        now,
        limit,
        Terms().reminder_days,
    )
    return [
        GrantExpiring(
            store_id=row["store_id"],
            entry_id=row["entry_id"],
            customer_id=row["customer_id"],
            amount_minor=row["left_minor"],
            currency=row["currency"],
            expires_at=row["expires_at"],
        )
        for row in rows
        if row["expires_at"] > now
    ]
