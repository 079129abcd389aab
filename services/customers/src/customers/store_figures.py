"""Every statement on figures: orders by version, what is folded from them, balances."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import asyncpg

from chassis.db import Conn
from contracts.wallet import WalletPosted
from customers.figures import OrderEvent, Takings, Who


class Promoted(NamedTuple):
    """A customer whose stage the figures changed, with the record's new version."""

    who: Who
    version: int
    state: str


async def lock_customers(conn: Conn, people: Sequence[Who]) -> set[Who]:
    """Lock customers in the order in which everybody locks them; those that are there."""
    rows = await conn.rows(
        """
        SELECT c.store_id, c.id FROM customer c
        JOIN unnest($1::text[], $2::text[]) AS k (store_id, id) USING (store_id, id)
        ORDER BY c.store_id, c.id
        FOR UPDATE OF c
        """,
        [who.store_id for who in people],
        [who.customer_id for who in people],
    )
    return {Who(*row) for row in rows}


async def known_stores(conn: Conn, store_ids: Sequence[str]) -> set[str]:
    """Which of these stores have told their currency."""
    rows = await conn.rows("SELECT store_id FROM store WHERE store_id = ANY($1::text[])", store_ids)
    return {row["store_id"] for row in rows}


async def fold_orders(conn: Conn, orders: Sequence[OrderEvent]) -> tuple[list[Promoted], list[Who]]:
    """Keep versions that are higher than what is kept, one of each order, and move their locked customers' figures by it.

    What an order adds is what its new version says less what its old one said: the cost does not grow with a history.
    Whose stage changed, and who has to be folded afresh, since an order's completion moved or was undone.
    """
    rows = await conn.rows(
        """
        WITH kept AS (
            INSERT INTO customer_order AS kept
            SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::text[], $7::text[],
                                 $8::bigint[], $9::bigint[], $10::text[], $11::timestamptz[], $12::timestamptz[])
            ON CONFLICT (store_id, order_id) DO UPDATE
            SET (number, version, status, currency, gross_minor, refunded_minor, gateway, placed_at, first_completed_at)
                = ROW (excluded.number, excluded.version, excluded.status, excluded.currency, excluded.gross_minor,
                       excluded.refunded_minor, excluded.gateway, excluded.placed_at, excluded.first_completed_at)
            WHERE kept.version < excluded.version
            RETURNING new.store_id, new.customer_id AS id, new.order_id, new.number, new.first_completed_at AS at,
                      new.currency, new.gross_minor, new.refunded_minor, old.first_completed_at AS was_at,
                      old.currency AS was_currency, old.gross_minor AS was_gross, old.refunded_minor AS was_back
        ), settled AS (
            SELECT k.*, at IS NOT NULL AND k.currency = s.currency AS counts,
                   was_at IS NOT NULL AND k.was_currency = s.currency AS counted
            FROM kept k JOIN store s USING (store_id)
        ), change AS (
            SELECT store_id, id, count(at) - count(was_at) AS orders,
                   count(*) FILTER (WHERE counts) - count(*) FILTER (WHERE counted) AS settled_orders,
                   sum(CASE WHEN counts THEN gross_minor ELSE 0 END - CASE WHEN counted THEN was_gross ELSE 0 END) AS gross,
                   sum(CASE WHEN counts THEN refunded_minor ELSE 0 END - CASE WHEN counted THEN was_back ELSE 0 END) AS back,
                   min(at) AS first_at, max(at) AS last_at, bool_or(was_at IS NOT NULL AND was_at IS DISTINCT FROM at) AS moved,
                   (array_agg(order_id ORDER BY at DESC NULLS LAST, order_id DESC))[1] AS last_id,
                   (array_agg(number ORDER BY at DESC NULLS LAST, order_id DESC))[1] AS last_number
            FROM settled GROUP BY store_id, id
        ), later AS (
            SELECT x.*, coalesce((x.last_at, x.last_id) >= (c.last_order_at, c.last_order_id), x.last_at IS NOT NULL) AS is_last
            FROM change x JOIN customer c USING (store_id, id)
        )
        UPDATE customer c
        SET orders = c.orders + x.orders, settled_orders = c.settled_orders + x.settled_orders,
            gross_minor = c.gross_minor + x.gross, refunded_minor = c.refunded_minor + x.back,
            first_completed_order_at = least(c.first_completed_order_at, x.first_at),
            (last_order_id, last_order_number, last_order_at) = (SELECT x.last_id, x.last_number, x.last_at WHERE x.is_last
                UNION ALL SELECT c.last_order_id, c.last_order_number, c.last_order_at WHERE NOT x.is_last),
            version = c.version + (c.first_completed_order_at IS NULL AND x.first_at IS NOT NULL)::int
        FROM later x WHERE (c.store_id, c.id) = (x.store_id, x.id)
        RETURNING new.store_id, new.id, new.version, new.state, old.stage <> new.stage AS promoted, x.moved
        """,
        *_columns(orders),
    )
    promoted = sorted(_promoted(row) for row in rows if row["promoted"])
    return promoted, sorted(Who(row["store_id"], row["id"]) for row in rows if row["moved"])


