"""Customers with ten open grants each: what debits are measured on. The ledger's own writer gives them."""

import itertools
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from chassis.db import Conn, Database
from contracts.wallet import EntryType
from regulars.stack import Stack
from wallet.postings import Expiry, Post
from wallet.store import append_batch

GRANTS = 10
SMALL_MINOR, LARGE_MINOR = 200, 100_000_000
DEBIT_MINOR = 210  # takes the whole of a small grant, and some of the next

_FIRST = timedelta(days=100)
_AT_ONCE = 500


async def top_up(stack: Stack, customers: Sequence[str]) -> None:
    """Give each customer what is missing of nine small grants, a day apart, and a large one that never expires."""
    database = await Database.open(stack.database_url("wallet", "worker"), size=1, name="bench")
    try:
        async with database.transaction() as conn:
            missing = iter(list(await _missing(conn, stack.store_id, customers)))
        while some := list(itertools.islice(missing, _AT_ONCE)):
            async with database.transaction() as conn:
                await append_batch(conn, stack.store_id, some)
    finally:
        await database.close()


async def _missing(conn: Conn, store_id: str, customers: Sequence[str]) -> Iterator[Post]:
    rows = await conn.rows(
        """
        SELECT c.customer_id, s.currency, count(g.expires_at) AS small, count(*) FILTER (
                   WHERE g.sequence IS NOT NULL AND g.expires_at IS NULL
               ) AS large
        FROM unnest($2::text[]) AS c (customer_id)
        JOIN store s ON s.store_id = $1
        LEFT JOIN credit_grant g ON g.store_id = $1 AND g.customer_id = c.customer_id AND g.open
        GROUP BY c.customer_id, s.currency
        """,
        store_id,
        customers,
    )
    return (post for row in rows for post in _posts(row["customer_id"], row["currency"], row["small"], row["large"]))


def _posts(customer_id: str, currency: str, small: int, large: int) -> Iterator[Post]:
    first = datetime.now(UTC) + _FIRST
    for n in range(GRANTS - 1 - small):
        expires_at = first + timedelta(days=n)
        yield Post(customer_id, EntryType.ADJUSTMENT, SMALL_MINOR, currency, expires_at=expires_at)
    if not large:
        yield Post(customer_id, EntryType.ADJUSTMENT, LARGE_MINOR, currency, expires_at=Expiry.NEVER)
