"""Proving the books: what is kept beside the journal is recomputed from it."""

from affiliates import store_claim_faults, store_link_faults, store_people_faults
from chassis.db import Conn

_SHOWN = 100


async def faults(conn: Conn) -> list[str]:
    """What is wrong with the affiliates' money, a sentence each, up to a hundred of a kind. Reads every store."""
    return [
        *await _sums(conn),
        *await _days(conn),
        *await _takings(conn),
        *await _owed_and_taken(conn),
        *await _commissions(conn),
        *await _decisions(conn),
        *await store_claim_faults.faults(conn),
        *await _standings(conn),
        *await store_people_faults.faults(conn),
        *await store_link_faults.faults(conn),
    ]


async def _sums(conn: Conn) -> list[str]:
    """The sums of every affiliate against the journal, and all buckets together against what was earned."""
    rows = await conn.rows(
        """
        WITH side AS (
            SELECT store_id, affiliate_id, target AS bucket, amount_minor FROM journal
            UNION ALL
            SELECT store_id, affiliate_id, source, -amount_minor FROM journal
        ), kept AS (
            SELECT store_id, affiliate_id, bucket, minor
            FROM affiliate, LATERAL (VALUES
                ('pending', pending_minor), ('settled', settled_minor), ('requested', requested_minor),
                ('converted', converted_minor), ('paid', paid_minor)
            ) AS b (bucket, minor)
        ), posted AS (
            SELECT store_id, affiliate_id, bucket, sum(amount_minor) AS minor FROM side GROUP BY 1, 2, 3
        ), earned AS (
            SELECT store_id, affiliate_id,
                   sum(CASE WHEN kind = 'earned' OR (kind = 'merged' AND source = 'program') THEN amount_minor
                            WHEN kind IN ('reversed', 'merged') THEN -amount_minor ELSE 0 END) AS minor
            FROM journal GROUP BY 1, 2
        )
        SELECT format('%s of %s has %s %s, its journal makes %s', affiliate_id, store_id, k.minor, bucket,
                      coalesce(p.minor, 0)) AS sentence
        FROM kept k LEFT JOIN posted p USING (store_id, affiliate_id, bucket)
        WHERE k.minor <> coalesce(p.minor, 0)
        UNION ALL
        SELECT format('%s of %s has %s in all, and earned %s', a.affiliate_id, a.store_id,
                      a.pending_minor + a.settled_minor + a.requested_minor + a.converted_minor + a.paid_minor,
                      coalesce(e.minor, 0))
        FROM affiliate a LEFT JOIN earned e USING (store_id, affiliate_id)
        WHERE a.pending_minor + a.settled_minor + a.requested_minor + a.converted_minor + a.paid_minor
              <> coalesce(e.minor, 0)
        LIMIT $1
        """,
        _SHOWN,
    )
    return [row["sentence"] for row in rows]


async def _days(conn: Conn) -> list[str]:
    """What is kept of every day against its movements."""
    rows = await conn.rows(
        """
        WITH posted AS (
            SELECT store_id, affiliate_id, (at AT TIME ZONE 'UTC')::date AS day, kind, source, target,
                   count(*) AS moves, sum(amount_minor) AS moved_minor
            FROM journal GROUP BY 1, 2, 3, 4, 5, 6
        )
        SELECT format('%s of %s has %s %s from %s to %s on %s, %s in all, its journal %s, %s in all', affiliate_id,
                      store_id, coalesce(k.moves, 0), kind, source, target, day, coalesce(k.moved_minor, 0),
                      coalesce(p.moves, 0), coalesce(p.moved_minor, 0)) AS sentence
        FROM journal_day k FULL JOIN posted p USING (store_id, affiliate_id, day, kind, source, target)
        WHERE (k.moves, k.moved_minor) IS DISTINCT FROM (p.moves, p.moved_minor)
        LIMIT $1
        """,
        _SHOWN,
    )
    return [row["sentence"] for row in rows]


async def _takings(conn: Conn) -> list[str]:
    """No claim took more than was available when it did."""
    rows = await conn.rows(
        """
        SELECT format('%s of %s took %s, which left %s', claim_id, store_id, amount_minor, left_minor) AS sentence
        FROM (
            SELECT store_id, affiliate_id, seq, kind, claim_id, amount_minor,
                   sum(CASE 'settled' WHEN target THEN amount_minor WHEN source THEN -amount_minor ELSE 0 END)
                       OVER (PARTITION BY store_id, affiliate_id ORDER BY seq) AS left_minor
            FROM journal
        ) AS line
        WHERE kind = 'reserved' AND left_minor < 0
        LIMIT $1
        """,
        _SHOWN,
    )
    return [row["sentence"] for row in rows]


