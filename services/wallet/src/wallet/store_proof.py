"""Following the entries line by line, some accounts at a time, and keeping how far they were found clean."""

import json
from collections.abc import AsyncIterator, Sequence

import asyncpg

from chassis.db import Conn
from wallet.entries import Entry
from wallet.proof import Left, Standing
from wallet.store_book import entry

_SHOWN = 100
_ACCOUNTS = 500
_ENTRIES = 20_000
_NOTHING = Left(0)

Key = tuple[str, str]  # (store id, customer id)


async def follow(conn: Conn, *, whole: bool) -> list[str]:
    """What is wrong with the entries and with what accounts and grants say they come to. Keeps what is clean."""
    wrong: list[str] = []
    async for page in _pages(conn, whole=whole):
        standings = {_key(row): _standing(row, whole=whole) for row in page}
        faulty = await _follow(conn, standings, wrong)
        grants = await _grants(conn, list(standings))
        for row in page:
            faulty |= _compare(row, standings[_key(row)], grants.get(_key(row), {}), wrong)
        await _keep(conn, [standing for key, standing in standings.items() if key not in faulty])
        if len(wrong) >= _SHOWN:
            break
    return [*wrong[:_SHOWN], *await _without_account(conn)]


def _key(row: asyncpg.Record) -> Key:
    return row["store_id"], row["customer_id"]


def _standing(row: asyncpg.Record, *, whole: bool) -> Standing:
    if whole or row["checked"] is None:
        return Standing(*_key(row), row["currency"])
    grants = {sequence: Left(*left) for sequence, left in json.loads(row["grants"])}
    checked = row["checked"], row["checked_balance"], row["checked_debt"], row["checked_hash"]
    return Standing(*_key(row), row["currency"], *checked, grants)


async def _pages(conn: Conn, *, whole: bool) -> AsyncIterator[list[asyncpg.Record]]:
    """Accounts in order; where not the whole is asked for, those that are not as they were found clean."""
    last: Key = ("", "")
    while True:
        rows = await conn.rows(
            """
            SELECT a.store_id, a.customer_id, a.currency, a.sequence, a.balance_minor, a.debt_minor, a.hash,
                   c.sequence AS checked, c.balance_minor AS checked_balance, c.debt_minor AS checked_debt,
                   c.hash AS checked_hash, c.grants
            FROM account a
            LEFT JOIN checkpoint c USING (store_id, customer_id)
            WHERE (a.store_id, a.customer_id) > ($1, $2)
              AND ($3 OR (a.sequence, a.balance_minor, a.debt_minor, a.hash)
                         IS DISTINCT FROM (c.sequence, c.balance_minor, c.debt_minor, c.hash))
            ORDER BY a.store_id, a.customer_id
            LIMIT $4
            """,
            *last,
            whole,
            _ACCOUNTS,
        )
        if not rows:
            return
        yield rows
        last = _key(rows[-1])


async def _follow(conn: Conn, standings: dict[Key, Standing], wrong: list[str]) -> set[Key]:
    """Follow the entries of these customers; whose are wrong."""
    faulty: set[Key] = set()
    after = [standing.sequence for standing in standings.values()]
    while True:
        rows = await _entries(conn, list(standings), after)
        for row in rows:
            key = _key(row)
            if sentences := standings[key].follow([_entry(row)]):
                wrong += sentences
                faulty.add(key)
        if len(rows) < _ENTRIES or len(wrong) >= _SHOWN:
            return faulty
        after = [standing.sequence for standing in standings.values()]


def _entry(row: asyncpg.Record) -> Entry:
    return entry(tuple(row)[1:])