def _columns(orders: Sequence[OrderEvent]) -> list[list[Any]]:
    return [
        [order.store_id for order in orders],
        [order.order_id for order in orders],
        [order.customer_id for order in orders],
        [order.number for order in orders],
        [order.version for order in orders],
        [order.status.value for order in orders],
        [order.currency for order in orders],
        [order.gross_minor for order in orders],
        [order.refunded_minor for order in orders],
        [order.gateway for order in orders],
        [order.placed_at for order in orders],
        [order.first_completed_at for order in orders],
    ]


def _promoted(row: asyncpg.Record) -> Promoted:
    return Promoted(Who(row["store_id"], row["id"]), row["version"], row["state"])


async def refresh_figures(conn: Conn, people: Sequence[Who]) -> list[Promoted]:
    """Fold all orders of locked customers into their figures afresh; those whose stage changed, their version gone up."""
    rows = await conn.rows(
        """
        WITH before AS MATERIALIZED (
            SELECT c.store_id, c.id, c.stage, s.currency
            FROM customer c
            JOIN unnest($1::text[], $2::text[]) AS k (store_id, id) USING (store_id, id)
            JOIN store s USING (store_id)
        ), folded AS MATERIALIZED (
            SELECT b.store_id, b.id, b.stage, total.*, last.*
            FROM before b
            CROSS JOIN LATERAL (
                SELECT count(*) AS orders,
                       count(*) FILTER (WHERE o.currency = b.currency) AS settled_orders,
                       coalesce(sum(o.gross_minor) FILTER (WHERE o.currency = b.currency), 0) AS gross_minor,
                       coalesce(sum(o.refunded_minor) FILTER (WHERE o.currency = b.currency), 0) AS refunded_minor,
                       min(o.first_completed_at) AS first_at
                FROM customer_order o
                WHERE o.store_id = b.store_id AND o.customer_id = b.id AND o.first_completed_at IS NOT NULL
            ) total
            LEFT JOIN LATERAL (
                SELECT o.order_id, o.number, o.first_completed_at
                FROM customer_order o
                WHERE o.store_id = b.store_id AND o.customer_id = b.id AND o.first_completed_at IS NOT NULL
                ORDER BY o.first_completed_at DESC, o.order_id DESC LIMIT 1
            ) last ON true
        ), written AS (
            UPDATE customer c
            SET orders = f.orders, settled_orders = f.settled_orders, gross_minor = f.gross_minor, refunded_minor = f.refunded_minor,
                first_completed_order_at = f.first_at, last_order_id = f.order_id, last_order_number = f.number,
                last_order_at = f.first_completed_at,
                version = c.version + ((c.first_completed_order_at IS NULL) <> (f.first_at IS NULL))::int
            FROM folded f WHERE (c.store_id, c.id) = (f.store_id, f.id)
            RETURNING c.store_id, c.id, c.version, c.state, c.stage <> f.stage AS promoted
        )
        SELECT store_id, id, version, state FROM written WHERE promoted ORDER BY store_id, id
        """,
        [who.store_id for who in people],
        [who.customer_id for who in people],
    )
    return [_promoted(row) for row in rows]


