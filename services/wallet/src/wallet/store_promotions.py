"""Promotions and those who are to get them."""

import json
from collections.abc import Sequence
from dataclasses import astuple
from datetime import datetime
from typing import Any

from chassis.db import Conn
from wallet.promotions import Promotion, Recipient, RecipientStatus

_MOST_UNPUBLISHED = 2_000


async def add(conn: Conn, promotion: Promotion, customer_ids: Sequence[str]) -> None:
    """Store a promotion and its list of distinct customers, all pending."""
    await conn.execute(
        """
        INSERT INTO promotion (store_id, promotion_id, amount_minor, currency, reason, note, expires_at, notify, status,
                               total, created_at, worked_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)
        """,
        *astuple(promotion)[:11],
    )
    await conn.execute(
        "INSERT INTO promotion_recipient (store_id, promotion_id, customer_id) SELECT $1, $2, unnest($3::text[])",
        promotion.store_id,
        promotion.promotion_id,
        customer_ids,
    )


async def promotion_of(conn: Conn, store_id: str, promotion_id: str) -> Promotion | None:
    """A store's promotion, if it has one of this id."""
    row = await conn.row(
        """
        SELECT store_id, promotion_id, amount_minor, currency, reason, note, expires_at, notify, status, total,
               created_at, finished_at, granted, clipped, granted_minor, refused
        FROM promotion WHERE store_id = $1 AND promotion_id = $2
        """,
        store_id,
        promotion_id,
    )
    return None if row is None else _promotion(row)


async def page_of_promotions(conn: Conn, store_id: str, before: str | None, limit: int) -> list[Promotion]:
    """A store's promotions before one of them, newest first."""
    rows = await conn.rows(
        """
        SELECT store_id, promotion_id, amount_minor, currency, reason, note, expires_at, notify, status, total,
               created_at, finished_at, granted, clipped, granted_minor, refused
        FROM promotion WHERE store_id = $1 AND ($2::text IS NULL OR promotion_id < $2)
        ORDER BY promotion_id DESC LIMIT $3
        """,
        store_id,
        before,
        limit,
    )
    return [_promotion(row) for row in rows]


async def page_of_recipients(
    conn: Conn, store_id: str, promotion_id: str, status: str | None, after: str | None, limit: int
) -> list[Recipient]:
    """Those on a promotion's list after one of them, of one status or of all."""
    rows = await conn.rows(
        """
        SELECT customer_id, status, reason, entry_id
        FROM promotion_recipient
        WHERE store_id = $1 AND promotion_id = $2
          AND ($3::text IS NULL OR status = $3) AND ($4::text IS NULL OR customer_id > $4)
        ORDER BY customer_id LIMIT $5
        """,
        store_id,
        promotion_id,
        status,
        after,
        limit,
    )
    return [Recipient(*row) for row in rows]


async def cancel(conn: Conn, store_id: str, promotion_id: str, now: datetime) -> None:
    """Stop what of a promotion is not done. A slice that is at it comes first."""
    await conn.execute(
        """
        UPDATE promotion SET status = 'CANCELLED', finished_at = $3
        WHERE store_id = $1 AND promotion_id = $2 AND status = 'RUNNING'
        """,
        store_id,
        promotion_id,
        now,
    )


async def much_is_unpublished(conn: Conn) -> bool:
    """Whether bulk should wait for the relay (design §3)."""
    rows: int = await conn.value("SELECT count(*) FROM (SELECT FROM outbox LIMIT $1) AS o", _MOST_UNPUBLISHED + 1)
    return rows > _MOST_UNPUBLISHED


