"""Reading the ledger: a customer's credit and the lists of transactions."""

from dataclasses import dataclass
from datetime import datetime

from chassis.db import Conn
from wallet.book import Account


@dataclass(frozen=True, slots=True)
class Transaction:
    """An entry as it is shown. ``amount_minor`` is signed."""

    entry_id: str
    customer_id: str
    sequence: int
    type: str
    amount_minor: int
    balance_after_minor: int
    currency: str
    cause_kind: str
    cause_id: str
    reason: str | None
    note: str | None
    posted_at: datetime


async def account_of(conn: Conn, store_id: str, customer_id: str) -> Account | None:
    """A customer's credit; ``None`` before their first posting."""
    row = await conn.row(
        """
        SELECT customer_id, currency, balance_minor, held_minor, sequence
        FROM account WHERE store_id = $1 AND customer_id = $2
        """,
        store_id,
        customer_id,
    )
    return None if row is None else Account(*row)


async def transactions_of_customer(
    conn: Conn, store_id: str, customer_id: str, before: int | None, limit: int
) -> list[Transaction]:
    """A customer's transactions before a sequence, newest first."""
    rows = await conn.rows(
        """
        SELECT e.entry_id, e.customer_id, e.sequence, e.type,
               CASE WHEN e.credit_account = 'customer' THEN e.amount_minor ELSE -e.amount_minor END,
               e.balance_after_minor, e.currency, e.cause_kind, e.cause_id, e.reason, n.note, e.posted_at
        FROM entry e
        LEFT JOIN entry_note n ON n.store_id = e.store_id AND n.entry_id = e.entry_id
        WHERE e.store_id = $1 AND e.customer_id = $2 AND ($3::bigint IS NULL OR e.sequence < $3)
        ORDER BY e.sequence DESC
        LIMIT $4
        """,
        store_id,
        customer_id,
        before,
        limit,
    )
    return [Transaction(*row) for row in rows]


async def transactions_of_store(conn: Conn, store_id: str, before: str | None, limit: int) -> list[Transaction]:
    """A store's transactions before an entry, newest first: entry ids ascend with the time they were minted."""
    rows = await conn.rows(
        """
        SELECT e.entry_id, e.customer_id, e.sequence, e.type,
               CASE WHEN e.credit_account = 'customer' THEN e.amount_minor ELSE -e.amount_minor END,
               e.balance_after_minor, e.currency, e.cause_kind, e.cause_id, e.reason, n.note, e.posted_at
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
    return [Transaction(*row) for row in rows]
