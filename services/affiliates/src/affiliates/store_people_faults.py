"""Proving who is one person: merges are whole, and nobody is owed for what they bought themselves."""

from chassis.db import Conn

_SHOWN = 100


async def faults(conn: Conn) -> list[str]:
    """What is wrong with merges and own purchases, a sentence each, up to a hundred of a kind. Reads every store."""
    return [*await _merges(conn), *await _put_off(conn), *await _own_purchases(conn)]


async def _merges(conn: Conn) -> list[str]:
    """What one affiliate gave another on becoming them, that one took; nothing is left with who became another."""
    rows = await conn.rows(
        """
        WITH given AS (
            SELECT store_id, affiliate_id, other_affiliate_id, source, target, amount_minor
            FROM journal WHERE kind = 'merged'
        )
        SELECT format('%s of %s moved %s from %s to %s, and %s did not the other way round', g.affiliate_id, g.store_id,
                      g.amount_minor, g.source, g.target, g.other_affiliate_id) AS sentence
        FROM given g LEFT JOIN given back
             ON (back.store_id, back.affiliate_id, back.other_affiliate_id, back.source, back.target, back.amount_minor)
              = (g.store_id, g.other_affiliate_id, g.affiliate_id, g.target, g.source, g.amount_minor)
        WHERE back.store_id IS NULL
        UNION ALL
        SELECT format('%s of %s moved money with %s, and neither became the other', g.affiliate_id, g.store_id,
                      g.other_affiliate_id)
        FROM given g
        WHERE NOT EXISTS (
            SELECT FROM affiliate a JOIN affiliate b USING (store_id)
            WHERE a.store_id = g.store_id AND (a.affiliate_id, b.affiliate_id) = (g.affiliate_id, g.other_affiliate_id)
              AND coalesce(a.merged_into, a.affiliate_id) = coalesce(b.merged_into, b.affiliate_id)
        )
        UNION ALL
        SELECT format('%s of %s was merged into %s, and still has links or money', affiliate_id, store_id, merged_into)
        FROM affiliate a
        WHERE merged_into IS NOT NULL AND (
            (pending_minor, settled_minor, requested_minor, converted_minor, paid_minor) <> (0, 0, 0, 0, 0)
            OR EXISTS (SELECT FROM link l WHERE l.store_id = a.store_id AND l.affiliate_id = a.affiliate_id)
        )
        UNION ALL
        SELECT format('%s of %s was merged into %s, who was merged into %s', a.affiliate_id, a.store_id, o.affiliate_id,
                      o.merged_into)
        FROM affiliate a JOIN affiliate o ON (o.store_id, o.affiliate_id) = (a.store_id, a.merged_into)
        WHERE o.merged_into IS NOT NULL
        LIMIT $1
        """,
        _SHOWN,
    )
    return [row["sentence"] for row in rows]


async def _put_off(conn: Conn) -> list[str]:
    """Whoever is to be looked at can be."""
    rows = await conn.rows(
        """
        SELECT format('%s of %s could not be looked at, %s tries', affiliate_id, store_id, max(tries)) AS sentence
        FROM look_again WHERE tries >= 5 GROUP BY store_id, affiliate_id LIMIT $1
        """,
        _SHOWN,
    )
    return [row["sentence"] for row in rows]


async def _own_purchases(conn: Conn) -> list[str]:
    """Nobody is owed for what they bought themselves, once they, and by whom it shows, were looked at."""
    rows = await conn.rows(
        """
        WITH RECURSIVE follow AS (
            SELECT store_id, id, merged_into AS acting, 1 AS hops FROM known_customer WHERE merged_into IS NOT NULL
            UNION ALL
            SELECT f.store_id, f.id, k.merged_into, hops + 1
            FROM follow f JOIN known_customer k ON (k.store_id, k.id) = (f.store_id, f.acting)
            WHERE k.merged_into IS NOT NULL AND hops < 50
        ), acts AS (
            SELECT DISTINCT ON (store_id, id) store_id, id, acting FROM follow ORDER BY store_id, id, hops DESC
        ), person AS (
            SELECT a.store_id, a.affiliate_id, coalesce(acts.acting, a.customer_id) AS acting
            FROM affiliate a LEFT JOIN acts ON (acts.store_id, acts.id) = (a.store_id, a.customer_id)
            WHERE a.merged_into IS NULL
        ), bought AS MATERIALIZED (
            SELECT c.store_id, c.commission_id, coalesce(a.merged_into, a.affiliate_id) AS affiliate_id,
                   p.affiliate_id AS through, p.acting
            FROM commission c
            CROSS JOIN LATERAL (VALUES (c.customer_id), (c.current_customer_id)) AS buyer (id)
            LEFT JOIN acts ON (acts.store_id, acts.id) = (c.store_id, buyer.id)
            JOIN person p ON (p.store_id, p.acting) = (c.store_id, coalesce(acts.acting, buyer.id))
            JOIN affiliate a ON (a.store_id, a.affiliate_id) = (c.store_id, c.affiliate_id)
            WHERE c.state IN ('held', 'pending', 'payable')
        ), own AS (
            SELECT * FROM bought b
            WHERE through = affiliate_id OR EXISTS (
                SELECT FROM payout_address mine JOIN payout_address theirs USING (store_id, network, key)
                WHERE mine.store_id = b.store_id AND mine.affiliate_id = b.affiliate_id AND theirs.affiliate_id = b.through
            )
        ), waiting AS (
            SELECT store_id, coalesce(a.merged_into, a.affiliate_id) AS affiliate_id, l.spreads
            FROM look_again l JOIN affiliate a USING (store_id, affiliate_id)
        )
        SELECT DISTINCT format('%s of %s is owed to %s, who bought it', commission_id, store_id, affiliate_id) AS sentence
        FROM own
        WHERE NOT EXISTS (
            SELECT FROM waiting w
            WHERE w.store_id = own.store_id
              AND (w.affiliate_id = own.affiliate_id OR (w.affiliate_id = own.through AND w.spreads))
        ) AND NOT EXISTS (
            SELECT FROM known_customer k JOIN acts USING (store_id, id)
            WHERE k.store_id = own.store_id AND acts.acting = own.acting AND k.merged_into IS DISTINCT FROM k.followed_into
        )
        LIMIT $1
        """,
        _SHOWN,
    )
    return [row["sentence"] for row in rows]
