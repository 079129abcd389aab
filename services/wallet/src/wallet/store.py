"""Writing the ledger: ``append_batch`` is its only writer, for HTTP, consumers and timers alike (design §4)."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from chassis import clock, ids, outbox, stores
from chassis.db import Conn
from chassis.tracing import Traced
from contracts.ids import WALLET_ENTRY
from wallet import answers
from wallet.book import Account, Book
from wallet.ledger import decide
from wallet.postings import ORDER, Capture, Cause, Entry, Hold, Outcome, Post, Posted, Posting, Refused


async def append_batch(
    conn: Conn, store_id: str, postings: Sequence[Posting], because: Sequence[Traced] = ()
) -> list[Outcome]:
    """Decide postings in order and write what they come to; outcome i belongs to posting i.

    About five statements for any number of postings. ``because``: the event or request behind each posting.

    Raises:
        NotYet: the store is not known here yet, so neither is its currency.
    """
    if not postings:
        return []
    book, epoch = await _lock(conn, store_id, postings)
    at = clock.now()
    outcomes = [decide(book, posting, ids.new(WALLET_ENTRY), at) for posting in postings]
    await _write(conn, store_id, book)
    for i, (posting, outcome) in enumerate(zip(postings, outcomes, strict=True)):
        for event in answers.events(store_id, epoch, posting, outcome):
            outbox.add(conn, event, because=because[i] if because else None)
    return outcomes


async def _lock(conn: Conn, store_id: str, postings: Sequence[Posting]) -> tuple[Book, UUID]:
    """Lock the accounts, then read under their locks what else the postings need."""
    hold_ids = sorted({posting.hold_id for posting in postings if not isinstance(posting, Post)})
    customer_ids = {posting.customer_id for posting in postings}
    if hold_ids:  # a hold stays where it was placed, also when its customer was merged since
        customer_ids |= {hold.customer_id for hold in await _holds(conn, store_id, hold_ids)}
    accounts, epoch = await _lock_accounts(conn, store_id, sorted(customer_ids))
    book = Book(accounts)
    if hold_ids:
        book.holds = {hold.hold_id: hold for hold in await _holds(conn, store_id, hold_ids)}
    causes = {posting.cause for posting in postings if isinstance(posting, Post) and posting.cause is not None}
    causes |= {Cause(ORDER, posting.order_id) for posting in postings if isinstance(posting, Capture)}
    if causes:
        book.answers = await _answers(conn, store_id, sorted(causes))
    return book, epoch


async def _lock_accounts(conn: Conn, store_id: str, customer_ids: list[str]) -> tuple[dict[str, Account], UUID]:
    """Open the accounts that are missing, then lock all: both sorted, so that batches never wait in a circle."""
    await conn.execute(
        """
        INSERT INTO account (store_id, customer_id, currency)
        SELECT $1, c.customer_id, $3
        FROM unnest($2::text[]) WITH ORDINALITY AS c (customer_id, position)
        WHERE NOT EXISTS (SELECT FROM account a WHERE a.store_id = $1 AND a.customer_id = c.customer_id)
        ORDER BY c.position
        ON CONFLICT DO NOTHING
        """,
        store_id,
        customer_ids,
        await stores.currency(conn, store_id),
    )
    rows = await conn.rows(
        """
        SELECT customer_id, currency, balance_minor, held_minor, sequence, (SELECT id FROM epoch) AS epoch
        FROM account
        WHERE store_id = $1 AND customer_id = ANY($2::text[])
        ORDER BY customer_id
        FOR UPDATE
        """,
        store_id,
        customer_ids,
    )
    accounts = {row[0]: Account(row[0], row[1], row[2], row[3], row[4]) for row in rows}
    return accounts, rows[0]["epoch"]


async def _holds(conn: Conn, store_id: str, hold_ids: list[str]) -> list[Hold]:
    rows = await conn.rows(
        """
        SELECT hold_id, customer_id, order_id, amount_minor, status, captured_minor, entry_id, reason, asked_at, ended_at
        FROM hold WHERE store_id = $1 AND hold_id = ANY($2::text[])
        """,
        store_id,
        hold_ids,
    )
    return [Hold(*row) for row in rows]


async def _answers(conn: Conn, store_id: str, causes: list[Cause]) -> dict[Cause, Posted | Refused]:
    """What these causes have led to already."""
    kinds, cause_ids = zip(*causes, strict=True)
    entries = await conn.rows(
        """
        SELECT e.entry_id, e.customer_id, e.sequence, e.type, e.debit_account, e.credit_account, e.amount_minor,
               e.balance_after_minor, e.currency, e.cause_kind, e.cause_id, e.reason, e.posted_at
        FROM unnest($2::text[], $3::text[]) AS c (kind, id)
        JOIN entry e ON e.store_id = $1 AND e.cause_kind = c.kind AND e.cause_id = c.id
        WHERE e.cause_kind <> 'adjustment'
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
        entry = Entry(*row)
        known[Cause(entry.cause_kind, entry.cause_id)] = Posted(entry, again=True)
    return known


async def _write(conn: Conn, store_id: str, book: Book) -> None:
    if book.touched_accounts:
        await _write_entries(conn, store_id, book)
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
    accounts = book.touched_accounts.values()
    await conn.execute(
        """
        WITH written AS (
            INSERT INTO entry (
                store_id, entry_id, customer_id, sequence, type, debit_account, credit_account, amount_minor,
                balance_after_minor, currency, cause_kind, cause_id, reason, posted_at
            )
            SELECT $1, * FROM unnest(
                $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::bigint[],
                $9::bigint[], $10::text[], $11::text[], $12::text[], $13::text[], $14::timestamptz[]
            )
        )
        UPDATE account a SET balance_minor = n.balance_minor, held_minor = n.held_minor, sequence = n.sequence
        FROM unnest($15::text[], $16::bigint[], $17::bigint[], $18::bigint[])
             AS n (customer_id, balance_minor, held_minor, sequence)
        WHERE a.store_id = $1 AND a.customer_id = n.customer_id
        """,
        store_id,
        *_columns(book.entries, len(Entry._fields)),
        [account.customer_id for account in accounts],
        [account.balance_minor for account in accounts],
        [account.held_minor for account in accounts],
        [account.sequence for account in accounts],
    )


async def _write_holds(conn: Conn, store_id: str, holds: Sequence[Hold]) -> None:
    await conn.execute(
        """
        INSERT INTO hold (
            store_id, hold_id, customer_id, order_id, amount_minor, status, captured_minor, entry_id, reason,
            asked_at, ended_at
        )
        SELECT $1, * FROM unnest(
            $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::bigint[], $8::text[], $9::text[],
            $10::timestamptz[], $11::timestamptz[]
        )
        ON CONFLICT (store_id, hold_id) DO UPDATE SET
            status = excluded.status, captured_minor = excluded.captured_minor, entry_id = excluded.entry_id,
            reason = excluded.reason, ended_at = excluded.ended_at
        WHERE hold.status = 'placed'
        """,
        store_id,
        *_columns(holds, len(Hold._fields)),
    )


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> Sequence[Sequence[Any]]:
    return list(zip(*rows, strict=True)) if rows else [()] * width
