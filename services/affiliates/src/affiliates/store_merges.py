"""Affiliates whose customers were merged, and who may be somebody else for other reasons: they are looked at again."""

from datetime import datetime
from typing import NamedTuple

from affiliates import store
from affiliates.enrolment import Affiliate
from chassis.db import Conn


class Due(NamedTuple):
    """An affiliate of whom there is something new to know who they are; ``seqs``: all that is new."""

    store_id: str
    affiliate_id: str
    seqs: list[int]
    spreads: bool
    tries: int


async def note_merges(conn: Conn, limit: int) -> int:
    """Have affiliates looked at whose customers take part in merges that were heard; how many merges."""
    heard = await conn.rows(
        """
        UPDATE known_customer k SET followed_into = due.merged_into
        FROM (
            SELECT store_id, id, merged_into FROM known_customer
            WHERE merged_into IS NOT NULL AND merged_into IS DISTINCT FROM followed_into
            ORDER BY merged_into LIMIT $1 FOR UPDATE SKIP LOCKED
        ) AS due
        WHERE (k.store_id, k.id) = (due.store_id, due.id)
        RETURNING k.store_id, k.id, due.merged_into
        """,
        limit,
    )
    if heard:
        await conn.execute(
            """
            WITH RECURSIVE reached AS (
                SELECT h.store_id, its.id, its.hops
                FROM unnest($1::text[], $2::text[], $3::text[]) AS h (store_id, id, merged_into)
                CROSS JOIN LATERAL (VALUES (h.id, 0), (h.merged_into, 1)) AS its (id, hops)
                UNION
                SELECT r.store_id, k.merged_into, hops + 1
                FROM reached r CROSS JOIN LATERAL (
                    SELECT merged_into FROM known_customer k
                    WHERE k.store_id = r.store_id AND k.id = r.id AND k.merged_into IS NOT NULL LIMIT 1
                ) AS k
                WHERE hops < 50
            )
            INSERT INTO look_again (store_id, affiliate_id)
            SELECT r.store_id, a.affiliate_id
            FROM reached r CROSS JOIN LATERAL (
                SELECT affiliate_id FROM affiliate a
                WHERE a.store_id = r.store_id AND a.customer_id = r.id AND a.merged_into IS NULL LIMIT 1
            ) AS a
            GROUP BY 1, 2 ORDER BY min(r.hops)
            """,
            [row["store_id"] for row in heard],
            [row["id"] for row in heard],
            [row["merged_into"] for row in heard],
        )
    return len(heard)


async def next_due(conn: Conn) -> Due | None:
    """Whom to look at now. One look is for all that was new by then."""
    row = await conn.row(
        """
        SELECT store_id, affiliate_id, array_agg(seq) AS seqs, bool_or(spreads) AS spreads, max(tries) AS tries
        FROM look_again JOIN (
            SELECT store_id, affiliate_id FROM look_again WHERE due_at <= now() ORDER BY due_at, seq LIMIT 1
        ) AS first USING (store_id, affiliate_id)
        GROUP BY 1, 2
        """
    )
    return None if row is None else Due(*row)


async def look_later(conn: Conn, due: Due) -> None:
    """Put off what failed: ever longer, and behind all others."""
    await conn.execute(
        """
        UPDATE look_again SET tries = $4 + 1, due_at = now() + least(2 ^ least($4, 10) * 5, 3600) * interval '1 s'
        WHERE store_id = $1 AND affiliate_id = $2 AND seq = ANY($3)
        """,
        due.store_id,
        due.affiliate_id,
        due.seqs,
        due.tries,
    )


async def looked(conn: Conn, due: Due) -> None:
    """Note that an affiliate was looked at."""
    await conn.execute(
        "DELETE FROM look_again WHERE store_id = $1 AND affiliate_id = $2 AND seq = ANY($3)",
        due.store_id,
        due.affiliate_id,
        due.seqs,
    )


async def looked_in_part(conn: Conn, due: Due) -> None:
    """Note that there is more to look at of an affiliate."""
    await conn.execute(
        "UPDATE look_again SET spreads = false WHERE store_id = $1 AND affiliate_id = $2 AND seq = ANY($3)",
        due.store_id,
        due.affiliate_id,
        due.seqs,
    )


async def lock_all(conn: Conn, affiliate: Affiliate, customer_id: str) -> list[Affiliate]:
    """The unmerged affiliates who are this one or that customer, locked with those merged into this one, sorted."""
    rows = await conn.rows(
        """
        SELECT * FROM affiliate
        WHERE store_id = $1 AND (affiliate_id = $2 OR merged_into = $2 OR (customer_id = $3 AND merged_into IS NULL))
        ORDER BY affiliate_id FOR UPDATE
        """,
        affiliate.store_id,
        affiliate.affiliate_id,
        customer_id,
    )
    return [store.affiliate_in(row) for row in rows if row["merged_into"] is None]


async def save_customer(conn: Conn, affiliate: Affiliate) -> None:
    """Keep which customer an affiliate is. They must be locked."""
    await conn.execute(
        "UPDATE affiliate SET customer_id = $3 WHERE store_id = $1 AND affiliate_id = $2",
        affiliate.store_id,
        affiliate.affiliate_id,
        affiliate.customer_id,
    )


async def absorb(conn: Conn, old: Affiliate, survivor: Affiliate, now: datetime) -> None:
    """Make one affiliate another: all but their money. Both must be locked, and who was merged into the old one.

    Commissions and claims keep whose they were: whoever reads them asks whom that one was merged into.
    """
    pair = old.store_id, old.affiliate_id, survivor.affiliate_id
    await conn.execute(
        """
        UPDATE link SET affiliate_id = $3, earlier_owners = array_append(earlier_owners, affiliate_id),
                        owned_until = array_append(owned_until, $4)
        WHERE store_id = $1 AND affiliate_id = $2
        """,
        *pair,
        now,
    )
    await conn.execute(
        """
        WITH given AS (
            DELETE FROM rejected_link WHERE store_id = $1 AND affiliate_id = $2
            RETURNING store_id, code, requested_at, rejected_at, reason
        )
        INSERT INTO rejected_link (store_id, affiliate_id, code, requested_at, rejected_at, reason)
        SELECT store_id, $3, code, requested_at, rejected_at, reason FROM given
        ON CONFLICT DO NOTHING
        """,
        *pair,
    )
    await conn.execute(
        """
        WITH given AS (
            DELETE FROM payout_address WHERE store_id = $1 AND affiliate_id = $2
            RETURNING store_id, network, key, first_used_at
        )
        INSERT INTO payout_address AS known (store_id, affiliate_id, network, key, first_used_at)
        SELECT store_id, $3, network, key, first_used_at FROM given
        ON CONFLICT (store_id, affiliate_id, network, key) DO UPDATE
        SET first_used_at = least(known.first_used_at, excluded.first_used_at)
        """,
        *pair,
    )
    await conn.execute(
        """
        UPDATE affiliate SET state = 'suspended', merged_into = $3
        WHERE store_id = $1 AND (affiliate_id = $2 OR merged_into = $2)
        """,
        *pair,
    )
