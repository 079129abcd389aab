"""Programs, affiliates and their links."""

from collections.abc import Collection, Sequence
from datetime import datetime

import asyncpg

from affiliates.enrolment import Affiliate, Link, State
from affiliates.journal import Balances
from affiliates.program import Terms
from chassis.db import Conn


async def terms_of(conn: Conn, store_ids: Collection[str]) -> dict[str, list[Terms]]:
    """All the terms each store's program has had."""
    history: dict[str, list[Terms]] = {store_id: [] for store_id in store_ids}
    for row in await conn.rows(
        "SELECT store_id, since, enabled, rate_bps, waiting_days FROM program WHERE store_id = ANY($1)",
        list(store_ids),
    ):
        history[row["store_id"]].append(Terms(row["since"], row["enabled"], row["rate_bps"], row["waiting_days"]))
    return history


async def set_terms(conn: Conn, store_id: str, terms: Terms) -> None:
    """Have a program's terms change."""
    await conn.execute(
        """
        INSERT INTO program (store_id, since, enabled, rate_bps, waiting_days) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (store_id, since) DO UPDATE
        SET enabled = excluded.enabled, rate_bps = excluded.rate_bps, waiting_days = excluded.waiting_days
        """,
        store_id,
        terms.since,
        terms.enabled,
        terms.rate_bps,
        terms.waiting_days,
    )


async def add_affiliate(conn: Conn, affiliate: Affiliate) -> bool:
    """Enrol a customer; ``False`` when they are an affiliate already."""
    return bool(
        await conn.execute(
            """
            INSERT INTO affiliate (store_id, affiliate_id, customer_id, state, enrolled_at) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (store_id, customer_id) DO NOTHING
            """,
            affiliate.store_id,
            affiliate.affiliate_id,
            affiliate.customer_id,
            affiliate.state,
            affiliate.enrolled_at,
        )
    )


async def add_link(conn: Conn, affiliate: Affiliate, code: str, now: datetime) -> bool:
    """Give an affiliate a link; ``False`` when the code is taken."""
    return bool(
        await conn.execute(
            """
            INSERT INTO link (store_id, code, affiliate_id, added_at) VALUES ($1, $2, $3, $4)
            ON CONFLICT (store_id, code) DO NOTHING
            """,
            affiliate.store_id,
            code,
            affiliate.affiliate_id,
            now,
        )
    )


async def affiliate_of(conn: Conn, store_id: str, customer_id: str) -> Affiliate | None:
    """The affiliate that a customer is."""
    row = await conn.row("SELECT * FROM affiliate WHERE store_id = $1 AND customer_id = $2", store_id, customer_id)
    return None if row is None else _affiliate(row)


async def lock_affiliate_of(conn: Conn, store_id: str, customer_id: str) -> Affiliate | None:
    """The affiliate that a customer is, locked."""
    row = await conn.row(
        "SELECT * FROM affiliate WHERE store_id = $1 AND customer_id = $2 FOR UPDATE", store_id, customer_id
    )
    return None if row is None else _affiliate(row)


def _affiliate(row: asyncpg.Record) -> Affiliate:
    return Affiliate(
        store_id=row["store_id"],
        affiliate_id=row["affiliate_id"],
        customer_id=row["customer_id"],
        state=State(row["state"]),
        enrolled_at=row["enrolled_at"],
        balances=Balances(
            pending_minor=row["pending_minor"],
            settled_minor=row["settled_minor"],
            requested_minor=row["requested_minor"],
            converted_minor=row["converted_minor"],
            paid_minor=row["paid_minor"],
        ),
    )


async def link_of(conn: Conn, affiliate: Affiliate) -> Link:
    """An affiliate's link (the first, where there are more) and what came of it."""
    row = await conn.row(
        """
        SELECT code, total_sales, total_revenue_minor,
               (SELECT coalesce(sum(clicks), 0)::bigint FROM click_day d
                WHERE d.store_id = l.store_id AND d.code = l.code) AS total_clicks
        FROM link l WHERE store_id = $1 AND affiliate_id = $2 ORDER BY added_at, code LIMIT 1
        """,
        affiliate.store_id,
        affiliate.affiliate_id,
    )
    if row is None:
        raise LookupError(f"{affiliate.affiliate_id} has no link")
    return Link(row["code"], row["total_clicks"], row["total_sales"], row["total_revenue_minor"])


async def add_sales(conn: Conn, sales: Sequence[tuple[str, str, int, int]]) -> None:
    """Add to links: rows of store, code, sales and revenue, each link once. The affiliates must be locked."""
    if not sales:
        return
    await conn.execute(
        """
        UPDATE link l
        SET total_sales = l.total_sales + s.sales, total_revenue_minor = l.total_revenue_minor + s.revenue
        FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) AS s (store_id, code, sales, revenue)
        WHERE (l.store_id, l.code) = (s.store_id, s.code)
        """,
        *[list(column) for column in zip(*sales, strict=True)],
    )