async def _entries(conn: Conn, keys: Sequence[Key], after: Sequence[int]) -> list[asyncpg.Record]:
    return await conn.rows(
        """
        SELECT e.store_id, e.entry_id, e.customer_id, e.sequence, e.type, e.debit_account, e.credit_account,
               e.amount_minor, e.balance_after_minor, e.debt_after_minor, e.currency, e.cause_kind, e.cause_id,
               e.reason, e.parts, e.expires_at, e.posted_at, e.hash
        FROM unnest($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY AS k (store_id, customer_id, after, position)
        CROSS JOIN LATERAL (
            SELECT * FROM entry e
            WHERE e.store_id = k.store_id AND e.customer_id = k.customer_id AND e.sequence > k.after
            ORDER BY e.sequence LIMIT $4
        ) AS e
        ORDER BY k.position, e.sequence
        LIMIT $4
        """,
        [store_id for store_id, _ in keys],
        [customer_id for _, customer_id in keys],
        after,
        _ENTRIES,
    )


async def _grants(conn: Conn, keys: Sequence[Key]) -> dict[Key, dict[int, Left]]:
    rows = await conn.rows(
        """
        SELECT g.store_id, g.customer_id, g.sequence, g.left_minor, g.expired_minor
        FROM unnest($1::text[], $2::text[]) AS k (store_id, customer_id)
        JOIN credit_grant g USING (store_id, customer_id)
        WHERE g.open OR g.expired_minor > 0
        """,
        [store_id for store_id, _ in keys],
        [customer_id for _, customer_id in keys],
    )
    found: dict[Key, dict[int, Left]] = {}
    for row in rows:
        found.setdefault(_key(row), {})[row["sequence"]] = Left(row["left_minor"], row["expired_minor"])
    return found


def _compare(row: asyncpg.Record, standing: Standing, grants: dict[int, Left], wrong: list[str]) -> set[Key]:
    """Whether an account and its grants are what the entries come to."""
    flaws = [
        f"has the {name} {row[column]}, its entries make {value}"
        for name, column, value in (
            ("balance", "balance_minor", standing.balance_minor),
            ("debt", "debt_minor", standing.debt_minor),
            ("sequence", "sequence", standing.sequence),
        )
        if row[column] != value
    ]
    if row["hash"] != standing.hash:
        flaws.append("does not end with the hash of its last entry")
    if grants != standing.grants:
        flaws += [
            f"has {has.left_minor} left of grant {sequence} and {has.expired_minor} expired, "
            f"its entries make it {made.left_minor} and {made.expired_minor}"
            for sequence in sorted(grants.keys() | standing.grants.keys())
            for has, made in [(grants.get(sequence, _NOTHING), standing.grants.get(sequence, _NOTHING))]
            if has != made
        ]
    wrong += [standing.say(flaw) for flaw in flaws]
    return {_key(row)} if flaws else set()


async def _keep(conn: Conn, standings: Sequence[Standing]) -> None:
    await conn.execute(
        """
        INSERT INTO checkpoint AS kept (store_id, customer_id, sequence, balance_minor, debt_minor, hash, grants)
        SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[], $7::jsonb[])
        ON CONFLICT (store_id, customer_id) DO UPDATE
        SET sequence = excluded.sequence, balance_minor = excluded.balance_minor, debt_minor = excluded.debt_minor,
            hash = excluded.hash, grants = excluded.grants
        WHERE kept IS DISTINCT FROM excluded
        """,
        [standing.store_id for standing in standings],
        [standing.customer_id for standing in standings],
        [standing.sequence for standing in standings],
        [standing.balance_minor for standing in standings],
        [standing.debt_minor for standing in standings],
        [standing.hash for standing in standings],
        [json.dumps(list(standing.grants.items())) for standing in standings],
    )


async def _without_account(conn: Conn) -> list[str]:
    rows = await conn.rows(
        """
        SELECT DISTINCT format('%s of %s has entries and no account', customer_id, store_id) AS sentence
        FROM entry e
        WHERE NOT EXISTS (SELECT FROM account a WHERE a.store_id = e.store_id AND a.customer_id = e.customer_id)
        LIMIT $1
        """,
        _SHOWN,
    )
    return [row["sentence"] for row in rows]
