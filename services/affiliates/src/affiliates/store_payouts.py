"""Payouts: the addresses and transactions they use, and their rows under the lock of their affiliates."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from affiliates import store, store_claims
from affiliates.claims import Claim
from affiliates.enrolment import Affiliate
from chassis.db import Conn

Locked = tuple[Claim, Affiliate]


async def payout_of(conn: Conn, store_id: str, claim_id: str) -> Claim | None:
    """A payout of the store."""
    row = await conn.row(
        """
        SELECT c.*, coalesce(o.affiliate_id, c.affiliate_id) AS owner_id,
               coalesce(o.customer_id, c.customer_id) AS owner_customer_id
        FROM claim c
        JOIN affiliate a ON (a.store_id, a.affiliate_id) = (c.store_id, c.affiliate_id)
        LEFT JOIN affiliate o ON (o.store_id, o.affiliate_id) = (a.store_id, a.merged_into)
        WHERE c.store_id = $1 AND c.claim_id = $2 AND c.kind = 'payout'
        """,
        store_id,
        claim_id,
    )
    return None if row is None else store_claims.claim_in(row)


async def lock_payout(conn: Conn, store_id: str, claim_id: str) -> Locked | None:
    """A payout and its affiliate, locked."""
    claim = await payout_of(conn, store_id, claim_id)
    if claim is None:
        return None
    affiliate = await store.lock_affiliate(conn, store_id, claim.affiliate_id)
    claim = await payout_of(conn, store_id, claim_id)
    assert claim is not None, "a claim is never deleted"
    return claim, affiliate


async def addresses_of(conn: Conn, affiliate: Affiliate) -> Mapping[tuple[str, str], datetime | None]:
    """The addresses an affiliate has asked to be paid at, by network and key, and since when.

    ``None``: all these requests were rejected.
    """
    rows = await conn.rows(
        "SELECT network, key, first_used_at FROM payout_address WHERE store_id = $1 AND affiliate_id = $2",
        affiliate.store_id,
        affiliate.affiliate_id,
    )
    return {(row["network"], row["key"]): row["first_used_at"] for row in rows}


async def add_address(conn: Conn, affiliate: Affiliate, to: tuple[str, str], now: datetime) -> None:
    """Keep that an affiliate asks to be paid at an address: it may tell who they are. The affiliate must be locked."""
    await conn.execute(
        """
        WITH added AS (
            INSERT INTO payout_address (store_id, affiliate_id, network, key, first_used_at)
            VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (store_id, affiliate_id, network, key) DO UPDATE SET first_used_at = excluded.first_used_at
            WHERE payout_address.first_used_at IS NULL
            RETURNING store_id, affiliate_id
        )
        INSERT INTO look_again (store_id, affiliate_id) SELECT store_id, affiliate_id FROM added
        """,
        affiliate.store_id,
        affiliate.affiliate_id,
        *to,
        now,
    )


async def first_request_to(conn: Conn, affiliate: Affiliate, to: tuple[str, str]) -> datetime | None:
    """When an affiliate first asked for a payout to an address that was not rejected."""
    first: datetime | None = await conn.value(
        """
        SELECT min(c.created_at)
        FROM affiliate a CROSS JOIN LATERAL (
            SELECT created_at FROM claim
            WHERE store_id = $1 AND affiliate_id = a.affiliate_id AND address_key = $3 AND status <> 'REJECTED'
            ORDER BY created_at LIMIT 1
        ) AS c
        WHERE a.store_id = $1 AND (a.affiliate_id = $2 OR a.merged_into = $2)
        """,
        affiliate.store_id,
        affiliate.affiliate_id,
        ":".join(to),
    )
    return first


async def waiting_payouts_to(conn: Conn, affiliate: Affiliate, to: tuple[str, str]) -> Sequence[Claim]:
    """The payouts of an affiliate to an address that staff have not decided."""
    rows = await conn.rows(
        """
        SELECT c.*, $2 AS owner_id, CASE c.affiliate_id WHEN $2 THEN c.customer_id ELSE $4 END AS owner_customer_id
        FROM affiliate a CROSS JOIN LATERAL (
            SELECT * FROM claim
            WHERE store_id = $1 AND affiliate_id = a.affiliate_id AND kind = 'payout' AND status = 'PENDING'
              AND address_key = $3
        ) AS c
        WHERE a.store_id = $1 AND (a.affiliate_id = $2 OR a.merged_into = $2)
        """,
        affiliate.store_id,
        affiliate.affiliate_id,
        ":".join(to),
        affiliate.customer_id,
    )
    return [store_claims.claim_in(row) for row in rows]


async def save_rest(
    conn: Conn, affiliate: Affiliate, to: tuple[str, str], first: datetime | None, claims: Sequence[Claim]
) -> None:
    """Keep since when an address is used, and until when payouts to it rest. The affiliate must be locked."""
    await conn.execute(
        """
        UPDATE payout_address SET first_used_at = $5
        WHERE store_id = $1 AND affiliate_id = $2 AND network = $3 AND key = $4
        """,
        affiliate.store_id,
        affiliate.affiliate_id,
        *to,
        first,
    )
    await conn.execute(
        """
        UPDATE claim c SET approvable_at = e.approvable_at
        FROM unnest($2::text[], $3::timestamptz[]) AS e (claim_id, approvable_at)
        WHERE c.store_id = $1 AND c.claim_id = e.claim_id
        """,
        affiliate.store_id,
        [claim.claim_id for claim in claims],
        [claim.approvable_at for claim in claims],
    )


async def lock_transaction(conn: Conn, claim: Claim, transaction_hash: str) -> bool:
    """Whether no other payout, but those that failed, went by this transaction.

    None that does not share it will before this one of ours ends.

    Its own lock, since two payouts of two affiliates have no row in common; the unique index is the second.
    """
    await conn.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended($1 || ' ' || $2 || ' ' || $3, 0))",
        claim.store_id,
        claim.network,
        transaction_hash,
    )
    return not await conn.value(
        """
        SELECT EXISTS (
            SELECT FROM claim
            WHERE store_id = $1 AND network = $2 AND transaction_hash = $3 AND claim_id <> $4 AND status <> 'FAILED'
        )
        """,
        claim.store_id,
        claim.network,
        transaction_hash,
        claim.claim_id,
    )