async def _owed_and_taken(conn: Conn) -> list[str]:
    """The sums of every affiliate against what their commissions owe them and their claims took."""
    rows = await conn.rows(
        """
        WITH part AS (
            SELECT store_id, affiliate_id, CASE state WHEN 'payable' THEN 'settled' ELSE 'pending' END AS bucket,
                   amount_minor AS minor
            FROM commission WHERE amount_minor IS NOT NULL
            UNION ALL
            SELECT store_id, affiliate_id, CASE status WHEN 'COMPLETED' THEN 'converted' WHEN 'CONFIRMED' THEN 'paid'
                   ELSE 'requested' END, amount_minor
            FROM claim WHERE status NOT IN ('FAILED', 'REJECTED')
            UNION ALL
            SELECT store_id, affiliate_id, 'settled', -amount_minor
            FROM claim WHERE status NOT IN ('FAILED', 'REJECTED')
        ), made AS (
            SELECT store_id, coalesce(a.merged_into, a.affiliate_id) AS affiliate_id, bucket, sum(minor) AS minor
            FROM part JOIN affiliate a USING (store_id, affiliate_id) GROUP BY 1, 2, 3
        ), kept AS (
            SELECT store_id, affiliate_id, bucket, minor
            FROM affiliate, LATERAL (VALUES
                ('pending', pending_minor), ('settled', settled_minor), ('requested', requested_minor),
                ('converted', converted_minor), ('paid', paid_minor)
            ) AS b (bucket, minor)
        )
        SELECT format('%s of %s has %s %s, its commissions and claims make %s', affiliate_id, store_id, k.minor, bucket,
                      coalesce(m.minor, 0)) AS sentence
        FROM kept k LEFT JOIN made m USING (store_id, affiliate_id, bucket)
        WHERE k.minor <> coalesce(m.minor, 0)
        LIMIT $1
        """,
        _SHOWN,
    )
    return [row["sentence"] for row in rows]


async def _commissions(conn: Conn) -> list[str]:
    """What each commission owes against its postings, and against its order."""
    rows = await conn.rows(
        """
        WITH posted AS (
            SELECT store_id, commission_id,
                   sum(CASE kind WHEN 'earned' THEN amount_minor WHEN 'reversed' THEN -amount_minor ELSE 0 END) AS minor,
                   max(turn) AS turn, max(order_version) AS order_version
            FROM journal WHERE commission_id IS NOT NULL GROUP BY 1, 2
        )
        SELECT format('%s of %s owes %s, its postings make %s', commission_id, store_id, coalesce(c.amount_minor, 0),
                      coalesce(p.minor, 0)) AS sentence
        FROM commission c FULL JOIN posted p USING (store_id, commission_id)
        WHERE coalesce(c.amount_minor, 0) <> coalesce(p.minor, 0)
        UNION ALL
        SELECT format('%s of %s is at turn %s and version %s, its postings at %s and %s', commission_id, store_id,
                      c.turn, c.order_version, p.turn, p.order_version)
        FROM commission c JOIN posted p USING (store_id, commission_id)
        WHERE p.turn > c.turn OR p.order_version > c.order_version
        UNION ALL
        SELECT format('%s of %s owes %s for a base of %s at %s bps', commission_id, store_id, amount_minor, base_minor,
                      rate_bps)
        FROM commission
        WHERE order_currency = currency AND amount_minor <> div(greatest(base_minor, 0)::numeric * rate_bps, 10000)
        LIMIT $1
        """,
        _SHOWN,
    )
    return [row["sentence"] for row in rows]


async def _decisions(conn: Conn) -> list[str]:
    """Every reason is one of its state, and what is held for fraud is held for a verdict that nobody has cleared."""
    rows = await conn.rows(
        """
        SELECT format('%s of %s is %s for %s', commission_id, store_id, state, reason) AS sentence
        FROM commission
        WHERE reason <> ALL (CASE state
            WHEN 'held' THEN ARRAY['fraud', 'staff', 'no_rate']
            WHEN 'denied' THEN ARRAY['fraud', 'own_purchase', 'duplicate', 'terms', 'staff']
            ELSE ARRAY['unknown_code', 'link_inactive', 'not_active', 'outside_window', 'program_off', 'own_purchase']
        END)
        UNION ALL
        SELECT format('%s of %s is held for fraud, and %s', commission_id, store_id,
                      CASE WHEN cleared_at IS NULL THEN 'nobody has said so' ELSE 'staff had cleared it' END)
        FROM commission c
        WHERE state = 'held' AND reason = 'fraud' AND (cleared_at IS NOT NULL OR NOT EXISTS (
            SELECT FROM verdict v WHERE (v.store_id, v.order_id) = (c.store_id, c.order_id)
        ))
        UNION ALL
        SELECT format('%s of %s is %s for %s, and held for %s', commission_id, store_id, state, reason, held_for)
        FROM commission
        WHERE CASE WHEN state = 'held' AND reason <> 'no_rate' THEN held_for IS DISTINCT FROM reason
                   ELSE state IN ('pending', 'payable') AND held_for IS NOT NULL END
        LIMIT $1
        """,
        _SHOWN,
    )
    return [row["sentence"] for row in rows]


async def _standings(conn: Conn) -> list[str]:
    """Every affiliate stands where they came to last."""
    rows = await conn.rows(
        """
        SELECT format('%s of %s is %s, and came to be %s', affiliate_id, store_id, a.state, s.state) AS sentence
        FROM affiliate a LEFT JOIN LATERAL (
            SELECT state FROM standing
            WHERE standing.store_id = a.store_id AND standing.affiliate_id = a.affiliate_id
            ORDER BY seq DESC LIMIT 1
        ) s ON true
        WHERE merged_into IS NULL AND a.state IS DISTINCT FROM s.state
        LIMIT $1
        """,
        _SHOWN,
    )
    return [row["sentence"] for row in rows]
