"""Whom codes belong to, and on what terms: all that is asked before an order is decided."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import asyncpg

from affiliates import store
from affiliates.attribution import Referral
from affiliates.enrolment import Standing, by_moment, handed_on
from affiliates.enrolment import State as AffiliateState
from affiliates.links import State as LinkState
from affiliates.program import OwnTerms
from chassis.db import Conn

Key = tuple[str, str]


async def lock_referrers(conn: Conn, codes: Collection[Key], orders: Collection[Key]) -> set[Key]:
    """Lock the affiliates these codes belong to, and those these orders already owe; sorted, first.

    While this waits, what was theirs may become another's, who is not locked: whoever reads it finds that out, and ends
    by ``NotYet``, so that all is let go and locked anew.
    """
    rows = await conn.rows(
        """
        SELECT store_id, affiliate_id FROM affiliate
        WHERE (store_id, affiliate_id) IN (
            SELECT l.store_id, l.affiliate_id
            FROM link l JOIN unnest($1::text[], $2::text[]) AS k (store_id, code) USING (store_id, code)
            UNION
            SELECT c.store_id, coalesce(a.merged_into, a.affiliate_id)
            FROM commission c
            JOIN unnest($3::text[], $4::text[]) AS k (store_id, order_id) USING (store_id, order_id)
            JOIN affiliate a ON (a.store_id, a.affiliate_id) = (c.store_id, c.affiliate_id)
        )
        ORDER BY store_id, affiliate_id FOR UPDATE
        """,
        *store.columns(codes),
        *store.columns(orders),
    )
    return {(row["store_id"], row["affiliate_id"]) for row in rows}


async def referrals_of(conn: Conn, codes: Collection[Key], since: Mapping[str, datetime]) -> dict[Key, Referral]:
    """Whom codes belong to and whether they earn, by store and code. The affiliates must be locked.

    Where they stood is told from each store's moment on: of what was written the last that begins by then, and all
    after it, since what was written before it decides nothing any more.
    """
    rows = await conn.rows(
        """
        SELECT l.store_id, l.code, l.affiliate_id, a.state AS affiliate_state, l.state AS link_state, l.active_from,
               l.removed_at, l.earlier, l.earlier_owners, l.owned_until, s.since, s.states
        FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS k (store_id, code, moment)
        JOIN link l USING (store_id, code)
        JOIN affiliate a ON (a.store_id, a.affiliate_id) = (l.store_id, l.affiliate_id)
        JOIN LATERAL (
            SELECT array_agg(since ORDER BY seq) AS since, array_agg(state ORDER BY seq) AS states
            FROM standing
            WHERE standing.store_id = a.store_id AND standing.affiliate_id = a.affiliate_id AND seq >= coalesce((
                SELECT seq FROM standing
                WHERE standing.store_id = a.store_id AND standing.affiliate_id = a.affiliate_id AND since <= k.moment
                ORDER BY seq DESC LIMIT 1
            ), 0)
        ) s ON true
        """,
        *store.columns(codes),
        [since[store_id] for store_id, _ in codes],
    )
    earlier = {(row["store_id"], owner) for row in rows for owner in row["earlier_owners"]}
    written = await _written(conn, earlier, since) if earlier else {}
    return {
        (row["store_id"], row["code"]): Referral(
            row["affiliate_id"],
            AffiliateState(row["affiliate_state"]),
            LinkState(row["link_state"]),
            _active(row),
            _stood(row, written),
        )
        for row in rows
    }


def _active(row: asyncpg.Record) -> list[tuple[datetime, datetime | None]]:
    """When a link was active, from and until."""
    now = [] if row["active_from"] is None else [(row["active_from"], row["removed_at"])]
    return [*((each.lower, each.upper) for each in row["earlier"]), *now]


async def _written(conn: Conn, affiliates: Collection[Key], since: Mapping[str, datetime]) -> dict[Key, list[Standing]]:
    """Where affiliates came to stand from each store's moment on, by store and affiliate, as it was written."""
    rows = await conn.rows(
        """
        SELECT s.store_id, s.affiliate_id, s.since, s.state
        FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS k (store_id, affiliate_id, moment)
        JOIN standing s ON (s.store_id, s.affiliate_id) = (k.store_id, k.affiliate_id) AND s.seq >= coalesce((
            SELECT seq FROM standing
            WHERE store_id = k.store_id AND affiliate_id = k.affiliate_id AND since <= k.moment
            ORDER BY seq DESC LIMIT 1
        ), 0)
        ORDER BY s.seq
        """,
        *store.columns(affiliates),
        [since[store_id] for store_id, _ in affiliates],
    )
    written: dict[Key, list[Standing]] = {}
    for row in rows:
        standing = Standing(row["since"], AffiliateState(row["state"]))
        written.setdefault((row["store_id"], row["affiliate_id"]), []).append(standing)
    return written


def _stood(row: asyncpg.Record, written: Mapping[Key, Sequence[Standing]]) -> list[Standing]:
    """Where whoever had a link at a moment stood then. ``written`` is of those who had it before."""
    now = [Standing(since, AffiliateState(state)) for since, state in zip(row["since"], row["states"], strict=True)]
    first, *heirs = [*(written[row["store_id"], owner] for owner in row["earlier_owners"]), now]
    history = by_moment(first)
    for until, heir in zip(row["owned_until"], heirs, strict=True):
        history = handed_on(history, until, by_moment(heir))
    return history


async def own_terms_of(
    conn: Conn, affiliates: Collection[Key], since: Mapping[str, datetime]
) -> dict[Key, list[OwnTerms]]:
    """What was agreed with affiliates at their store's moment, and all that followed; those without are left out."""
    rows = await conn.rows(
        """
        SELECT o.store_id, o.affiliate_id, o.since, o.rate_bps, o.waiting_days
        FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS k (store_id, affiliate_id, moment)
        JOIN own_terms o ON (o.store_id, o.affiliate_id) = (k.store_id, k.affiliate_id) AND o.since >= coalesce((
            SELECT max(since) FROM own_terms
            WHERE store_id = k.store_id AND affiliate_id = k.affiliate_id AND since <= k.moment
        ), '-infinity')
        """,
        *store.columns(affiliates),
        [since[store_id] for store_id, _ in affiliates],
    )
    agreed: dict[Key, list[OwnTerms]] = {}
    for row in rows:
        agreed.setdefault((row["store_id"], row["affiliate_id"]), []).append(
            OwnTerms(row["since"], row["rate_bps"], row["waiting_days"])
        )
    return agreed


async def volumes_of(conn: Conn, affiliates: Collection[Key]) -> dict[Key, int]:
    """What the links of affiliates have sold for, by store and affiliate, in minor units."""
    rows = await conn.rows(
        """
        SELECT store_id, affiliate_id, sum(total_revenue_minor)::bigint AS volume
        FROM unnest($1::text[], $2::text[]) AS k (store_id, affiliate_id) JOIN link USING (store_id, affiliate_id)
        GROUP BY 1, 2
        """,
        *store.columns(affiliates),
    )
    return {(row["store_id"], row["affiliate_id"]): row["volume"] for row in rows}
