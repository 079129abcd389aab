"""Reading the ledger: a customer's credit and its grants, and the lists of transactions."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg

from chassis.db import Conn
from wallet.entries import Entry
from wallet.grants import Grant
from wallet.store_book import entry


class Transaction(NamedTuple):
    """An entry and what somebody noted about it."""

    entry: Entry
    note: str | None


class Wanted(NamedTuple):
    """Which transactions to list: all but for what is named. ``takes``: those shown with a minus sign, or the others."""

    type: str | None = None
    takes: bool | None = None
    since: datetime | None = None
    until: datetime | None = None


class Credit(NamedTuple):
    """A customer's credit in minor units, and how much of it is gone when."""

    currency: str
    balance_minor: int = 0
    held_minor: int = 0
    debt_minor: int = 0
    expires_at: datetime | None = None
    expiring_minor: int = 0


async def credit_of(conn: Conn, store_id: str, customer_id: str) -> Credit | None:
    """A customer's credit; ``None`` before their first posting."""
    row = await conn.row(
        """
        SELECT a.currency, a.balance_minor, a.held_minor, a.debt_minor, g.expires_at, coalesce(g.free_minor, 0)
        FROM account a
        LEFT JOIN LATERAL (
            SELECT expires_at, sum(left_minor - held_minor)::bigint AS free_minor
            FROM credit_grant
            WHERE store_id = $1 AND customer_id = $2 AND open AND left_minor > held_minor AND expires_at IS NOT NULL
            GROUP BY expires_at ORDER BY expires_at LIMIT 1
        ) AS g ON true
        WHERE a.store_id = $1 AND a.customer_id = $2
        """,
        store_id,
        customer_id,
    )
    return None if row is None else Credit(*row)


async def grants_of(conn: Conn, store_id: str, customer_id: str, after: int | None, limit: int) -> list[Grant]:
    """A customer's open grants in the order in which they are spent, after the one of a sequence."""
    rows = await conn.rows(
        """
        SELECT g.sequence, g.entry_id, g.type, g.amount_minor, g.left_minor, g.held_minor, g.expires_at, g.granted_at
        FROM credit_grant g
        WHERE g.store_id = $1 AND g.customer_id = $2 AND g.open
          AND ($3::bigint IS NULL OR (coalesce(g.expires_at, 'infinity'), g.sequence) > (
              SELECT coalesce(last.expires_at, 'infinity'), last.sequence
              FROM credit_grant last
              WHERE last.store_id = $1 AND last.customer_id = $2 AND last.sequence = $3
          ))
        ORDER BY g.expires_at, g.sequence
        LIMIT $4
        """,
        store_id,
        customer_id,
        after,
        limit,
    )
    return [Grant(*row) for row in rows]


async def transactions_of_customer(
    conn: Conn, store_id: str, customer_id: str, wanted: Wanted, before: int | None, limit: int
) -> list[Transaction]:
    """A customer's transactions before a sequence, newest first."""
    rows = await conn.rows(
        """
        SELECT n.note, e.entry_id, e.customer_id, e.sequence, e.type, e.debit_account, e.credit_account, e.amount_minor,
               e.balance_after_minor, e.debt_after_minor, e.currency, e.cause_kind, e.cause_id, e.reason, e.expires_at,
               e.posted_at
        FROM entry e
        LEFT JOIN entry_note n ON n.store_id = e.store_id AND n.entry_id = e.entry_id
        WHERE e.store_id = $1 AND e.customer_id = $2 AND ($3::bigint IS NULL OR e.sequence < $3)
          AND ($5::text IS NULL OR e.type = $5)
          AND ($6::boolean IS NULL OR (e.debit_account IN ('customer', 'customer_debt')) = $6)
          AND ($7::timestamptz IS NULL OR e.posted_at >= $7)
          AND ($8::timestamptz IS NULL OR e.posted_at < $8)
        ORDER BY e.sequence DESC
        LIMIT $4
        """,
        store_id,
        customer_id,
        before,
        limit,
        *wanted,
    )
    return [_transaction(row) for row in rows]


async def transactions_between(
    conn: Conn, store_id: str, customer_id: str, after: int, until: int, limit: int
) -> list[Transaction]:
    """A customer's transactions after one sequence until another, oldest first."""
    rows = await conn.rows(
        """
        SELECT n.note, e.entry_id, e.customer_id, e.sequence, e.type, e.debit_account, e.credit_account, e.amount_minor,
               e.balance_after_minor, e.debt_after_minor, e.currency, e.cause_kind, e.cause_id, e.reason, e.expires_at,
               e.posted_at
        FROM entry e
        LEFT JOIN entry_note n ON n.store_id = e.store_id AND n.entry_id = e.entry_id
        WHERE e.store_id = $1 AND e.customer_id = $2 AND e.sequence > $3 AND e.sequence <= $4
        ORDER BY e.sequence
        LIMIT $5
        """,
        store_id,
        customer_id,
        after,
        until,
        limit,
    )
    return [_transaction(row) for row in rows]


async def transactions_of_store(conn: Conn, store_id: str, before: str | None, limit: int) -> list[Transaction]:
    """A store's transactions before an entry, newest first: entry ids ascend with the time they were minted."""
    rows = await conn.rows(
        """
        SELECT n.note, e.entry_id, e.customer_id, e.sequence, e.type, e.debit_account, e.credit_account, e.amount_minor,
               e.balance_after_minor, e.debt_after_minor, e.currency, e.cause_kind, e.cause_id, e.reason, e.expires_at,
               e.posted_at
        FROM entry e
        LEFT JOIN entry_note n ON n.store_id = e.store_id AND n.entry_id = e.entry_id
        WHERE e.store_id = $1 AND ($2::text IS NULL OR e.entry_id < $2)
        ORDER BY e.entry_id DESC
        LIMIT $3
        """,
        store_id,
        before,
        limit,
    )
    return [_transaction(row) for row in rows]


async def entries(conn: Conn, store_id: str, entry_ids: Sequence[str]) -> dict[str, Entry]:
    """The entries of these ids that there are."""
    rows = await conn.rows(
        """
        SELECT e.entry_id, e.customer_id, e.sequence, e.type, e.debit_account, e.credit_account, e.amount_minor,
               e.balance_after_minor, e.debt_after_minor, e.currency, e.cause_kind, e.cause_id, e.reason, e.parts,
               e.expires_at, e.posted_at, e.hash
        FROM entry e WHERE e.store_id = $1 AND e.entry_id = ANY($2::text[])
        """,
        store_id,
        entry_ids,
    )
    return {row["entry_id"]: entry(tuple(row)) for row in rows}


def _transaction(row: asyncpg.Record) -> Transaction:
    """An entry as lists read it: its note first; nobody is shown its parts or its hash."""
    return Transaction(Entry._make((*row[1:14], (), *row[14:], b"")), row["note"])
