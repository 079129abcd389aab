"""Lists of commissions and claims: an affiliate's, and those of a store for staff. Newest first.

A list reads the newest of every state that it wants, and the newest of these: each by an index that begins with all
that is looked for, so it reads no more than it shows, however long ago and however rare that is.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import asyncpg

from affiliates.claims import Claim, ClaimKind, Status
from affiliates.commissions import Commission, State
from affiliates.enrolment import Affiliate
from affiliates.store import plan_each
from affiliates.store_claims import claim_in
from affiliates.store_commissions import commission_in
from chassis.db import Conn


class Place(NamedTuple):
    """Where a list goes on: before what was earned or made then and has this id."""

    at: datetime
    id: str


START = Place(datetime.max.replace(tzinfo=UTC), "")  # to the database this is infinity

_EARNED = [State.DENIED, State.HELD, State.PENDING, State.PAYABLE]
_DECIDED = [State.DECLINED, *_EARNED]


class WantedCommissions(NamedTuple):
    """Which of a store's commissions to list: all but for what is named; earned from ``since`` until ``until``."""

    status: str | None = None
    affiliate_id: str | None = None
    code: str | None = None
    order_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    customer_id: str | None = None  # as the caller named the affiliate


class WantedClaims(NamedTuple):
    """Which of a store's claims to list: all but for what is named; made from ``since`` until ``until``."""

    kind: ClaimKind | None = None
    status: Status | None = None
    asset: str | None = None
    network: str | None = None
    affiliate_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    customer_id: str | None = None


class SeenCommission(NamedTuple):
    """A commission as staff see it: whose it is, and how and by which rules fraud-block was not content with the order."""

    commission: Commission
    customer_id: str | None
    verdict: str | None
    rule_ids: tuple[str, ...]


async def commissions_of_affiliate(
    conn: Conn, affiliate: Affiliate, status: str | None, before: Place, limit: int
) -> list[Commission]:
    """An affiliate's commissions before a place, with those of who was merged into them, but declined ones."""
    await plan_each(conn)
    rows = await conn.rows(
        """
        SELECT c.*, $2 AS owner_id
        FROM affiliate a CROSS JOIN unnest($3::text[]) AS one (state) CROSS JOIN LATERAL (
            SELECT * FROM commission
            WHERE store_id = $1 AND affiliate_id = a.affiliate_id AND state = one.state
              AND (earned_at, commission_id) < ($4, $5)
            ORDER BY earned_at DESC, commission_id DESC LIMIT $6
        ) AS c
        WHERE a.store_id = $1 AND (a.affiliate_id = $2 OR a.merged_into = $2)
        ORDER BY c.earned_at DESC, c.commission_id DESC LIMIT $6
        """,
        affiliate.store_id,
        affiliate.affiliate_id,
        _EARNED if status is None else [status],
        *before,
        limit,
    )
    return [commission_in(row) for row in rows]


async def commissions_of_store(
    conn: Conn, store_id: str, wanted: WantedCommissions, before: Place, limit: int
) -> list[SeenCommission]:
    """A store's commissions before a place, declined ones too; an affiliate's with those of who was merged into them."""
    await plan_each(conn)
    status, *filters, until, _ = wanted
    rows = await conn.rows(
        """
        SELECT c.*, coalesce(o.affiliate_id, a.affiliate_id) AS owner_id,
               coalesce(o.customer_id, a.customer_id) AS owner_customer_id, v.decision, v.rule_ids
        FROM (
            SELECT c.*
            FROM (
                SELECT affiliate_id FROM affiliate WHERE store_id = $1 AND (affiliate_id = $6 OR merged_into = $6)
                UNION ALL
                SELECT NULL WHERE $6::text IS NULL
            ) AS its CROSS JOIN unnest($2::text[]) AS one (state) CROSS JOIN LATERAL (
                SELECT * FROM commission
                WHERE store_id = $1 AND state = one.state AND (earned_at, commission_id) < ($3, $4)
                  AND ($6::text IS NULL OR affiliate_id = its.affiliate_id) AND ($7::text IS NULL OR code = $7)
                  AND ($8::text IS NULL OR order_id = $8) AND ($9::timestamptz IS NULL OR earned_at >= $9)
                ORDER BY earned_at DESC, commission_id DESC LIMIT $5
            ) AS c
            ORDER BY earned_at DESC, commission_id DESC LIMIT $5
        ) AS c
        LEFT JOIN affiliate a ON a.store_id = $1 AND a.affiliate_id = c.affiliate_id
        LEFT JOIN affiliate o ON o.store_id = $1 AND o.affiliate_id = a.merged_into
        LEFT JOIN verdict v ON v.store_id = $1 AND v.order_id = c.order_id
        ORDER BY c.earned_at DESC, c.commission_id DESC
        """,
        store_id,
        _DECIDED if status is None else [status],
        *_earlier(before, until),
        limit,
        *filters,
    )
    return [_seen(row) for row in rows]


async def seen_commission_of(conn: Conn, store_id: str, commission_id: str) -> SeenCommission | None:
    """One of a store's commissions."""
    row = await conn.row(
        """
        SELECT c.*, coalesce(o.affiliate_id, a.affiliate_id) AS owner_id,
               coalesce(o.customer_id, a.customer_id) AS owner_customer_id, v.decision, v.rule_ids
        FROM commission c
        LEFT JOIN affiliate a ON (a.store_id, a.affiliate_id) = (c.store_id, c.affiliate_id)
        LEFT JOIN affiliate o ON (o.store_id, o.affiliate_id) = (a.store_id, a.merged_into)
        LEFT JOIN verdict v ON (v.store_id, v.order_id) = (c.store_id, c.order_id)
        WHERE c.store_id = $1 AND c.commission_id = $2
        """,
        store_id,
        commission_id,
    )
    return None if row is None else _seen(row)