async def lock_next(conn: Conn, waiting: Sequence[str]) -> Promotion | None:
    """Lock the running promotion that was worked on longest ago, past those that wait or that somebody is cancelling.

    Before any account: nobody who holds one waits for a promotion.
    """
    row = await conn.row(
        """
        SELECT store_id, promotion_id, amount_minor, currency, reason, note, expires_at, notify, status, total,
               created_at, finished_at, granted, clipped, granted_minor, refused
        FROM promotion WHERE status = 'RUNNING' AND promotion_id <> ALL($1::text[])
        ORDER BY worked_at, promotion_id LIMIT 1
        FOR UPDATE SKIP LOCKED
        """,
        waiting,
    )
    return None if row is None else _promotion(row)


async def pending(conn: Conn, promotion: Promotion, limit: int) -> list[str]:
    """The first customers on the list with whom nothing is done yet."""
    rows = await conn.rows(
        """
        SELECT customer_id FROM promotion_recipient
        WHERE store_id = $1 AND promotion_id = $2 AND status = 'PENDING'
        ORDER BY customer_id LIMIT $3
        """,
        promotion.store_id,
        promotion.promotion_id,
        limit,
    )
    return [row[0] for row in rows]


async def pending_known(conn: Conn, promotion: Promotion, limit: int) -> list[str]:
    """The first customers on the list with whom nothing is done yet and of whom we have heard.

    Looked up one by one, in the order of the list: nothing is sorted, and no other customer of the store is read.
    """
    rows = await conn.rows(
        """
        SELECT customer_id FROM promotion_recipient r
        WHERE store_id = $1 AND promotion_id = $2 AND status = 'PENDING'
          AND (SELECT true FROM known_customer k WHERE k.store_id = r.store_id AND k.id = r.customer_id)
        ORDER BY customer_id LIMIT $3
        """,
        promotion.store_id,
        promotion.promotion_id,
        limit,
    )
    return [row[0] for row in rows]


async def already_given(conn: Conn, promotion: Promotion, customer_ids: Sequence[str]) -> list[str]:
    """Who has got a promotion: those of these customers, and all who were merged since."""
    rows = await conn.rows(
        """
        SELECT customer_id FROM entry
        WHERE store_id = $1 AND cause_kind = 'promotion' AND cause_id = $2 AND customer_id = ANY($3::text[])
        UNION ALL
        SELECT e.customer_id FROM known_customer k
        JOIN entry e ON e.store_id = k.store_id AND e.customer_id = k.id
        WHERE k.store_id = $1 AND k.merged_into IS NOT NULL AND e.cause_kind = 'promotion' AND e.cause_id = $2
        """,
        promotion.store_id,
        promotion.promotion_id,
        customer_ids,
    )
    return [row[0] for row in rows]


async def record(conn: Conn, promotion: Promotion, done: Sequence[Recipient], now: datetime) -> None:
    """Store what became of these on the list, and how far the promotion has come."""
    await conn.execute(
        """
        UPDATE promotion_recipient r SET status = d.status, reason = d.reason, entry_id = d.entry_id
        FROM unnest($3::text[], $4::text[], $5::text[], $6::text[]) AS d (customer_id, status, reason, entry_id)
        WHERE r.store_id = $1 AND r.promotion_id = $2 AND r.customer_id = d.customer_id AND r.status = $7
        """,
        promotion.store_id,
        promotion.promotion_id,
        [its.customer_id for its in done],
        [its.status for its in done],
        [its.reason for its in done],
        [its.entry_id for its in done],
        RecipientStatus.PENDING,
    )
    await conn.execute(
        """
        UPDATE promotion
        SET status = $3, finished_at = $4, granted = $5, clipped = $6, granted_minor = $7, refused = $8, worked_at = $9
        WHERE store_id = $1 AND promotion_id = $2
        """,
        promotion.store_id,
        promotion.promotion_id,
        promotion.status,
        promotion.finished_at,
        promotion.granted,
        promotion.clipped,
        promotion.granted_minor,
        json.dumps(promotion.refused),
        now,
    )


def _promotion(row: Any) -> Promotion:
    return Promotion(**dict(row) | {"refused": json.loads(row["refused"])})
