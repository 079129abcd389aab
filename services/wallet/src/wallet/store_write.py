"""Writing what a book has become, a statement for each kind of row."""

import json
from collections.abc import Sequence
from typing import Any

from chassis.db import Conn
from wallet.book import Book
from wallet.entries import Entry, Part
from wallet.grants import Grant
from wallet.postings import Hold


async def write(conn: Conn, store_id: str, book: Book) -> None:
    """Write entries, grants, accounts, holds and refusals."""
    if book.touched_accounts:
        await _write_entries(conn, store_id, book)
    old = [(customer_id, grant) for (customer_id, _), grant in book.touched_grants.items() if not grant.is_new]
    if old:
        await _write_grants(conn, store_id, old)
    if book.notes:
        await conn.execute(
            "INSERT INTO entry_note (store_id, entry_id, note) SELECT $1, * FROM unnest($2::text[], $3::text[])",
            store_id,
            *_columns(book.notes, 2),
        )
    if book.refusals:
        await conn.execute(
            """
            INSERT INTO refusal (store_id, cause_kind, cause_id, customer_id, reason, refused_at)
            SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
            """,
            store_id,
            *_columns(book.refusals, 5),
        )
    if book.touched_holds:
        await _write_holds(conn, store_id, list(book.touched_holds.values()))


async def _write_entries(conn: Conn, store_id: str, book: Book) -> None:
    new = [(customer_id, grant) for (customer_id, _), grant in book.touched_grants.items() if grant.is_new]
    await conn.execute(
        """
        WITH written AS (
            INSERT INTO entry (
                store_id, entry_id, customer_id, sequence, type, debit_account, credit_account, amount_minor,
                balance_after_minor, debt_after_minor, currency, cause_kind, cause_id, reason, parts, expires_at,
                posted_at, hash
            )
            SELECT $1, * FROM unnest(
                $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::bigint[],
                $10::bigint[], $11::text[], $12::text[], $13::text[], $14::text[], $15::jsonb[], $16::timestamptz[],
                $17::timestamptz[], $18::bytea[]
            )
        ), granted AS (
            INSERT INTO credit_grant (
                store_id, customer_id, sequence, entry_id, type, amount_minor, left_minor, held_minor, expires_at,
                granted_at, expired_minor, open
            )
            SELECT $1, *, left_minor > 0 FROM unnest(
                $19::text[], $20::bigint[], $21::text[], $22::text[], $23::bigint[], $24::bigint[], $25::bigint[],
                $26::timestamptz[], $27::timestamptz[], $28::bigint[]
            ) AS g (customer_id, sequence, entry_id, type, amount_minor, left_minor, held_minor, expires_at, granted_at,
                    expired_minor)
        )
        UPDATE account a
        SET balance_minor = n.balance_minor, held_minor = n.held_minor, debt_minor = n.debt_minor,
            sequence = n.sequence, hash = n.hash, due_at = n.due_at, posted_at = n.posted_at
        FROM unnest($29::text[], $30::bigint[], $31::bigint[], $32::bigint[], $33::bigint[], $34::bytea[],
                    $35::timestamptz[], $36::timestamptz[])
             AS n (customer_id, balance_minor, held_minor, debt_minor, sequence, hash, due_at, posted_at)
        WHERE a.store_id = $1 AND a.customer_id = n.customer_id
        """,
        store_id,
        *_columns([_entry_row(entry) for entry in book.entries], 17),
        *_columns([_grant_row(*grant) for grant in new], 10),
        *_account_columns(book),
    )


def _account_columns(book: Book) -> Sequence[Sequence[Any]]:
    rows = [
        (a.customer_id, a.balance_minor, a.held_minor, a.debt_minor, a.sequence, a.hash, a.due_at, a.posted_at)
        for a in book.touched_accounts.values()
    ]
    return _columns(rows, 8)


def _entry_row(entry: Entry) -> tuple[Any, ...]:
    return (*entry[:13], _parts(entry.parts), *entry[14:])


def _grant_row(customer_id: str, grant: Grant) -> tuple[Any, ...]:
    return (
        customer_id,
        grant.sequence,
        grant.entry_id,
        grant.type,
        grant.amount_minor,
        grant.left_minor,
        grant.held_minor,
        grant.expires_at,
        grant.granted_at,
        grant.expired_minor,
    )


def _parts(parts: Sequence[Part]) -> str:
    return json.dumps(parts) if parts else "[]"


async def _write_grants(conn: Conn, store_id: str, grants: Sequence[tuple[str, Grant]]) -> None:
    await conn.execute(
        """
        UPDATE credit_grant g
        SET left_minor = n.left_minor, held_minor = n.held_minor, expired_minor = n.expired_minor,
            open = n.left_minor > 0
        FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
             AS n (customer_id, sequence, left_minor, held_minor, expired_minor)
        WHERE g.store_id = $1 AND g.customer_id = n.customer_id AND g.sequence = n.sequence
        """,
        store_id,
        *_columns(
            [(customer_id, g.sequence, g.left_minor, g.held_minor, g.expired_minor) for customer_id, g in grants], 5
        ),
    )


async def _write_holds(conn: Conn, store_id: str, holds: Sequence[Hold]) -> None:
    await conn.execute(
        """
        INSERT INTO hold (
            store_id, hold_id, customer_id, order_id, amount_minor, status, captured_minor, entry_id, reason, parts,
            asked_at, expires_at, ended_at
        )
        SELECT $1, * FROM unnest(
            $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::bigint[], $8::text[], $9::text[],
            $10::jsonb[], $11::timestamptz[], $12::timestamptz[], $13::timestamptz[]
        )
        ON CONFLICT (store_id, hold_id) DO UPDATE SET
            status = excluded.status, captured_minor = excluded.captured_minor, entry_id = excluded.entry_id,
            reason = excluded.reason, ended_at = excluded.ended_at
        WHERE hold.status = 'placed' OR hold.reason = 'expired'
        """,
        store_id,
        *_columns([(*hold[:8], _parts(hold.parts), *hold[9:]) for hold in holds], len(Hold._fields)),
    )


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> Sequence[Sequence[Any]]:
    return list(zip(*rows, strict=True)) if rows else [()] * width
