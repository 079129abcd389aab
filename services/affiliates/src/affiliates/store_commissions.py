"""Commissions: what was decided about orders that came with a code."""

import json
from collections.abc import Collection, Sequence
from datetime import datetime

import asyncpg

from affiliates import store
from affiliates.attribution import Kind, Outcome, Touch
from affiliates.commissions import Commission, Reason, State
from affiliates.program import RateFrom
from chassis.db import Conn
from chassis.verdicts import NotYet

Key = tuple[str, str]


async def commissions_of(conn: Conn, orders: Collection[Key]) -> dict[Key, Commission]:
    """What was decided about orders, by store and order, locked. The affiliates must be: one may be nobody's."""
    rows = await conn.rows(
        """
        SELECT c.*, coalesce(a.merged_into, c.affiliate_id) AS owner_id
        FROM commission c
        JOIN unnest($1::text[], $2::text[]) AS k (store_id, order_id) USING (store_id, order_id)
        LEFT JOIN affiliate a ON (a.store_id, a.affiliate_id) = (c.store_id, c.affiliate_id)
        ORDER BY store_id, order_id FOR UPDATE OF c
        """,
        *store.columns(orders),
    )
    return {(row["store_id"], row["order_id"]): commission_in(row) for row in rows}


async def commission_of(conn: Conn, store_id: str, commission_id: str) -> Commission | None:
    """One commission."""
    row = await conn.row(
        """
        SELECT c.*, coalesce(a.merged_into, c.affiliate_id) AS owner_id
        FROM commission c LEFT JOIN affiliate a ON (a.store_id, a.affiliate_id) = (c.store_id, c.affiliate_id)
        WHERE c.store_id = $1 AND c.commission_id = $2
        """,
        store_id,
        commission_id,
    )
    return None if row is None else commission_in(row)


async def lock_commission(conn: Conn, store_id: str, commission_id: str) -> Commission | None:
    """One commission, locked behind its affiliate. Raises ``NotYet`` where it has just become another's."""
    found = await commission_of(conn, store_id, commission_id)
    if found is None:
        return None
    owner = None
    if found.affiliate_id is not None:
        owner = (await store.lock_once(conn, store_id, found.affiliate_id)).affiliate_id
    locked = (await commissions_of(conn, [found.key]))[found.key]
    if locked.affiliate_id != owner:
        raise NotYet("the commission has just become another affiliate's")
    return locked


async def save_commissions(conn: Conn, commissions: Sequence[Commission]) -> set[Key]:
    """Keep decisions; the orders for which they were news. What was decided first about an order stays."""
    rows = await conn.rows(
        """
        INSERT INTO commission (
            store_id, order_id, commission_id, affiliate_id, code, order_version, order_currency, base_minor, state,
            reason, rate_bps, rate_from, amount_minor, revenue_minor, currency, earned_at, payable_at, customer_id,
            current_customer_id, rule, touches, turn, held_for
        )
        SELECT * FROM unnest(
            $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::text[], $8::bigint[],
            $9::text[], $10::text[], $11::int[], $12::text[], $13::bigint[], $14::bigint[], $15::text[],
            $16::timestamptz[], $17::timestamptz[], $18::text[], $19::text[], $20::text[], $21::jsonb[], $22::int[],
            $23::text[]
        )
        ON CONFLICT (store_id, order_id) DO UPDATE
        SET order_version = excluded.order_version, base_minor = excluded.base_minor, state = excluded.state,
            reason = excluded.reason, amount_minor = excluded.amount_minor, revenue_minor = excluded.revenue_minor,
            current_customer_id = excluded.current_customer_id, turn = excluded.turn, held_for = excluded.held_for
        WHERE commission.order_version < excluded.order_version
          AND commission.commission_id = excluded.commission_id
        RETURNING store_id, order_id
        """,
        [commission.store_id for commission in commissions],
        [commission.order_id for commission in commissions],
        [commission.commission_id for commission in commissions],
        [commission.affiliate_id for commission in commissions],
        [commission.code for commission in commissions],
        [commission.order_version for commission in commissions],
        [commission.order_currency for commission in commissions],
        [commission.base_minor for commission in commissions],
        [commission.state for commission in commissions],
        [commission.reason for commission in commissions],
        [commission.rate_bps for commission in commissions],
        [commission.rate_from for commission in commissions],
        [commission.amount_minor for commission in commissions],
        [commission.revenue_minor for commission in commissions],
        [commission.currency for commission in commissions],
        [commission.earned_at for commission in commissions],
        [commission.payable_at for commission in commissions],
        [commission.customer_id for commission in commissions],
        [commission.current_customer_id for commission in commissions],
        [commission.rule for commission in commissions],
        [_written(commission.touches) for commission in commissions],
        [commission.turn for commission in commissions],
        [commission.held_for for commission in commissions],
    )
    return {(row["store_id"], row["order_id"]) for row in rows}


