"""Affiliates, and what their links sell."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

import asyncpg

from affiliates.enrolment import Affiliate, State
from affiliates.journal import Balances
from chassis.db import Conn
from chassis.verdicts import NotYet

T = TypeVar("T")

_LOOKS = 5


async def plan_each(conn: Conn) -> None:
    """Have the next queries planned for what they ask, not for whatever might be: by their filters and limits."""
    await conn.execute("SET LOCAL plan_cache_mode = force_custom_plan")


def columns(keys: Collection[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """Keys of store and something of it, as a query takes them."""
    return [store_id for store_id, _ in keys], [other for _, other in keys]


async def at_rest(conn: Conn, lock: Callable[[], Awaitable[T]]) -> T:
    """What ``lock`` finds, looked for again where it has just become another's. Raises ``NotYet`` if that goes on.

    What was locked on the way is let go each time: affiliates are locked sorted, and first.
    """
    for _ in range(_LOOKS):
        with suppress(NotYet):
            async with conn.savepoint():
                return await lock()
    raise NotYet("what is looked for becomes another's each time")


async def add_affiliate(conn: Conn, affiliate: Affiliate) -> bool:
    """Enrol a customer, who may have been merged just now; ``False`` when they are an affiliate already."""
    return bool(
        await conn.execute(
            """
            WITH enrolled AS (
                INSERT INTO affiliate (store_id, affiliate_id, customer_id, state, enrolled_at)
                VALUES ($1, $2, $3, $4, $5)
                ON CONFLICT (store_id, customer_id) DO NOTHING
                RETURNING store_id, affiliate_id, enrolled_at, state
            ), noted AS (
                INSERT INTO look_again (store_id, affiliate_id) SELECT store_id, affiliate_id FROM enrolled
            )
            INSERT INTO standing (store_id, affiliate_id, since, state) SELECT * FROM enrolled
            """,
            affiliate.store_id,
            affiliate.affiliate_id,
            affiliate.customer_id,
            affiliate.state,
            affiliate.enrolled_at,
        )
    )


async def affiliate_of(conn: Conn, store_id: str, customer_id: str) -> Affiliate | None:
    """The affiliate that a customer is, or one they were merged with is: that is theirs, and soon by its row too."""
    row = await conn.row(
        "SELECT * FROM affiliate WHERE store_id = $1 AND customer_id = $2 AND merged_into IS NULL",
        store_id,
        customer_id,
    )
    if row is not None:
        return affiliate_in(row)
    row = await conn.row(
        """
        WITH RECURSIVE person AS (
            SELECT id, merged_into FROM known_customer WHERE store_id = $1 AND id = $2
            UNION
            SELECT k.id, k.merged_into FROM person p CROSS JOIN LATERAL (
                SELECT id, merged_into FROM known_customer
                WHERE store_id = $1 AND (merged_into = p.id OR id = p.merged_into) OFFSET 0
            ) AS k
        )
        SELECT a.* FROM person CROSS JOIN LATERAL (
            SELECT * FROM affiliate
            WHERE store_id = $1 AND customer_id = person.id AND merged_into IS NULL LIMIT 1
        ) AS a
        ORDER BY affiliate_id LIMIT 1
        """,
        store_id,
        customer_id,
    )
    return None if row is None else replace(affiliate_in(row), customer_id=customer_id)


async def affiliate_by(conn: Conn, store_id: str, affiliate_id: str) -> Affiliate:
    """An affiliate; whom they were merged into, where they were."""
    row = await conn.row(
        """
        SELECT o.* FROM affiliate a
        JOIN affiliate o ON o.store_id = a.store_id AND o.affiliate_id = coalesce(a.merged_into, a.affiliate_id)
        WHERE a.store_id = $1 AND a.affiliate_id = $2
        """,
        store_id,
        affiliate_id,
    )
    assert row is not None, "an affiliate is never deleted"
    return affiliate_in(row)


async def lock_affiliate(conn: Conn, store_id: str, affiliate_id: str) -> Affiliate:
    """An affiliate, locked; whoever they have become, where they were merged. Raises ``NotYet`` if that goes on."""
    return await at_rest(conn, lambda: lock_once(conn, store_id, affiliate_id))


async def lock_once(conn: Conn, store_id: str, affiliate_id: str) -> Affiliate:
    """The same, looked for once, for who locks more in a savepoint of their own.

    Who waits for a lock that was taken in a savepoint inside waits for the end of the transaction, also when it is let go.
    """
    row = await conn.row(
        """
        SELECT o.* FROM affiliate a
        JOIN affiliate o ON o.store_id = a.store_id AND o.affiliate_id = coalesce(a.merged_into, a.affiliate_id)
        WHERE a.store_id = $1 AND a.affiliate_id = $2 FOR UPDATE OF o
        """,
        store_id,
        affiliate_id,
    )
    assert row is not None, "an affiliate is never deleted"
    if row["merged_into"] is not None:
        raise NotYet("the affiliate has just become another")
    return affiliate_in(row)


async def lock_affiliate_of(conn: Conn, store_id: str, customer_id: str) -> Affiliate | None:
    """The affiliate that a customer is, locked; as ``affiliate_of`` finds them."""
    found = await affiliate_of(conn, store_id, customer_id)
    if found is None:
        return None
    return replace(await lock_affiliate(conn, store_id, found.affiliate_id), customer_id=customer_id)


async def lock_owner(conn: Conn, store_id: str, code: str) -> Affiliate | None:
    """The affiliate whose link a code is, locked."""
    affiliate_id = await conn.value("SELECT affiliate_id FROM link WHERE store_id = $1 AND code = $2", store_id, code)
    return None if affiliate_id is None else await lock_affiliate(conn, store_id, affiliate_id)


async def save_state(conn: Conn, affiliate: Affiliate, now: datetime) -> None:
    """Keep where an affiliate stands from now on. They must be locked."""
    await conn.execute(
        """
        WITH changed AS (
            UPDATE affiliate SET state = $3 WHERE store_id = $1 AND affiliate_id = $2 AND state <> $3
            RETURNING store_id, affiliate_id, state
        )
        INSERT INTO standing (store_id, affiliate_id, since, state)
        SELECT store_id, affiliate_id, $4, state FROM changed
        """,
        affiliate.store_id,
        affiliate.affiliate_id,
        affiliate.state,
        now,
    )


async def page_of_affiliates(
    conn: Conn, store_id: str, state: State | None, before: str | None, limit: int
) -> list[tuple[Affiliate, str | None]]:
    """A store's affiliates before an id, the newest first, each with the code that is theirs before others."""
    await plan_each(conn)
    rows = await conn.rows(
        """
        SELECT a.*, (
            SELECT code FROM link l WHERE l.store_id = a.store_id AND l.affiliate_id = a.affiliate_id
            ORDER BY l.state <> 'active', l.custom DESC, l.added_at, l.code LIMIT 1
        ) AS code
        FROM affiliate a
        WHERE store_id = $1 AND ($2::text IS NULL OR state = $2) AND ($3::text IS NULL OR affiliate_id < $3)
          AND merged_into IS NULL
        ORDER BY affiliate_id DESC LIMIT $4
        """,
        store_id,
        state,
        before,
        limit,
    )
    return [(affiliate_in(row), row["code"]) for row in rows]


def affiliate_in(row: asyncpg.Record) -> Affiliate:
    """The affiliate that a row is."""
    return Affiliate(
        store_id=row["store_id"],
        affiliate_id=row["affiliate_id"],
        customer_id=row["customer_id"],
        state=State(row["state"]),
        enrolled_at=row["enrolled_at"],
        balances=Balances(
            pending_minor=row["pending_minor"],
            settled_minor=row["settled_minor"],
            requested_minor=row["requested_minor"],
            converted_minor=row["converted_minor"],
            paid_minor=row["paid_minor"],
        ),
    )


async def add_sales(conn: Conn, sales: Sequence[tuple[str, str, int, int]]) -> None:
    """Add to links: rows of store, code, sales and revenue, each link once. The affiliates must be locked."""
    if not sales:
        return
    await conn.execute(
        """
        UPDATE link l
        SET total_sales = l.total_sales + s.sales, total_revenue_minor = l.total_revenue_minor + s.revenue
        FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) AS s (store_id, code, sales, revenue)
        WHERE (l.store_id, l.code) = (s.store_id, s.code)
        """,
        *[list(column) for column in zip(*sales, strict=True)],
    )
