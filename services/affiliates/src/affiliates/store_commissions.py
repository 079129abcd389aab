"""Commissions: what was decided about orders that came with a code."""

from collections.abc import Collection, Sequence
from dataclasses import fields
from datetime import datetime
from operator import attrgetter

import asyncpg

from affiliates.commissions import Commission, Reason, Referrer, State
from affiliates.enrolment import Affiliate
from affiliates.enrolment import State as AffiliateState
from chassis import known_customers
from chassis.db import Conn

Key = tuple[str, str]

_FIELDS = attrgetter(*(field.name for field in fields(Commission)))  # dataclasses.astuple copies deeply


async def lock_referrers(conn: Conn, codes: Collection[Key], orders: Collection[Key]) -> dict[str, Referrer]:
    """Lock the affiliates these codes belong to, and those these orders already owe; sorted, first. By affiliate."""
    rows = await conn.rows(
        """
        SELECT store_id, affiliate_id, customer_id, state FROM affiliate WHERE (store_id, affiliate_id) IN (
            SELECT l.store_id, l.affiliate_id
            FROM link l JOIN unnest($1::text[], $2::text[]) AS k (store_id, code) USING (store_id, code)
            UNION
            SELECT c.store_id, c.affiliate_id
            FROM commission c JOIN unnest($3::text[], $4::text[]) AS k (store_id, order_id) USING (store_id, order_id)
        )
        ORDER BY store_id, affiliate_id FOR UPDATE
        """,
        *_columns(codes),
        *_columns(orders),
    )
    acting = await known_customers.acting(conn, [(row["store_id"], row["customer_id"]) for row in rows])
    referrers = {}
    for row in rows:
        known = acting.get((row["store_id"], row["customer_id"]))
        customer_id = row["customer_id"] if known is None else known.acting_id
        referrers[row["affiliate_id"]] = Referrer(row["affiliate_id"], customer_id, AffiliateState(row["state"]))
    return referrers


async def owners_of(conn: Conn, codes: Collection[Key]) -> dict[Key, str]:
    """The affiliates whom codes belong to, by store and code."""
    rows = await conn.rows(
        """
        SELECT store_id, code, affiliate_id
        FROM link JOIN unnest($1::text[], $2::text[]) AS k (store_id, code) USING (store_id, code)
        """,
        *_columns(codes),
    )
    return {(row["store_id"], row["code"]): row["affiliate_id"] for row in rows}


async def commissions_of(conn: Conn, orders: Collection[Key]) -> dict[Key, Commission]:
    """What was decided about orders, by store and order."""
    rows = await conn.rows(
        """
        SELECT c.*
        FROM commission c JOIN unnest($1::text[], $2::text[]) AS k (store_id, order_id) USING (store_id, order_id)
        """,
        *_columns(orders),
    )
    return {(row["store_id"], row["order_id"]): _commission(row) for row in rows}


async def save_commissions(conn: Conn, commissions: Sequence[Commission]) -> set[Key]:
    """Keep decisions; the orders for which they were news. What was decided first about an order stays."""
    rows = await conn.rows(
        """
        INSERT INTO commission (
            store_id, order_id, commission_id, affiliate_id, code, order_version, order_currency, base_minor, state,
            reason, rate_bps, amount_minor, revenue_minor, currency, earned_at, payable_at
        )
        SELECT * FROM unnest(
            $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::text[], $8::bigint[],
            $9::text[], $10::text[], $11::int[], $12::bigint[], $13::bigint[], $14::text[], $15::timestamptz[],
            $16::timestamptz[]
        )
        ON CONFLICT (store_id, order_id) DO UPDATE
        SET order_version = excluded.order_version, base_minor = excluded.base_minor, state = excluded.state,
            reason = excluded.reason, amount_minor = excluded.amount_minor, revenue_minor = excluded.revenue_minor
        WHERE commission.order_version < excluded.order_version
          AND commission.commission_id = excluded.commission_id
        RETURNING store_id, order_id
        """,
        *zip(*map(_FIELDS, commissions), strict=True),
    )
    return {(row["store_id"], row["order_id"]) for row in rows}


async def lock_due(conn: Conn, now: datetime, limit: int) -> list[Commission]:
    """Commissions whose waiting time is over, of affiliates that nobody else has locked."""
    rows = await conn.rows(
        """
        WITH due AS (
            SELECT store_id, order_id, affiliate_id FROM commission
            WHERE state = 'pending' AND payable_at <= $1 ORDER BY payable_at LIMIT $2
        ), locked AS (
            SELECT store_id, affiliate_id FROM affiliate
            WHERE (store_id, affiliate_id) IN (SELECT store_id, affiliate_id FROM due)
            ORDER BY store_id, affiliate_id FOR UPDATE SKIP LOCKED
        )
        SELECT store_id, order_id FROM due JOIN locked USING (store_id, affiliate_id)
        """,
        now,
        limit,
    )
    return list((await commissions_of(conn, [(row["store_id"], row["order_id"]) for row in rows])).values())


async def make_payable(conn: Conn, commissions: Sequence[Commission]) -> None:
    """Let commissions be taken. The affiliates must be locked."""
    await conn.execute(
        """
        UPDATE commission c SET state = 'payable'
        FROM unnest($1::text[], $2::text[]) AS k (store_id, order_id)
        WHERE (c.store_id, c.order_id) = (k.store_id, k.order_id)
        """,
        [commission.store_id for commission in commissions],
        [commission.order_id for commission in commissions],
    )


async def latest_commissions(conn: Conn, affiliate: Affiliate, limit: int) -> list[Commission]:
    """An affiliate's commissions, the newest first."""
    rows = await conn.rows(
        """
        SELECT * FROM commission WHERE store_id = $1 AND affiliate_id = $2 AND state <> 'declined'
        ORDER BY commission_id DESC LIMIT $3
        """,
        affiliate.store_id,
        affiliate.affiliate_id,
        limit,
    )
    return [_commission(row) for row in rows]


def _columns(keys: Collection[Key]) -> tuple[list[str], list[str]]:
    return [store_id for store_id, _ in keys], [other for _, other in keys]


def _commission(row: asyncpg.Record) -> Commission:
    return Commission(
        store_id=row["store_id"],
        order_id=row["order_id"],
        commission_id=row["commission_id"],
        affiliate_id=row["affiliate_id"],
        code=row["code"],
        order_version=row["order_version"],
        order_currency=row["order_currency"],
        base_minor=row["base_minor"],
        state=State(row["state"]),
        reason=None if row["reason"] is None else Reason(row["reason"]),
        rate_bps=row["rate_bps"],
        amount_minor=row["amount_minor"],
        revenue_minor=row["revenue_minor"],
        currency=row["currency"],
        earned_at=row["earned_at"],
        payable_at=row["payable_at"],
    )
