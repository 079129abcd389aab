"""Statements: where credit stood, what moved it, and what a store owes its customers."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from chassis.db import Conn
from wallet.statements import Moved, Statement, backwards


class Standing(NamedTuple):
    """Where a customer's credit and debt stood after an entry, in minor units; before the first, at nothing."""

    entry_id: str | None = None
    sequence: int = 0
    balance_minor: int = 0
    debt_minor: int = 0


async def standing_before(conn: Conn, store_id: str, customer_id: str, moment: datetime) -> Standing:
    """Where a customer stood after their last entry before a moment."""
    row = await conn.row(
        """
        SELECT entry_id, sequence, balance_after_minor, debt_after_minor
        FROM entry
        WHERE store_id = $1 AND customer_id = $2 AND posted_at < $3
        ORDER BY sequence DESC
        LIMIT 1
        """,
        store_id,
        customer_id,
        moment,
    )
    return Standing() if row is None else Standing(*row)


async def moved(conn: Conn, store_id: str, customer_id: str, after: int, until: int) -> tuple[Moved, ...]:
    """What a customer's entries did after one sequence until another, by type."""
    rows = await conn.rows(
        """
        SELECT type, count(*),
               coalesce(sum(amount_minor) FILTER (WHERE credit_account = 'customer'), 0),
               coalesce(sum(amount_minor) FILTER (WHERE debit_account = 'customer'), 0),
               coalesce(sum(amount_minor) FILTER (WHERE debit_account = 'customer_debt'), 0),
               coalesce(sum(amount_minor) FILTER (WHERE credit_account = 'customer_debt'), 0)
        FROM entry
        WHERE store_id = $1 AND customer_id = $2 AND sequence > $3 AND sequence <= $4
        GROUP BY type
        ORDER BY type
        """,
        store_id,
        customer_id,
        after,
        until,
    )
    return tuple(_moved(tuple(row)) for row in rows)


async def statement_of_store(conn: Conn, store_id: str, since: datetime, until: datetime) -> Statement:
    """What a period did to all customers' credit, counted back from now in one statement, so in one snapshot."""
    rows = await conn.rows(
        """
        WITH posted AS (
            SELECT type, posted_at >= $3 AS later, count(*) AS entries,
                   coalesce(sum(amount_minor) FILTER (WHERE credit_account = 'customer'), 0) AS credited,
                   coalesce(sum(amount_minor) FILTER (WHERE debit_account = 'customer'), 0) AS deducted,
                   coalesce(sum(amount_minor) FILTER (WHERE debit_account = 'customer_debt'), 0) AS incurred,
                   coalesce(sum(amount_minor) FILTER (WHERE credit_account = 'customer_debt'), 0) AS repaid
            FROM entry
            WHERE store_id = $1 AND posted_at >= $2
            GROUP BY type, later
        ), stands AS (
            SELECT coalesce(sum(balance_minor), 0) AS balance, coalesce(sum(debt_minor), 0) AS debt
            FROM account WHERE store_id = $1
        )
        SELECT balance, debt, later, type, entries, credited, deducted, incurred, repaid
        FROM stands LEFT JOIN posted ON true
        ORDER BY type
        """,
        store_id,
        since,
        until,
    )
    within = [_moved(row[3:]) for row in rows if row["later"] is False]
    later = [_moved(row[3:]) for row in rows if row["later"]]
    return backwards(int(rows[0]["balance"]), int(rows[0]["debt"]), within, later)


def _moved(row: Sequence[Any]) -> Moved:
    """Sums of many amounts are numeric: they may be larger than any amount."""
    return Moved(row[0], *map(int, row[1:]))


class Owed(NamedTuple):
    """Open grants of an age and type: what they have left, and how much of that expires when. In minor units.

    ``age`` counts the limits that the days since they were granted have reached. ``soon_minor``, ``later_minor`` and
    ``latest_minor`` expire within the first, second and third horizon, each with those before it.
    """

    age: int
    type: str
    left_minor: int
    held_minor: int
    grants: int
    customers: int
    soon_minor: int
    later_minor: int
    latest_minor: int
    never_minor: int


class Liability(NamedTuple):
    """What a store owes its customers, how many they are, and what customers owe it, in minor units."""

    customers: int
    debt_minor: int
    rows: tuple[Owed, ...]


async def liability(
    conn: Conn, store_id: str, at: datetime, ages: tuple[int, ...], horizons: tuple[int, int, int]
) -> Liability:
    """What a store owes, by limits of age in days; ``horizons``: what expires within so many days.

    One statement, so one snapshot: grants and accounts agree.
    """
    soon, later, latest = (at + timedelta(days=days) for days in horizons)
    rows = await conn.rows(
        """
        WITH owed AS (
            SELECT customer_id, width_bucket($2 - granted_at, $3::interval[]) AS age, type,
                   sum(left_minor) AS left_minor, sum(held_minor) AS held_minor, count(*) AS grants,
                   sum(left_minor) FILTER (WHERE expires_at <= $4) AS soon,
                   sum(left_minor) FILTER (WHERE expires_at <= $5) AS later,
                   sum(left_minor) FILTER (WHERE expires_at <= $6) AS latest,
                   sum(left_minor) FILTER (WHERE expires_at IS NULL) AS never
            FROM credit_grant WHERE store_id = $1 AND open
            GROUP BY customer_id, age, type
        ), by_age AS (
            SELECT age, type, sum(left_minor) AS left_minor, sum(held_minor) AS held_minor,
                   sum(grants) AS grants, count(*) AS customers, coalesce(sum(soon), 0) AS soon,
                   coalesce(sum(later), 0) AS later, coalesce(sum(latest), 0) AS latest,
                   coalesce(sum(never), 0) AS never
            FROM owed GROUP BY age, type
        ), accounts AS (
            SELECT count(*) FILTER (WHERE balance_minor > 0) AS with_credit,
                   coalesce(sum(debt_minor), 0) AS debt_minor
            FROM account WHERE store_id = $1
        )
        SELECT * FROM accounts LEFT JOIN by_age ON true ORDER BY age, type
        """,
        store_id,
        at,
        [timedelta(days=days) for days in ages],
        soon,
        later,
        latest,
    )
    owed = tuple(Owed(row[2], row[3], *map(int, row[4:])) for row in rows if row["type"] is not None)
    return Liability(rows[0]["with_credit"], int(rows[0]["debt_minor"]), owed)
