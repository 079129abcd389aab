"""Writing the ledger: ``append_batch`` is its only writer, for HTTP, consumers and timers alike (design §4)."""

from collections.abc import Sequence
from uuid import UUID

from chassis import clock, ids, known_customers, outbox, stores
from chassis.db import Conn
from chassis.tracing import Traced
from contracts.ids import WALLET_ENTRY
from contracts.wallet import OverCap
from wallet import answers, reading, store_book, store_write
from wallet.book import Account, Book
from wallet.entries import ORDER, REVERSAL, Cause
from wallet.ledger import decide
from wallet.postings import Capture, OfHold, Outcome, Post, Posting, Reverse, Transfer
from wallet.terms import Terms


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
    outcomes = []
    for i, posting in enumerate(postings):
        before = len(book.entries)
        outcome = decide(book, posting)
        outcomes.append(outcome)
        for event in answers.events(store_id, epoch, posting, outcome, book.entries[before:]):
            outbox.add(conn, event, because=because[i] if because else None)
    await store_write.write(conn, store_id, book)
    return outcomes


async def _lock(conn: Conn, store_id: str, postings: Sequence[Posting]) -> tuple[Book, UUID]:
    """Lock the accounts, then read under their locks what else the postings need."""
    hold_ids = sorted({posting.hold_id for posting in postings if isinstance(posting, OfHold)})
    customer_ids = {posting.customer_id for posting in postings}
    customer_ids |= {posting.into for posting in postings if isinstance(posting, Transfer)}
    merged: dict[str, str] = {}
    if hold_ids:  # a hold stays where it was placed, also when its customer was merged since
        holders = {hold.customer_id for hold in await store_book.holds(conn, store_id, hold_ids)}
        merged = await _merged(conn, store_id, holders)
        customer_ids |= {*holders, *merged.values()}
    accounts, terms, epoch = await _lock_accounts(conn, store_id, sorted(customer_ids))
    book = Book(store_id, clock.now(), terms, lambda: ids.new(WALLET_ENTRY), accounts, merged)
    if hold_ids:
        book.holds = {hold.hold_id: hold for hold in await store_book.holds(conn, store_id, hold_ids)}
    if causes := _causes(postings):
        book.answers = await store_book.answers(conn, store_id, sorted(causes))
    await store_book.read_grants(conn, book, reading.wanted(book, postings))
    return book, epoch


def _causes(postings: Sequence[Posting]) -> set[Cause]:
    """What may have led to an entry before."""
    causes = {posting.cause for posting in postings if isinstance(posting, Post) and posting.cause is not None}
    causes |= {Cause(ORDER, posting.order_id) for posting in postings if isinstance(posting, Capture)}
    return causes | {Cause(REVERSAL, posting.origin.entry_id) for posting in postings if isinstance(posting, Reverse)}


async def _merged(conn: Conn, store_id: str, customer_ids: set[str]) -> dict[str, str]:
    known = await known_customers.acting(conn, [(store_id, customer_id) for customer_id in customer_ids])
    acting = {customer_id: its.acting_id for (_, customer_id), its in known.items()}
    return {customer_id: into for customer_id, into in acting.items() if into != customer_id}


async def _lock_accounts(conn: Conn, store_id: str, customer_ids: list[str]) -> tuple[dict[str, Account], Terms, UUID]:
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
        SELECT a.customer_id, a.currency, a.balance_minor, a.held_minor, a.debt_minor, a.sequence, a.hash, a.due_at,
               a.posted_at,
               (SELECT id FROM epoch) AS epoch, t.store_id IS NOT NULL AS has_terms,
               t.refunds_as_credit, t.default_expiry_days, t.balance_cap_minor, t.promo_over_cap, t.reminder_days
        FROM account a
        LEFT JOIN terms t ON t.store_id = a.store_id
        WHERE a.store_id = $1 AND a.customer_id = ANY($2::text[])
        ORDER BY a.customer_id
        FOR UPDATE OF a
        """,
        store_id,
        customer_ids,
    )
    accounts = {row[0]: Account(*row[:9]) for row in rows}
    its = rows[0]
    terms = Terms(its[11], its[12], its[13], OverCap(its[14]), its[15]) if its["has_terms"] else Terms()
    return accounts, terms, its["epoch"]