async def keep_balances(conn: Conn, entries: Sequence[WalletPosted]) -> None:
    """Take balances that are later than what is kept, one of each customer."""
    await conn.execute(
        """
        UPDATE customer c
        SET balance_minor = e.balance_minor, balance_epoch = e.epoch, balance_sequence = e.sequence
        FROM unnest($1::text[], $2::text[], $3::uuid[], $4::bigint[], $5::bigint[])
             AS e (store_id, id, epoch, sequence, balance_minor)
        WHERE (c.store_id, c.id) = (e.store_id, e.id)
          AND (c.balance_epoch IS NULL OR (c.balance_epoch, c.balance_sequence) < (e.epoch, e.sequence))
        """,
        [entry.store_id for entry in entries],
        [entry.customer_id for entry in entries],
        [entry.epoch for entry in entries],
        [entry.sequence for entry in entries],
        [entry.balance_after_minor for entry in entries],
    )


async def takings_of(conn: Conn, who: Who) -> list[Takings]:
    """A customer's completed orders per currency and payment gateway."""
    rows = await conn.rows(
        """
        SELECT currency, gateway, count(*)::int AS orders,
               sum(gross_minor)::bigint AS gross_minor, sum(refunded_minor)::bigint AS refunded_minor
        FROM customer_order
        WHERE store_id = $1 AND customer_id = $2 AND first_completed_at IS NOT NULL
        GROUP BY currency, gateway
        ORDER BY currency, gateway NULLS LAST
        """,
        *who,
    )
    return [Takings(*row) for row in rows]


async def faults(conn: Conn) -> list[str]:
    """What is wrong with the figures, a sentence each: they must equal the fold of the orders, counted afresh."""
    rows = await conn.rows(
        """
        WITH ranked AS (
            SELECT o.*, s.currency AS settled_in,
                   row_number() OVER (PARTITION BY o.store_id, o.customer_id
                                      ORDER BY o.first_completed_at DESC, o.order_id DESC) AS place
            FROM customer_order o LEFT JOIN store s USING (store_id)
            WHERE o.first_completed_at IS NOT NULL
        ), fold AS (
            SELECT store_id, customer_id AS id, count(*) AS orders, min(first_completed_at) AS first_at,
                   count(*) FILTER (WHERE currency = settled_in) AS settled_orders,
                   sum(gross_minor) FILTER (WHERE currency = settled_in) AS gross_minor,
                   sum(refunded_minor) FILTER (WHERE currency = settled_in) AS refunded_minor,
                   max(order_id) FILTER (WHERE place = 1) AS last_id, max(number) FILTER (WHERE place = 1) AS last_number,
                   max(first_completed_at) AS last_at
            FROM ranked GROUP BY store_id, customer_id
        )
        SELECT id, c.id IS NULL AS orphaned
        FROM fold f FULL JOIN customer c USING (store_id, id)
        WHERE c.id IS NULL
           OR (c.orders, c.settled_orders) IS DISTINCT FROM (coalesce(f.orders, 0), coalesce(f.settled_orders, 0))
           OR (c.gross_minor, c.refunded_minor)
              IS DISTINCT FROM (coalesce(f.gross_minor, 0), coalesce(f.refunded_minor, 0))
           OR (c.first_completed_order_at, c.last_order_id, c.last_order_number, c.last_order_at)
              IS DISTINCT FROM (f.first_at, f.last_id, f.last_number, f.last_at)
        ORDER BY id
        """
    )
    return [
        f"orders are kept of {row['id']}, who is not here"
        if row["orphaned"]
        else f"the figures of {row['id']} are not the fold of their orders"
        for row in rows
    ]
