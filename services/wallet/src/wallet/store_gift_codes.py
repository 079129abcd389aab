"""Gift codes, their batches, and who has tried to guess one.

Whoever redeems locks the attempts of the customers, sorted; then the codes, sorted; then ``append_batch`` the accounts.
A code is a root of its own: who voids codes locks them sorted and no account, and nobody who holds an account waits for
a code or an attempt.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from chassis.db import Conn
from wallet.entries import Entry
from wallet.gift_codes import Batch, Gift, Written


class Failures(NamedTuple):
    """How many attempts of a customer failed within the window, and in how many seconds the first is forgotten."""

    times: int
    seconds: int


async def add_batch(conn: Conn, batch: Batch, codes: Mapping[str, Written]) -> None:
    """Store a batch and what is kept of its codes, by their ids."""
    await conn.execute(
        """
        INSERT INTO gift_batch (
            store_id, batch_id, amount_minor, currency, redeem_until, credit_expiry_days, reason, note, created_at
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        """,
        batch.store_id,
        batch.batch_id,
        batch.amount_minor,
        batch.currency,
        batch.redeem_until,
        batch.credit_expiry_days,
        batch.reason,
        batch.note,
        batch.created_at,
    )
    await conn.execute(
        """
        INSERT INTO gift_code (store_id, batch_id, gift_id, hash, last4)
        SELECT $1, $2, * FROM unnest($3::text[], $4::bytea[], $5::text[])
        """,
        batch.store_id,
        batch.batch_id,
        list(codes),
        [its.digest for its in codes.values()],
        [its.last4 for its in codes.values()],
    )


async def gift_of(conn: Conn, store_id: str, gift_id: str) -> Gift | None:
    """A store's code, if it has one of this id."""
    row = await conn.row(
        """
        SELECT g.gift_id, g.batch_id, g.last4, g.status, g.redeemed_by, g.redeemed_at, g.entry_id, b.amount_minor,
               b.currency, b.redeem_until, b.credit_expiry_days, b.reason, b.note
        FROM gift_code g JOIN gift_batch b USING (store_id, batch_id)
        WHERE g.store_id = $1 AND g.gift_id = $2
        """,
        store_id,
        gift_id,
    )
    return None if row is None else Gift(*row)


async def page_of_gifts(
    conn: Conn, store_id: str, batch_id: str | None, status: str | None, now: datetime, before: str | None, limit: int
) -> list[Gift]:
    """A store's codes before one of them, newest first: of one batch or of all, of one status or of any."""
    rows = await conn.rows(
        """
        SELECT g.gift_id, g.batch_id, g.last4, g.status, g.redeemed_by, g.redeemed_at, g.entry_id, b.amount_minor,
               b.currency, b.redeem_until, b.credit_expiry_days, b.reason, b.note
        FROM gift_code g JOIN gift_batch b USING (store_id, batch_id)
        WHERE g.store_id = $1 AND ($2::text IS NULL OR g.batch_id = $2) AND ($5::text IS NULL OR g.gift_id < $5)
          AND ($3::text IS NULL OR $3 = CASE WHEN g.status = 'ACTIVE' AND b.redeem_until <= $4 THEN 'EXPIRED'
                                             ELSE g.status END)
        ORDER BY g.gift_id DESC LIMIT $6
        """,
        store_id,
        batch_id,
        status,
        now,
        before,
        limit,
    )
    return [Gift(*row) for row in rows]


async def void(conn: Conn, store_id: str, gift_id: str) -> None:
    """Let nobody redeem a code any more."""
    await conn.execute(
        "UPDATE gift_code SET status = 'VOID' WHERE store_id = $1 AND gift_id = $2 AND status = 'ACTIVE'",
        store_id,
        gift_id,
    )


async def void_batch(conn: Conn, store_id: str, batch_id: str) -> dict[str, int]:
    """Let nobody redeem a batch's codes any more; how many of them are void and redeemed now. Empty: no such batch."""
    await conn.execute(
        """
        WITH locked AS MATERIALIZED (
            SELECT gift_id FROM gift_code
            WHERE store_id = $1 AND batch_id = $2 AND status = 'ACTIVE'
            ORDER BY gift_id
            FOR UPDATE
        )
        UPDATE gift_code g SET status = 'VOID' FROM locked WHERE g.store_id = $1 AND g.gift_id = locked.gift_id
        """,
        store_id,
        batch_id,
    )
    rows = await conn.rows(
        "SELECT status, count(*) FROM gift_code WHERE store_id = $1 AND batch_id = $2 GROUP BY status",
        store_id,
        batch_id,
    )
    return {row[0]: row[1] for row in rows}


async def lock_failures(conn: Conn, store_id: str, customer_ids: Sequence[str]) -> dict[str, Failures]:
    """Have the attempts of these customers, given sorted, go one at a time; those that failed of late, in real time."""
    rows = await conn.rows(
        """
        INSERT INTO gift_attempt AS a (store_id, customer_id)
        SELECT $1, c.customer_id FROM unnest($2::text[]) WITH ORDINALITY AS c (customer_id, position)
        ORDER BY c.position
        ON CONFLICT (store_id, customer_id) DO UPDATE SET failed_at = ARRAY(
            SELECT at FROM unnest(a.failed_at) AS at WHERE at > clock_timestamp() - interval '15 minutes' ORDER BY at
        )
        RETURNING customer_id, cardinality(failed_at),
                  ceil(extract(epoch FROM coalesce(failed_at[1], now()) + interval '15 minutes' - now()))::int
        """,
        store_id,
        customer_ids,
    )
    return {row[0]: Failures(row[1], row[2]) for row in rows}


async def count_failures(conn: Conn, store_id: str, customer_ids: Sequence[str]) -> None:
    """Hold a failed attempt against each of these customers, several against one who is named as often."""
    await conn.execute(
        """
        UPDATE gift_attempt a SET failed_at = a.failed_at || array_fill(clock_timestamp(), ARRAY[c.times])
        FROM (SELECT customer_id, count(*)::int FROM unnest($2::text[]) AS u (customer_id) GROUP BY customer_id)
             AS c (customer_id, times)
        WHERE a.store_id = $1 AND a.customer_id = c.customer_id
        """,
        store_id,
        customer_ids,
    )


async def lock_gifts(conn: Conn, store_id: str, digests: Sequence[bytes]) -> dict[bytes, Gift]:
    """Lock the codes that these are the digests of, sorted."""
    rows = await conn.rows(
        """
        SELECT g.hash, g.gift_id, g.batch_id, g.last4, g.status, g.redeemed_by, g.redeemed_at, g.entry_id,
               b.amount_minor, b.currency, b.redeem_until, b.credit_expiry_days, b.reason, b.note
        FROM gift_code g JOIN gift_batch b USING (store_id, batch_id)
        WHERE g.store_id = $1 AND g.hash = ANY($2::bytea[])
        ORDER BY g.gift_id
        FOR UPDATE OF g
        """,
        store_id,
        digests,
    )
    return {row["hash"]: Gift(*row[1:]) for row in rows}


async def redeem(conn: Conn, store_id: str, entries: Sequence[Entry]) -> None:
    """Mark the codes, locked before, that led to these entries."""
    await conn.execute(
        """
        UPDATE gift_code g
        SET status = 'REDEEMED', redeemed_by = r.customer_id, redeemed_at = r.at, entry_id = r.entry_id
        FROM unnest($2::text[], $3::text[], $4::text[], $5::timestamptz[]) AS r (gift_id, customer_id, entry_id, at)
        WHERE g.store_id = $1 AND g.gift_id = r.gift_id
        """,
        store_id,
        [entry.cause_id for entry in entries],
        [entry.customer_id for entry in entries],
        [entry.entry_id for entry in entries],
        [entry.posted_at for entry in entries],
    )


async def forget_attempts(conn: Conn, limit: int) -> int:
    """Drop the rows of customers without a failure in the window; the number dropped."""
    return await conn.execute(
        """
        DELETE FROM gift_attempt WHERE (store_id, customer_id) IN (
            SELECT store_id, customer_id FROM gift_attempt a
            WHERE NOT EXISTS (
                SELECT FROM unnest(a.failed_at) AS at WHERE at > clock_timestamp() - interval '15 minutes'
            )
            ORDER BY store_id, customer_id LIMIT $1
            FOR UPDATE SKIP LOCKED
        )
        """,
        limit,
    )
