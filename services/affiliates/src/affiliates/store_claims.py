"""Claims: what affiliates asked to have."""

from collections.abc import Collection, Sequence

import asyncpg

from affiliates.claims import Claim, Status
from affiliates.enrolment import Affiliate
from chassis.db import Conn


async def add_claim(conn: Conn, claim: Claim) -> None:
    """Keep a new claim. The affiliate must be locked."""
    await conn.execute(
        """
        INSERT INTO claim (
            store_id, claim_id, affiliate_id, customer_id, kind, amount_minor, currency, status, created_at
        ) VALUES ($1, $2, $3, $4, 'conversion', $5, $6, $7, $8)
        """,
        claim.store_id,
        claim.claim_id,
        claim.affiliate_id,
        claim.customer_id,
        claim.amount_minor,
        claim.currency,
        claim.status,
        claim.created_at,
    )


async def lock_claims(conn: Conn, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], Claim]:
    """Claims by store and id, as they are once their affiliates are locked."""
    columns = [list(column) for column in zip(*sorted(keys), strict=True)]
    await conn.execute(
        """
        SELECT FROM affiliate WHERE (store_id, affiliate_id) IN (
            SELECT c.store_id, c.affiliate_id
            FROM claim c JOIN unnest($1::text[], $2::text[]) AS k (store_id, claim_id) USING (store_id, claim_id)
        )
        ORDER BY store_id, affiliate_id FOR UPDATE
        """,
        *columns,
    )
    rows = await conn.rows(
        """
        SELECT c.* FROM claim c JOIN unnest($1::text[], $2::text[]) AS k (store_id, claim_id) USING (store_id, claim_id)
        """,
        *columns,
    )
    return {(row["store_id"], row["claim_id"]): _claim(row) for row in rows}


async def end_claims(conn: Conn, claims: Sequence[Claim]) -> None:
    """Keep how claims ended. The affiliates must be locked."""
    await conn.execute(
        """
        UPDATE claim c
        SET status = e.status, reason = e.reason, wallet_transaction_id = e.wallet_transaction_id,
            balance_after_minor = e.balance_after_minor, ended_at = e.ended_at
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::timestamptz[])
             AS e (store_id, claim_id, status, reason, wallet_transaction_id, balance_after_minor, ended_at)
        WHERE (c.store_id, c.claim_id) = (e.store_id, e.claim_id)
        """,
        [claim.store_id for claim in claims],
        [claim.claim_id for claim in claims],
        [claim.status for claim in claims],
        [claim.reason for claim in claims],
        [claim.wallet_transaction_id for claim in claims],
        [claim.balance_after_minor for claim in claims],
        [claim.ended_at for claim in claims],
    )


async def claim_of_request(conn: Conn, request_id: str) -> Claim | None:
    """The claim that a request is; the store is the caller's, by row-level security."""
    row = await conn.row("SELECT * FROM claim WHERE claim_id = $1", request_id)
    return None if row is None else _claim(row)


async def claim_of(conn: Conn, affiliate: Affiliate, claim_id: str) -> Claim | None:
    """One claim of an affiliate."""
    row = await conn.row(
        "SELECT * FROM claim WHERE store_id = $1 AND claim_id = $2 AND affiliate_id = $3",
        affiliate.store_id,
        claim_id,
        affiliate.affiliate_id,
    )
    return None if row is None else _claim(row)


async def latest_claims(conn: Conn, affiliate: Affiliate, limit: int) -> list[Claim]:
    """An affiliate's claims, the newest first."""
    rows = await conn.rows(
        "SELECT * FROM claim WHERE store_id = $1 AND affiliate_id = $2 ORDER BY claim_id DESC LIMIT $3",
        affiliate.store_id,
        affiliate.affiliate_id,
        limit,
    )
    return [_claim(row) for row in rows]


def _claim(row: asyncpg.Record) -> Claim:
    return Claim(
        store_id=row["store_id"],
        claim_id=row["claim_id"],
        affiliate_id=row["affiliate_id"],
        customer_id=row["customer_id"],
        amount_minor=row["amount_minor"],
        currency=row["currency"],
        created_at=row["created_at"],
        status=Status(row["status"]),
        reason=row["reason"],
        wallet_transaction_id=row["wallet_transaction_id"],
        balance_after_minor=row["balance_after_minor"],
        ended_at=row["ended_at"],
    )
