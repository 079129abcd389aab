"""Proving claims: what they took, what the wallet is asked for, and who approved payouts."""

from chassis.db import Conn

_SHOWN = 100


async def faults(conn: Conn) -> list[str]:
    """What is wrong with claims, a sentence each, up to a hundred of a kind. Reads every store."""
    return [*await _claims(conn), *await _asked(conn), *await _approvals(conn)]


async def _claims(conn: Conn) -> list[str]:
    """Each claim took its amount once and ended as its status says."""
    rows = await conn.rows(
        """
        WITH posted AS (
            SELECT store_id, claim_id, array_agg(kind || ' ' || amount_minor ORDER BY seq) AS moves
            FROM journal WHERE claim_id IS NOT NULL GROUP BY 1, 2
        )
        SELECT format('%s of %s is %s over %s, its postings are %s', claim_id, store_id, coalesce(c.status, 'unknown'),
                      c.amount_minor, p.moves) AS sentence
        FROM claim c FULL JOIN posted p USING (store_id, claim_id)
        WHERE p.moves IS DISTINCT FROM CASE
            WHEN c.status IN ('PROCESSING', 'PENDING', 'APPROVED', 'SENT') THEN ARRAY['reserved ' || c.amount_minor]
            WHEN c.status = 'COMPLETED' THEN ARRAY['reserved ' || c.amount_minor, 'converted ' || c.amount_minor]
            WHEN c.status = 'CONFIRMED' THEN ARRAY['reserved ' || c.amount_minor, 'paid ' || c.amount_minor]
            WHEN c.status IN ('FAILED', 'REJECTED')
                THEN ARRAY['reserved ' || c.amount_minor, 'returned ' || c.amount_minor]
        END
        LIMIT $1
        """,
        _SHOWN,
    )
    return [row["sentence"] for row in rows]


async def _asked(conn: Conn) -> list[str]:
    """While a claim waits for the wallet, that is being asked for its amount and its bonus; and only then."""
    rows = await conn.rows(
        """
        SELECT format('%s of %s is PROCESSING, and nobody asks the wallet', claim_id, store_id) AS sentence
        FROM claim c
        WHERE status = 'PROCESSING' AND NOT EXISTS (SELECT FROM ask WHERE request_id = c.claim_id)
        UNION ALL
        SELECT format('%s of %s is %s, and the wallet is still being asked', claim_id, c.store_id, status)
        FROM claim c JOIN ask ON request_id = c.claim_id
        WHERE status <> 'PROCESSING'
        UNION ALL
        SELECT format('%s of %s is over %s and a bonus of %s, the wallet is asked for %s', claim_id, store_id,
                      amount_minor, bonus_minor, asked_minor)
        FROM (
            SELECT c.*, (convert_from(payload, 'UTF8')::jsonb ->> 'amount_minor')::bigint AS asked_minor
            FROM claim c JOIN ask ON request_id = c.claim_id
        ) AS waiting
        WHERE asked_minor <> amount_minor + bonus_minor
        UNION ALL
        SELECT format('%s of %s is a payout with a bonus of %s', claim_id, store_id, bonus_minor)
        FROM claim WHERE kind = 'payout' AND bonus_minor > 0
        LIMIT $1
        """,
        _SHOWN,
    )
    return [row["sentence"] for row in rows]


async def _approvals(conn: Conn) -> list[str]:
    """No payout went on without somebody's approval, and whoever approved is known to have done it, once."""
    rows = await conn.rows(
        """
        SELECT format('%s of %s is %s, and nobody has approved it', claim_id, store_id, status) AS sentence
        FROM claim
        WHERE kind = 'payout' AND status IN ('APPROVED', 'SENT', 'CONFIRMED') AND approvals = '{}'
        UNION ALL
        SELECT format('%s of %s has approvals of %s, known are those of %s', claim_id, store_id, approvals, known)
        FROM (
            SELECT c.*, ARRAY(
                SELECT DISTINCT actor || ':' || actor_id FROM activity a
                WHERE a.store_id = c.store_id AND subject_id = c.claim_id AND action = 'payout.approve'
            ) AS known
            FROM claim c WHERE approvals <> '{}'
        ) AS approved
        WHERE NOT approvals <@ known OR cardinality(approvals) > cardinality(known)
        LIMIT $1
        """,
        _SHOWN,
    )
    return [row["sentence"] for row in rows]
