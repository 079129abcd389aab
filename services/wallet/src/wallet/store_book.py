"""Reading under an account's lock what its postings need: holds, earlier answers, grants."""

import json
from collections.abc import Sequence
from typing import Any

import asyncpg

from chassis.db import Conn
from wallet import reading
from wallet.book import Book
from wallet.entries import Cause, Entry, Part
from wallet.grants import Grant
from wallet.postings import Hold, Posted, Refused
from wallet.reading import Wanted

_FIRST_PAGE = 32  # grants of a customer; most have fewer, and a batch seldom spends more
_GROWS = 16


async def holds(conn: Conn, store_id: str, hold_ids: Sequence[str]) -> list[Hold]:
    """The holds of these ids that there are."""
    rows = await conn.rows(
        """
        SELECT hold_id, customer_id, order_id, amount_minor, status, captured_minor, entry_id, reason, parts,
               asked_at, expires_at, ended_at
        FROM hold WHERE store_id = $1 AND hold_id = ANY($2::text[])
        """,
        store_id,
        hold_ids,
    )
    return [Hold(*row)._replace(parts=parts(row["parts"])) for row in rows]


def parts(text: str) -> tuple[Part, ...]:
    """Parts of grants as they are stored: ``[[sequence, amount], …]``."""
    return () if text == "[]" else tuple(Part(*part) for part in json.loads(text))


def entry(row: Sequence[Any]) -> Entry:
    """An entry from its columns in the order of its fields."""
    return Entry._make((*row[:13], parts(row[13]), *row[14:]))


async def answers(conn: Conn, store_id: str, causes: Sequence[Cause]) -> dict[Cause, Posted | Refused]:
    """What these causes have led to already."""
    kinds, cause_ids = zip(*causes, strict=True)
    entries = await conn.rows(
        """
        SELECT e.entry_id, e.customer_id, e.sequence, e.type, e.debit_account, e.credit_account, e.amount_minor,
               e.balance_after_minor, e.debt_after_minor, e.currency, e.cause_kind, e.cause_id, e.reason, e.parts,
               e.expires_at, e.posted_at, e.hash, coalesce(netted.balance_after_minor, e.balance_after_minor) AS balance,
               coalesce(netted.debt_after_minor, e.debt_after_minor) AS debt
        FROM unnest($2::text[], $3::text[]) AS c (kind, id)
        JOIN entry e ON e.store_id = $1 AND e.cause_kind = c.kind AND e.cause_id = c.id
        LEFT JOIN entry netted ON netted.store_id = $1 AND netted.cause_kind = 'debt' AND netted.cause_id = e.entry_id
        WHERE e.cause_kind IN ('claim', 'order', 'reversal', 'gift_code')
        """,
        store_id,
        kinds,
        cause_ids,
    )
    refusals = await conn.rows(
        """
        SELECT r.cause_kind, r.cause_id, r.reason
        FROM unnest($2::text[], $3::text[]) AS c (kind, id)
        JOIN refusal r ON r.store_id = $1 AND r.cause_kind = c.kind AND r.cause_id = c.id
        """,
        store_id,
        kinds,
        cause_ids,
    )
    known: dict[Cause, Posted | Refused] = {Cause(row[0], row[1]): Refused(row[2]) for row in refusals}
    for row in entries:
        found = entry(row[:17])
        known[Cause(found.cause_kind, found.cause_id)] = Posted(found, row["balance"], row["debt"], again=True)
    return known


async def read_grants(conn: Conn, book: Book, wanted: Wanted) -> None:
    """Put into the book's accounts the grants that they need."""
    if wanted.named:
        await _read_named(conn, book, wanted)
    short, page = set(wanted.spent), _FIRST_PAGE
    while short:
        rows = await _first_grants(conn, book.store_id, sorted(short), page)
        found: dict[str, list[Grant]] = {customer_id: [] for customer_id in short}
        for row in rows:
            found[row[0]].append(Grant(*row[1:]))
        for customer_id, grants in found.items():
            for grant in grants:
                book.accounts[customer_id].grants.add(grant)
        short = {
            customer_id
            for customer_id, grants in found.items()
            if len(grants) == page
            and reading.is_short(book.accounts[customer_id], grants, wanted.spent[customer_id], book.at)
        }
        page *= _GROWS


async def _first_grants(conn: Conn, store_id: str, customer_ids: Sequence[str], page: int) -> list[asyncpg.Record]:
    return await conn.rows(
        """
        SELECT c.customer_id, g.*
        FROM unnest($2::text[]) AS c (customer_id)
        CROSS JOIN LATERAL (
            SELECT sequence, entry_id, type, amount_minor, left_minor, held_minor, expires_at, granted_at,
                   expired_minor
            FROM credit_grant
            WHERE store_id = $1 AND customer_id = c.customer_id AND open
            ORDER BY expires_at, sequence
            LIMIT $3
        ) AS g
        """,
        store_id,
        customer_ids,
        page,
    )


async def _read_named(conn: Conn, book: Book, wanted: Wanted) -> None:
    named = sorted(wanted.named)
    rows = await conn.rows(
        """
        SELECT g.customer_id, sequence, g.entry_id, g.type, g.amount_minor, g.left_minor, g.held_minor, g.expires_at,
               g.granted_at, g.expired_minor
        FROM unnest($2::text[], $3::bigint[]) AS n (customer_id, sequence)
        JOIN credit_grant g USING (customer_id, sequence)
        WHERE g.store_id = $1
        """,
        book.store_id,
        [customer_id for customer_id, _ in named],
        [sequence for _, sequence in named],
    )
    for row in rows:
        book.accounts[row[0]].grants.add(Grant(*row[1:]))
