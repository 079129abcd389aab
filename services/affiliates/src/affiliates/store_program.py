"""The terms of programs, and what is agreed with single affiliates, each dated."""

import json
from collections.abc import Mapping
from datetime import datetime

import asyncpg

from affiliates.enrolment import Affiliate
from affiliates.program import DEFAULT, OwnTerms, SelfEnrolment, Terms, Tier
from chassis.db import Conn


async def terms_of(conn: Conn, since: Mapping[str, datetime]) -> dict[str, list[Terms]]:
    """The terms each store's program had at its moment, and all that followed."""
    history: dict[str, list[Terms]] = {store_id: [] for store_id in since}
    rows = await conn.rows(
        """
        SELECT p.* FROM unnest($1::text[], $2::timestamptz[]) AS k (store_id, moment)
        JOIN program p ON p.store_id = k.store_id AND p.since >= coalesce((
            SELECT max(since) FROM program WHERE store_id = k.store_id AND since <= k.moment
        ), '-infinity')
        """,
        list(since),
        list(since.values()),
    )
    for row in rows:
        history[row["store_id"]].append(_terms(row))
    return history


async def terms_now(conn: Conn, store_id: str) -> Terms:
    """The terms a store set last."""
    row = await conn.row("SELECT * FROM program WHERE store_id = $1 ORDER BY since DESC LIMIT 1", store_id)
    return DEFAULT if row is None else _terms(row)


async def lock_terms(conn: Conn, store_id: str) -> Terms:
    """The same, which nobody else changes before this transaction ends. There may be no row to lock yet."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended('program ' || $1, 0))", store_id)
    return await terms_now(conn, store_id)


async def page_of_terms(conn: Conn, store_id: str, before: datetime | None, limit: int) -> list[Terms]:
    """The terms a store's program has had before a time, the newest first."""
    rows = await conn.rows(
        """
        SELECT * FROM program WHERE store_id = $1 AND ($2::timestamptz IS NULL OR since < $2)
        ORDER BY since DESC LIMIT $3
        """,
        store_id,
        before,
        limit,
    )
    return [_terms(row) for row in rows]


async def newest_own_terms(conn: Conn, affiliate: Affiliate, limit: int) -> list[OwnTerms]:
    """What was agreed with an affiliate, the newest first."""
    rows = await conn.rows(
        """
        SELECT since, rate_bps, waiting_days FROM own_terms WHERE store_id = $1 AND affiliate_id = $2
        ORDER BY since DESC LIMIT $3
        """,
        affiliate.store_id,
        affiliate.affiliate_id,
        limit,
    )
    return [OwnTerms(*row) for row in rows]


async def add_own_terms(conn: Conn, affiliate: Affiliate, own: OwnTerms) -> None:
    """Keep what is agreed with an affiliate. They must be locked."""
    await conn.execute(
        "INSERT INTO own_terms (store_id, affiliate_id, since, rate_bps, waiting_days) VALUES ($1, $2, $3, $4, $5)",
        affiliate.store_id,
        affiliate.affiliate_id,
        own.since,
        own.rate_bps,
        own.waiting_days,
    )


async def add_terms(conn: Conn, store_id: str, terms: Terms) -> None:
    """Have a program's terms change."""
    methods = terms.payout_methods
    await conn.execute(
        """
        INSERT INTO program (
            store_id, since, enabled, rate_bps, waiting_days, discount_enabled, discount_bps,
            custom_links_need_approval, self_enrolment, attribution_days, tiers, minimum_payout_minor, payout_methods,
            two_person_approval, cooling_days, conversion_bonus_bps
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
        """,
        store_id,
        terms.since,
        terms.enabled,
        terms.rate_bps,
        terms.waiting_days,
        terms.discount_enabled,
        terms.discount_bps,
        terms.custom_links_need_approval,
        terms.self_enrolment,
        terms.attribution_days,
        json.dumps([[tier.from_minor, tier.rate_bps] for tier in terms.tiers]),
        terms.minimum_payout_minor,
        None if methods is None else json.dumps(methods),
        terms.two_person_approval,
        terms.cooling_days,
        terms.conversion_bonus_bps,
    )


def _terms(row: asyncpg.Record) -> Terms:
    methods = row["payout_methods"]
    return Terms(
        since=row["since"],
        enabled=row["enabled"],
        rate_bps=row["rate_bps"],
        waiting_days=row["waiting_days"],
        discount_enabled=row["discount_enabled"],
        discount_bps=row["discount_bps"],
        custom_links_need_approval=row["custom_links_need_approval"],
        self_enrolment=SelfEnrolment(row["self_enrolment"]),
        attribution_days=row["attribution_days"],
        tiers=tuple(Tier(*tier) for tier in json.loads(row["tiers"])),
        minimum_payout_minor=row["minimum_payout_minor"],
        payout_methods=None if methods is None else tuple((asset, network) for asset, network in json.loads(methods)),
        two_person_approval=row["two_person_approval"],
        cooling_days=row["cooling_days"],
        conversion_bonus_bps=row["conversion_bonus_bps"],
    )
