"""Claims: what affiliates asked to have."""

import json
from collections.abc import Collection, Sequence

import asyncpg

from affiliates import payouts, store
from affiliates.claims import Claim, ClaimKind, Status
from affiliates.enrolment import Affiliate
from chassis.db import Conn
from chassis.verdicts import NotYet


async def add_claim(conn: Conn, claim: Claim) -> None:
    """Keep a new claim. The affiliate must be locked."""
    await conn.execute(
        """
        INSERT INTO claim (
            store_id, claim_id, affiliate_id, customer_id, kind, amount_minor, currency, status, created_at, changed_at,
            bonus_minor, asset, network, address, note, approvable_at, address_key
        ) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
        """,
        claim.store_id,
        claim.claim_id,
        claim.affiliate_id,
        claim.customer_id,
        claim.kind,
        claim.amount_minor,
        claim.currency,
        claim.status,
        claim.created_at,
        claim.changed_at,
        claim.bonus_minor,
        claim.asset,
        claim.network,
        claim.address,
        claim.note,
        claim.approvable_at,
        None if claim.address is None else ":".join(payouts.address_of(claim)),
    )


async def lock_claims(conn: Conn, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], Claim]:
    """Claims by store and id, behind the lock of their affiliates. Raises ``NotYet`` where they are others by now."""
    columns = store.columns(keys)
    locked = await conn.rows(
        """
        SELECT store_id, affiliate_id FROM affiliate WHERE (store_id, affiliate_id) IN (
            SELECT c.store_id, coalesce(a.merged_into, a.affiliate_id)
            FROM claim c
            JOIN unnest($1::text[], $2::text[]) AS k (store_id, claim_id) USING (store_id, claim_id)
            JOIN affiliate a ON (a.store_id, a.affiliate_id) = (c.store_id, c.affiliate_id)
        )
        ORDER BY store_id, affiliate_id FOR UPDATE
        """,
        *columns,
    )
    rows = await conn.rows(
        """
        SELECT c.*, coalesce(o.affiliate_id, c.affiliate_id) AS owner_id,
               coalesce(o.customer_id, c.customer_id) AS owner_customer_id
        FROM claim c
        JOIN unnest($1::text[], $2::text[]) AS k (store_id, claim_id) USING (store_id, claim_id)
        JOIN affiliate a ON (a.store_id, a.affiliate_id) = (c.store_id, c.affiliate_id)
        LEFT JOIN affiliate o ON (o.store_id, o.affiliate_id) = (a.store_id, a.merged_into)
        """,
        *columns,
    )
    if not {(row["store_id"], row["owner_id"]) for row in rows} <= {tuple(row) for row in locked}:
        raise NotYet("claims have just become another affiliate's")
    return {(row["store_id"], row["claim_id"]): claim_in(row) for row in rows}


async def save_claims(conn: Conn, claims: Sequence[Claim]) -> None:
    """Keep where claims stand. The affiliates must be locked."""
    await conn.execute(
        """
        UPDATE claim c
        SET status = e.status, reason = e.reason, explanation = e.explanation,
            wallet_transaction_id = e.wallet_transaction_id, balance_after_minor = e.balance_after_minor,
            bonus_minor = e.bonus_minor, transaction_hash = e.transaction_hash,
            transaction_shared = e.transaction_shared, changed_at = e.changed_at, ended_at = e.ended_at,
            approvals = ARRAY(SELECT jsonb_array_elements_text(e.approvals))
        FROM unnest(
            $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[],
            $9::text[], $10::boolean[], $11::timestamptz[], $12::timestamptz[], $13::jsonb[]
        ) AS e (
            store_id, claim_id, status, reason, explanation, wallet_transaction_id, balance_after_minor, bonus_minor,
            transaction_hash, transaction_shared, changed_at, ended_at, approvals
        )
        WHERE (c.store_id, c.claim_id) = (e.store_id, e.claim_id)
        """,
        [claim.store_id for claim in claims],
        [claim.claim_id for claim in claims],
        [claim.status for claim in claims],
        [claim.reason for claim in claims],
        [claim.explanation for claim in claims],
        [claim.wallet_transaction_id for claim in claims],
        [claim.balance_after_minor for claim in claims],
        [claim.bonus_minor for claim in claims],
        [claim.transaction_hash for claim in claims],
        [claim.transaction_shared for claim in claims],
        [claim.changed_at for claim in claims],
        [claim.ended_at for claim in claims],
        [json.dumps(claim.approvals) for claim in claims],
    )


async def claim_of_request(conn: Conn, request_id: str) -> Claim | None:
    """The claim that a request is; the store is the caller's, by row-level security."""
    row = await conn.row(
        """
        SELECT c.*, coalesce(o.affiliate_id, c.affiliate_id) AS owner_id,
               coalesce(o.customer_id, c.customer_id) AS owner_customer_id
        FROM claim c
        JOIN affiliate a ON (a.store_id, a.affiliate_id) = (c.store_id, c.affiliate_id)
        LEFT JOIN affiliate o ON (o.store_id, o.affiliate_id) = (a.store_id, a.merged_into)
        WHERE c.claim_id = $1
        """,
        request_id,
    )
    return None if row is None else claim_in(row)


async def claim_of(conn: Conn, affiliate: Affiliate, claim_id: str) -> Claim | None:
    """One claim of an affiliate."""
    claim = await claim_of_request(conn, claim_id)
    return claim if claim is not None and claim.affiliate_id == affiliate.affiliate_id else None


def claim_in(row: asyncpg.Record) -> Claim:
    """The claim that a row is, and whose it is by all merges (``owner_id``, ``owner_customer_id``)."""
    return Claim(
        store_id=row["store_id"],
        claim_id=row["claim_id"],
        affiliate_id=row["owner_id"],
        customer_id=row["owner_customer_id"],
        amount_minor=row["amount_minor"],
        currency=row["currency"],
        created_at=row["created_at"],
        changed_at=row["changed_at"],
        kind=ClaimKind(row["kind"]),
        status=Status(row["status"]),
        reason=row["reason"],
        explanation=row["explanation"],
        wallet_transaction_id=row["wallet_transaction_id"],
        balance_after_minor=row["balance_after_minor"],
        bonus_minor=row["bonus_minor"],
        asset=row["asset"],
        network=row["network"],
        address=row["address"],
        note=row["note"],
        approvable_at=row["approvable_at"],
        approvals=tuple(row["approvals"]),
        transaction_hash=row["transaction_hash"],
        transaction_shared=row["transaction_shared"],
        ended_at=row["ended_at"],
    )
