"""``regulars seed``: customers and years of their store credit, by COPY as the local superuser.

The rows are the ones that the services would have; nothing of them is announced, so each service that keeps a copy gets
it here. A cohort's books commit together, then who is in it: a seed that is interrupted leaves books that are right.
"""

import asyncio
import importlib
import io
import itertools
import multiprocessing
import os
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

from contracts.customers import CustomerState
from regulars import programs, seed_books
from regulars.ports import PROGRAMS
from regulars.seed_books import Books, Cohort, Person
from regulars.stack import Stack
from regulars.trouble import Trouble

Say = Callable[[str], object]

_PATIENCE = 30.0  # seconds that a service may take to hear of its store
_WALLET = ("entry", "credit_grant", "account", "known_customer")
_FIRST = ("Ada", "Björn", "Chloé", "Dmitri", "Eleni", "Farid", "Grace", "Hana", "Ivo", "Jana", "Kofi", "Léa", "Mei")
_LAST = ("Adler", "Brown", "Costa", "Dvořák", "Eriksen", "Fischer", "García", "Horvat", "Ito", "Jansen", "Kaya", "Li")
_COUNTRIES = ("DE", "FR", "GB", "IT", "JP", "NL", "PL", "US")


class Done(NamedTuple):
    """What was written, and how long it took."""

    customers: int
    entries: int
    seconds: float


async def add(stack: Stack, customers: int, entries: int, say: Say) -> Done:
    """Add customers with so many entries to the demo store of a running stack, beside what is there.

    Raises:
        Trouble: the wallet does not hear of the store.
    """
    began, tag, numbers = time.monotonic(), secrets.token_hex(3), itertools.count(1)
    keepers = [name for name in PROGRAMS if name != "wallet" and _keeps_customers(name)]
    names = ("wallet", "customers", *keepers)
    conns = {name: await asyncpg.connect(stack.admin_database_url(programs.database(name))) for name in names}

    async def introduce(people: Sequence[Person]) -> None:
        for keeper in keepers:
            await _know(conns[keeper], stack.store_id, people)
        await _meet(conns["customers"], stack.store_id, epoch, [(f"{tag}{next(numbers)}", one) for one in people])

    try:
        epoch = await conns["wallet"].fetchval("SELECT id FROM epoch")
        written = await ledgers(conns["wallet"], stack.store_id, customers, entries, say, introduce)
        say("tidying up")
        await conns["customers"].execute("VACUUM ANALYZE customer")
    finally:
        for conn in conns.values():
            await conn.close()
    return Done(customers, written, time.monotonic() - began)


async def ledgers(
    conn: asyncpg.Connection,
    store_id: str,
    customers: int,
    entries: int,
    say: Say,
    introduce: Callable[[Sequence[Person]], Awaitable[None]] | None = None,
) -> int:
    """Write the books of new customers into a wallet's database, and let others know them; how many entries.

    Raises:
        Trouble: the database does not hear of the store.
    """
    currency, began, written = await _currency(conn, store_id), time.monotonic(), 0
    async for its in _made(seed_books.cohorts(store_id, currency, customers, entries, datetime.now(UTC))):
        await _write(conn, store_id, its)
        if introduce is not None:
            await introduce(its.people)
        written += its.posted
        pace = written / (time.monotonic() - began)
        say(f"{written:,} of {entries:,} entries, {pace:,.0f} a second")
    say("tidying up")
    for table in _WALLET:
        await conn.execute(f"VACUUM ANALYZE {table}")
    return written


async def _made(cohorts: Iterator[Cohort]) -> AsyncIterator[Books]:
    """The cohorts' books in order, made ahead on all processors."""
    loop, processors = asyncio.get_running_loop(), os.cpu_count() or 1
    with ProcessPoolExecutor(processors, multiprocessing.get_context("spawn")) as pool:
        ahead = deque(
            loop.run_in_executor(pool, seed_books.books, one) for one in itertools.islice(cohorts, processors + 1)
        )
        while ahead:
            yield await ahead.popleft()
            ahead.extend(loop.run_in_executor(pool, seed_books.books, one) for one in itertools.islice(cohorts, 1))


async def _write(conn: asyncpg.Connection, store_id: str, its: Books) -> None:
    """One cohort in the wallet, in one transaction."""
    accounts = [
        (store_id, a.customer_id, a.currency, a.balance_minor, a.sequence, a.hash, a.due_at, a.posted_at)
        for _, a in its.people
        if a.sequence
    ]
    columns = ("store_id", "customer_id", "currency", "balance_minor", "sequence", "hash", "due_at", "posted_at")
    async with conn.transaction():
        await _know(conn, store_id, its.people)
        await conn.copy_records_to_table("account", records=accounts, columns=columns)
        await conn.copy_to_table("credit_grant", source=io.BytesIO(its.grants), columns=seed_books.GRANT_COLUMNS)
        await conn.copy_to_table("entry", source=io.BytesIO(its.entries), columns=seed_books.ENTRY_COLUMNS)


async def _know(conn: asyncpg.Connection, store_id: str, people: Sequence[Person]) -> None:
    """What a service keeps of customers that are others'."""
    await conn.copy_records_to_table(
        "known_customer",
        records=[(store_id, account.customer_id, 1, CustomerState.ACTIVE.value) for _, account in people],
        columns=("store_id", "id", "version", "state"),
    )


async def _meet(conn: asyncpg.Connection, store_id: str, epoch: UUID, people: Sequence[tuple[str, Person]]) -> None:
    """The customers' own records, with the balance that the wallet would have told."""
    columns = (
        *("store_id", "id", "email", "email_canonical", "name", "country", "search", "created_at"),
        *("balance_minor", "balance_epoch", "balance_sequence"),
    )
    records = [(store_id, *_record(tag, person), *_balance(epoch, person)) for tag, person in people]
    await conn.copy_records_to_table("customer", records=records, columns=columns)


def _record(tag: str, person: Person) -> tuple[object, ...]:
    from customers.contacts import Contact, Email  # noqa: PLC0415 - loads every country's telephone numbers

    name = f"{secrets.choice(_FIRST)} {secrets.choice(_LAST)}"
    contact = Contact(Email(*[f"seed-{tag}@example.com"] * 2), name, country=secrets.choice(_COUNTRIES))
    its = contact.email
    return (
        *(person.account.customer_id, its.address, its.canonical, name, contact.country, contact.search),
        person.joined_at,
    )


def _balance(epoch: UUID, person: Person) -> tuple[int, UUID | None, int | None]:
    account = person.account
    return (account.balance_minor, epoch, account.sequence) if account.sequence else (0, None, None)


async def _currency(conn: asyncpg.Connection, store_id: str) -> str:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if currency := await conn.fetchval("SELECT currency FROM store WHERE store_id = $1", store_id):
            return str(currency)
        await asyncio.sleep(0.1)
    raise Trouble(f"The wallet has not heard of the store {store_id} within {_PATIENCE:.0f} s.")


def _keeps_customers(name: str) -> bool:
    return bool(importlib.import_module(f"{programs.module(name)}.main").service.known_customers)
