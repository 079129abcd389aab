"""The journal as affiliates and staff read it: what moved, and where money was at any time."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg

from affiliates.enrolment import Affiliate
from affiliates.journal import Bucket, Kind, Posting
from affiliates.statements import Move, Statement, backwards
from affiliates.store import affiliate_in, plan_each
from chassis.db import Conn


class Line(NamedTuple):
    """A movement and where it stands in the journal."""

    seq: int
    posting: Posting


async def history_of(
    conn: Conn, store_id: str, commission_id: str, affiliate: Affiliate | None = None
) -> list[Posting]:
    """What moved the money of a commission, in order; for an affiliate what moved theirs, and that of who became them."""
    rows = await conn.rows(
        """
        SELECT j.* FROM journal j JOIN affiliate a USING (store_id, affiliate_id)
        WHERE store_id = $1 AND commission_id = $2
          AND ($3::text IS NULL OR coalesce(a.merged_into, a.affiliate_id) = $3)
        ORDER BY seq
        """,
        store_id,
        commission_id,
        None if affiliate is None else affiliate.affiliate_id,
    )
    return [_posting(row) for row in rows]


async def statement_of(conn: Conn, affiliate: Affiliate, since: datetime, until: datetime) -> tuple[Statement, int]:
    """What a period did to an affiliate's money, and the number of the last movement that this has seen.

    Counted back from now in one statement, so in one snapshot.
    Of whole days the sums that are kept, of the days on which the period begins and ends the movements.
    """
    await plan_each(conn)
    rows = await conn.rows(
        """
        WITH moved AS (
            SELECT day > ($4::timestamptz AT TIME ZONE 'UTC')::date AS later, kind, source, target, moves, moved_minor
            FROM journal_day
            WHERE store_id = $1 AND affiliate_id = $2 AND day > ($3::timestamptz AT TIME ZONE 'UTC')::date
              AND day <> ($4 AT TIME ZONE 'UTC')::date
            UNION ALL
            SELECT at >= $4, kind, source, target, 1, amount_minor
            FROM journal
            WHERE store_id = $1 AND affiliate_id = $2
              AND at >= $3 AND at < date_trunc('day', $3, 'UTC') + interval '24 hours'
            UNION ALL
            SELECT at >= $4, kind, source, target, 1, amount_minor
            FROM journal
            WHERE store_id = $1 AND affiliate_id = $2
              AND at >= greatest(date_trunc('day', $4, 'UTC'), date_trunc('day', $3, 'UTC') + interval '24 hours')
              AND at < date_trunc('day', $4, 'UTC') + interval '24 hours'
        )
        SELECT a.*, j.*, (SELECT max(seq) FROM journal WHERE store_id = $1 AND affiliate_id = $2) AS last_seq
        FROM affiliate a
        LEFT JOIN (
            SELECT later, kind, source, target, sum(moves)::bigint AS moves, sum(moved_minor) AS moved_minor
            FROM moved GROUP BY 1, 2, 3, 4
        ) j ON true
        WHERE a.store_id = $1 AND a.affiliate_id = $2
        ORDER BY j.kind, j.source, j.target
        """,
        affiliate.store_id,
        affiliate.affiliate_id,
        since,
        until,
    )
    balances = affiliate_in(rows[0]).balances
    within = [_move(row) for row in rows if row["later"] is False]
    later = [_move(row) for row in rows if row["later"]]
    return backwards(balances, within, later), rows[0]["last_seq"] or 0


async def lines_between(
    conn: Conn, affiliate: Affiliate, since: datetime, until: datetime, last_seq: int, after: int | None, limit: int
) -> Sequence[Line]:
    """An affiliate's movements of a period up to one of the journal, oldest first, after another."""
    await plan_each(conn)
    rows = await conn.rows(
        """
        SELECT * FROM journal
        WHERE store_id = $1 AND affiliate_id = $2 AND at < $4 AND seq <= $5 AND (at, seq) > (
            greatest($3, (SELECT at FROM journal WHERE store_id = $1 AND affiliate_id = $2 AND seq = $6)),
            coalesce($6, 0)
        )
        ORDER BY at, seq LIMIT $7
        """,
        affiliate.store_id,
        affiliate.affiliate_id,
        since,
        until,
        last_seq,
        after,
        limit,
    )
    return [Line(row["seq"], _posting(row)) for row in rows]


def _move(row: asyncpg.Record) -> Move:
    """A sum of many amounts is numeric: it may be larger than any amount."""
    return Move(Kind(row["kind"]), Bucket(row["source"]), Bucket(row["target"]), row["moves"], int(row["moved_minor"]))


def _posting(row: asyncpg.Record) -> Posting:
    return Posting(
        store_id=row["store_id"],
        affiliate_id=row["affiliate_id"],
        kind=Kind(row["kind"]),
        source=Bucket(row["source"]),
        target=Bucket(row["target"]),
        amount_minor=row["amount_minor"],
        at=row["at"],
        commission_id=row["commission_id"],
        turn=row["turn"],
        order_version=row["order_version"],
        claim_id=row["claim_id"],
        other_affiliate_id=row["other_affiliate_id"],
    )
