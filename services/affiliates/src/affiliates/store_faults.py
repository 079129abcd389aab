"""Proving the books: what is kept beside the journal is recomputed from it."""

from chassis.db import Conn

_SHOWN = 100


async def faults(conn: Conn) -> list[str]:
    """What is wrong with the affiliates' money, a sentence each, up to a hundred of a kind. Reads every store."""
    return [
        *await _sums(conn),
        *await _takings(conn),
        *await _commissions(conn),
        *await _claims(conn),
        *await _links(conn),
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
                   sum(CASE kind WHEN 'earned' THEN amount_minor WHEN 'reversed' THEN -amount_minor ELSE 0 END) AS minor
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


async def _commissions(conn: Conn) -> list[str]:
    """What each commission owes against its postings, and what waits against the pending bucket."""
    rows = await conn.rows(
        """
        WITH posted AS (
            SELECT store_id, commission_id,
                   sum(CASE kind WHEN 'earned' THEN amount_minor WHEN 'reversed' THEN -amount_minor ELSE 0 END) AS minor
            FROM journal WHERE commission_id IS NOT NULL GROUP BY 1, 2
        ), waiting AS (
            SELECT store_id, affiliate_id, sum(amount_minor) AS minor
            FROM commission WHERE state = 'pending' GROUP BY 1, 2
        )
        SELECT format('%s of %s owes %s, its postings make %s', commission_id, store_id, coalesce(c.amount_minor, 0),
                      coalesce(p.minor, 0)) AS sentence
        FROM commission c FULL JOIN posted p USING (store_id, commission_id)
        WHERE coalesce(c.amount_minor, 0) <> coalesce(p.minor, 0)
        UNION ALL
        SELECT format('%s of %s has %s pending, its commissions make %s', a.affiliate_id, a.store_id, a.pending_minor,
                      coalesce(w.minor, 0))
        FROM affiliate a LEFT JOIN waiting w USING (store_id, affiliate_id)
        WHERE a.pending_minor <> coalesce(w.minor, 0)
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


async def _claims(conn: Conn) -> list[str]:
    """Each claim took its amount once and ended as its status says; while it waits, the wallet is being asked."""
    rows = await conn.rows(
        """
        WITH posted AS (
            SELECT store_id, claim_id, array_agg(kind || ' ' || amount_minor ORDER BY seq) AS moves
            FROM journal WHERE claim_id IS NOT NULL GROUP BY 1, 2
        )
        SELECT format('%s of %s is %s over %s, its postings are %s', claim_id, store_id, coalesce(c.status, 'unknown'),
                      c.amount_minor, p.moves) AS sentence
        FROM claim c FULL JOIN posted p USING (store_id, claim_id)
        WHERE p.moves IS DISTINCT FROM CASE c.status
            WHEN 'PROCESSING' THEN ARRAY['reserved ' || c.amount_minor]
            WHEN 'COMPLETED' THEN ARRAY['reserved ' || c.amount_minor, 'converted ' || c.amount_minor]
            WHEN 'FAILED' THEN ARRAY['reserved ' || c.amount_minor, 'returned ' || c.amount_minor]
        END
        UNION ALL
        SELECT format('%s of %s is PROCESSING, and nobody asks the wallet', claim_id, store_id)
        FROM claim c
        WHERE status = 'PROCESSING' AND NOT EXISTS (SELECT FROM ask WHERE request_id = c.claim_id)
        UNION ALL
        SELECT format('%s of %s is %s, and the wallet is still being asked', claim_id, c.store_id, status)
        FROM claim c JOIN ask ON request_id = c.claim_id
        WHERE status <> 'PROCESSING'
        LIMIT $1
        """,
        _SHOWN,
    )
    return [row["sentence"] for row in rows]


async def _links(conn: Conn) -> list[str]:
    """The sales and revenue of every link against its commissions; every affiliate has a link."""
    rows = await conn.rows(
        """
        WITH sold AS (
            SELECT store_id, code, count(*) AS sales, sum(coalesce(revenue_minor, 0)) AS revenue
            FROM commission WHERE state <> 'declined' GROUP BY 1, 2
        )
        SELECT format('link %s of %s has %s sales of %s, its commissions make %s of %s', code, store_id, total_sales,
                      total_revenue_minor, coalesce(sales, 0), coalesce(revenue, 0)) AS sentence
        FROM link l LEFT JOIN sold USING (store_id, code)
        WHERE (total_sales, total_revenue_minor) <> (coalesce(sales, 0), coalesce(revenue, 0))
        UNION ALL
        SELECT format('%s of %s has no link', affiliate_id, store_id)
        FROM affiliate a
        WHERE NOT EXISTS (
            SELECT FROM link l WHERE l.store_id = a.store_id AND l.affiliate_id = a.affiliate_id
        )
        LIMIT $1
        """,
        _SHOWN,
    )
    return [row["sentence"] for row in rows]