async def change_commissions(conn: Conn, commissions: Sequence[Commission]) -> None:
    """Keep what became of commissions other than by their orders. The affiliates must be locked.

    Raises ``LookupError`` where a commission is not at the turn before.
    """
    changed = await conn.execute(
        """
        UPDATE commission c
        SET affiliate_id = e.affiliate_id, code = e.code, state = e.state, reason = e.reason, rate_bps = e.rate_bps,
            rate_from = e.rate_from, amount_minor = e.amount_minor, payable_at = e.payable_at, touches = e.touches,
            cleared_at = e.cleared_at, turn = e.turn, held_for = e.held_for
        FROM unnest(
            $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int[], $8::text[],
            $9::bigint[], $10::timestamptz[], $11::jsonb[], $12::timestamptz[], $13::int[], $14::text[]
        ) AS e (
            store_id, order_id, affiliate_id, code, state, reason, rate_bps, rate_from, amount_minor, payable_at,
            touches, cleared_at, turn, held_for
        )
        WHERE (c.store_id, c.order_id) = (e.store_id, e.order_id) AND c.turn = e.turn - 1
        """,
        [commission.store_id for commission in commissions],
        [commission.order_id for commission in commissions],
        [commission.affiliate_id for commission in commissions],
        [commission.code for commission in commissions],
        [commission.state for commission in commissions],
        [commission.reason for commission in commissions],
        [commission.rate_bps for commission in commissions],
        [commission.rate_from for commission in commissions],
        [commission.amount_minor for commission in commissions],
        [commission.payable_at for commission in commissions],
        [_written(commission.touches) for commission in commissions],
        [commission.cleared_at for commission in commissions],
        [commission.turn for commission in commissions],
        [commission.held_for for commission in commissions],
    )
    if changed != len(commissions):
        raise LookupError("a commission changed under us")


async def lock_due(conn: Conn, now: datetime, limit: int) -> list[Commission]:
    """Commissions whose waiting time is over, of affiliates that nobody else has locked."""
    rows = await conn.rows(
        """
        WITH due AS (
            SELECT c.store_id, c.order_id, coalesce(a.merged_into, a.affiliate_id) AS affiliate_id
            FROM commission c JOIN affiliate a USING (store_id, affiliate_id)
            WHERE c.state = 'pending' AND c.payable_at <= $1 ORDER BY c.payable_at LIMIT $2
        ), locked AS (
            SELECT store_id, affiliate_id FROM affiliate
            WHERE (store_id, affiliate_id) IN (SELECT store_id, affiliate_id FROM due)
            ORDER BY store_id, affiliate_id FOR UPDATE SKIP LOCKED
        )
        SELECT store_id, order_id, affiliate_id FROM due JOIN locked USING (store_id, affiliate_id)
        """,
        now,
        limit,
    )
    return await _still_theirs(conn, rows)


async def lock_suspects(conn: Conn, limit: int) -> list[Commission]:
    """Commissions of orders that fraud-block spoke against and nobody holds, as ``lock_due`` finds them."""
    rows = await conn.rows(
        """
        WITH suspect AS (
            SELECT c.store_id, c.order_id, coalesce(a.merged_into, a.affiliate_id) AS affiliate_id
            FROM verdict v
            CROSS JOIN LATERAL (
                SELECT * FROM commission
                WHERE store_id = v.store_id AND order_id = v.order_id AND state IN ('pending', 'payable')
                  AND cleared_at IS NULL LIMIT 1
            ) AS c
            JOIN affiliate a ON (a.store_id, a.affiliate_id) = (c.store_id, c.affiliate_id)
            WHERE v.open LIMIT $1
        ), locked AS (
            SELECT store_id, affiliate_id FROM affiliate
            WHERE (store_id, affiliate_id) IN (SELECT store_id, affiliate_id FROM suspect)
            ORDER BY store_id, affiliate_id FOR UPDATE SKIP LOCKED
        )
        SELECT store_id, order_id, affiliate_id FROM suspect JOIN locked USING (store_id, affiliate_id)
        """,
        limit,
    )
    return await _still_theirs(conn, rows)


async def _still_theirs(conn: Conn, rows: Sequence[asyncpg.Record]) -> list[Commission]:
    """The commissions as they are now, without those that have just become another affiliate's."""
    owners = {row["affiliate_id"] for row in rows}
    found = await commissions_of(conn, [(row["store_id"], row["order_id"]) for row in rows])
    return [commission for commission in found.values() if commission.affiliate_id in owners]


def _written(touches: Sequence[Touch]) -> str:
    return json.dumps([[touch.code, touch.kind, touch.at and touch.at.isoformat(), touch.outcome] for touch in touches])


def _read(touches: str) -> tuple[Touch, ...]:
    return tuple(
        Touch(code, Kind(kind), at and datetime.fromisoformat(at), Outcome(outcome))
        for code, kind, at, outcome in json.loads(touches)
    )


def commission_in(row: asyncpg.Record) -> Commission:
    """The commission that a row is, and whose it is by all merges (``owner_id``)."""
    return Commission(
        store_id=row["store_id"],
        order_id=row["order_id"],
        commission_id=row["commission_id"],
        affiliate_id=row["owner_id"],
        code=row["code"],
        order_version=row["order_version"],
        order_currency=row["order_currency"],
        base_minor=row["base_minor"],
        state=State(row["state"]),
        reason=None if row["reason"] is None else Reason(row["reason"]),
        rate_bps=row["rate_bps"],
        rate_from=RateFrom(row["rate_from"]),
        amount_minor=row["amount_minor"],
        revenue_minor=row["revenue_minor"],
        currency=row["currency"],
        earned_at=row["earned_at"],
        payable_at=row["payable_at"],
        customer_id=row["customer_id"],
        current_customer_id=row["current_customer_id"],
        rule=row["rule"],
        touches=_read(row["touches"]),
        turn=row["turn"],
        cleared_at=row["cleared_at"],
        held_for=None if row["held_for"] is None else Reason(row["held_for"]),
    )
