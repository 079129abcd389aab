"""The journal, and the sums kept of it: on the affiliate, and of each day."""

from collections.abc import Sequence
from typing import Any

from affiliates.journal import Posting
from chassis.db import Conn


async def post(conn: Conn, postings: Sequence[Posting]) -> None:
    """Write movements and what they come to, in one statement. The affiliates must be locked."""
    if not postings:
        return
    await conn.execute(
        """
        WITH posted AS (
            INSERT INTO journal (
                store_id, affiliate_id, kind, source, target, amount_minor, at, commission_id, turn, order_version,
                claim_id, other_affiliate_id
            )
            SELECT * FROM unnest(
                $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::timestamptz[],
                $8::text[], $9::int[], $10::int[], $11::text[], $12::text[]
            )
            RETURNING store_id, affiliate_id, kind, source, target, amount_minor, at
        ), day AS (
            INSERT INTO journal_day AS d (store_id, affiliate_id, day, kind, source, target, moves, moved_minor)
            SELECT store_id, affiliate_id, (at AT TIME ZONE 'UTC')::date, kind, source, target, count(*),
                   sum(amount_minor)
            FROM posted GROUP BY 1, 2, 3, 4, 5, 6
            ON CONFLICT (store_id, affiliate_id, day, kind, source, target) DO UPDATE
            SET moves = d.moves + excluded.moves, moved_minor = d.moved_minor + excluded.moved_minor
        ), change AS (
            SELECT store_id, affiliate_id,
                   coalesce(sum(amount_minor) FILTER (WHERE bucket = 'pending'), 0) AS pending,
                   coalesce(sum(amount_minor) FILTER (WHERE bucket = 'settled'), 0) AS settled,
                   coalesce(sum(amount_minor) FILTER (WHERE bucket = 'requested'), 0) AS requested,
                   coalesce(sum(amount_minor) FILTER (WHERE bucket = 'converted'), 0) AS converted,
                   coalesce(sum(amount_minor) FILTER (WHERE bucket = 'paid'), 0) AS paid
            FROM (
                SELECT store_id, affiliate_id, target AS bucket, amount_minor FROM posted
                UNION ALL
                SELECT store_id, affiliate_id, source, -amount_minor FROM posted
            ) AS side
            GROUP BY store_id, affiliate_id
        )
        UPDATE affiliate a
        SET pending_minor = a.pending_minor + c.pending, settled_minor = a.settled_minor + c.settled,
            requested_minor = a.requested_minor + c.requested, converted_minor = a.converted_minor + c.converted,
            paid_minor = a.paid_minor + c.paid
        FROM change c
        WHERE (a.store_id, a.affiliate_id) = (c.store_id, c.affiliate_id)
        """,
        *_columns(postings),
    )


def _columns(postings: Sequence[Posting]) -> list[list[Any]]:
    return [
        [posting.store_id for posting in postings],
        [posting.affiliate_id for posting in postings],
        [posting.kind for posting in postings],
        [posting.source for posting in postings],
        [posting.target for posting in postings],
        [posting.amount_minor for posting in postings],
        [posting.at for posting in postings],
        [posting.commission_id for posting in postings],
        [posting.turn for posting in postings],
        [posting.order_version for posting in postings],
        [posting.claim_id for posting in postings],
        [posting.other_affiliate_id for posting in postings],
    ]