async def claims_of_affiliate(
    conn: Conn, affiliate: Affiliate, kind: ClaimKind | None, status: Status | None, before: Place, limit: int
) -> list[Claim]:
    """An affiliate's claims before a place, with those of who was merged into them."""
    await plan_each(conn)
    rows = await conn.rows(
        """
        SELECT c.*, $2 AS owner_id, CASE c.affiliate_id WHEN $2 THEN c.customer_id ELSE $8 END AS owner_customer_id
        FROM affiliate a CROSS JOIN unnest($3::text[]) AS one (kind) CROSS JOIN unnest($4::text[]) AS other (status)
        CROSS JOIN LATERAL (
            SELECT * FROM claim
            WHERE store_id = $1 AND affiliate_id = a.affiliate_id AND kind = one.kind AND status = other.status
              AND (created_at, claim_id) < ($5, $6)
            ORDER BY created_at DESC, claim_id DESC LIMIT $7
        ) AS c
        WHERE a.store_id = $1 AND (a.affiliate_id = $2 OR a.merged_into = $2)
        ORDER BY c.created_at DESC, c.claim_id DESC LIMIT $7
        """,
        affiliate.store_id,
        affiliate.affiliate_id,
        _kinds(kind),
        _statuses(status),
        *before,
        limit,
        affiliate.customer_id,
    )
    return [claim_in(row) for row in rows]


async def claims_of_store(conn: Conn, store_id: str, wanted: WantedClaims, before: Place, limit: int) -> list[Claim]:
    """A store's claims before a place; an affiliate's with those of who was merged into them."""
    await plan_each(conn)
    kind, status, *filters, until, _ = wanted
    rows = await conn.rows(
        """
        SELECT c.*, coalesce(o.affiliate_id, c.affiliate_id) AS owner_id,
               coalesce(o.customer_id, c.customer_id) AS owner_customer_id
        FROM (
            SELECT affiliate_id FROM affiliate WHERE store_id = $1 AND (affiliate_id = $9 OR merged_into = $9)
            UNION ALL
            SELECT NULL WHERE $9::text IS NULL
        ) AS its CROSS JOIN unnest($2::text[]) AS one (kind) CROSS JOIN unnest($3::text[]) AS other (status)
        CROSS JOIN LATERAL (
            SELECT * FROM claim
            WHERE store_id = $1 AND kind = one.kind AND status = other.status AND (created_at, claim_id) < ($4, $5)
              AND ($7::text IS NULL OR asset = $7) AND ($8::text IS NULL OR network = $8)
              AND ($9::text IS NULL OR affiliate_id = its.affiliate_id) AND ($10::timestamptz IS NULL OR created_at >= $10)
            ORDER BY created_at DESC, claim_id DESC LIMIT $6
        ) AS c
        LEFT JOIN affiliate a ON a.store_id = $1 AND a.affiliate_id = c.affiliate_id
        LEFT JOIN affiliate o ON o.store_id = $1 AND o.affiliate_id = a.merged_into
        ORDER BY c.created_at DESC, c.claim_id DESC LIMIT $6
        """,
        store_id,
        _kinds(kind),
        _statuses(status),
        *_earlier(before, until),
        limit,
        *filters,
    )
    return [claim_in(row) for row in rows]


async def affiliates_at(conn: Conn, store_id: str, addresses: list[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """How many affiliates asked to be paid at each of these addresses, by network and the address as it compares."""
    rows = await conn.rows(
        """
        SELECT network, key, count(*) AS affiliates
        FROM payout_address JOIN unnest($2::text[], $3::text[]) AS k (network, key) USING (network, key)
        WHERE store_id = $1
        GROUP BY network, key
        """,
        store_id,
        [network for network, _ in addresses],
        [key for _, key in addresses],
    )
    return {(row["network"], row["key"]): row["affiliates"] for row in rows}


async def debts_of(conn: Conn, store_id: str, affiliate_ids: Collection[str]) -> dict[str, int]:
    """What those of these affiliates owe who owe anything, in minor units."""
    rows = await conn.rows(
        """
        SELECT affiliate_id, -settled_minor AS debt_minor FROM affiliate
        WHERE store_id = $1 AND affiliate_id = ANY($2) AND settled_minor < 0
        """,
        store_id,
        list(affiliate_ids),
    )
    return {row["affiliate_id"]: row["debt_minor"] for row in rows}


def _earlier(before: Place, until: datetime | None) -> Place:
    """Where a list goes on or a period ends: the index begins at one place only."""
    return before if until is None else min(before, Place(until, ""))


def _kinds(kind: ClaimKind | None) -> Sequence[str]:
    return list(ClaimKind) if kind is None else [kind]


def _statuses(status: Status | None) -> Sequence[str]:
    return list(Status) if status is None else [status]


def _seen(row: asyncpg.Record) -> SeenCommission:
    return SeenCommission(commission_in(row), row["owner_customer_id"], row["decision"], tuple(row["rule_ids"] or ()))
