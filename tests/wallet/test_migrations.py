"""A wallet from before grants gets them: its books are clean afterwards, and its hashes are those of the chain."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from migrating import first_only

from chassis import migrations
from chassis.db import Conn
from wallet import chain
from wallet.store_book import entry
from wallet.store_faults import faults

NAME = "wallet_before_grants"
AT = datetime(2026, 3, 1, 12, 0, 0, 123457, tzinfo=UTC)
ENTRIES = [  # (store, customer, type, amount, cause kind, cause id); what is negative takes
    ("s1", "a", "CREDIT", 100, "claim", "claim1"),
    ("s1", "a", "ADJUSTMENT", 50, "adjustment", "tx2"),
    ("s1", "a", "ADJUSTMENT", -30, "adjustment", "tx3"),
    ("s1", "a", "PAYMENT", -90, "order", "order1"),
    ("s1", "b", "REFUND", 10, "adjustment", "tx5"),
    ("s1", "b", "PROMO", 5, "adjustment", "tx6"),
    ("s1", "b", "DEBIT", -15, "adjustment", "tx7"),
    ("s2", "a", "CREDIT", 7, "claim", "ümläut"),
]
HOLDS = [  # (hold, customer, order, amount, status, captured, entry, reason)
    ("paid", "a", "order1", 95, "captured", 90, "tx4", None),
    ("first", "a", "order2", 15, "placed", 0, None, None),
    ("second", "a", "order3", 10, "placed", 0, None, None),
    ("gone", "a", "order4", 5, "released", 0, None, "released"),
    ("never", "a", None, 0, "released", 0, None, "unknown_hold"),
    ("refused", "b", "order5", 99, "refused", 0, None, "insufficient_credit"),
]


@pytest.fixture
async def old(parts, admin_url, monkeypatch):
    """A connection to a database that had the first migration only, with what a wallet wrote then."""
    async with first_only("wallet", NAME, parts, admin_url, monkeypatch) as conn:
        await write(conn)
        yield conn


async def write(conn):
    """The rows as that version wrote them."""
    await conn.execute("INSERT INTO store SELECT s, s, 'EUR', 'en', 'shop' FROM unnest(ARRAY['s1', 's2']) AS s")
    balances, sequences = {}, {}
    for number, (store, customer, kind, amount, cause, cause_id) in enumerate(ENTRIES, 1):
        who = store, customer
        balances[who], sequences[who] = balances.get(who, 0) + amount, sequences.get(who, 0) + 1
        sides = ("adjustments", "customer") if amount > 0 else ("customer", "orders")
        await conn.execute(
            """
            INSERT INTO entry (store_id, customer_id, entry_id, sequence, type, debit_account, credit_account,
                               amount_minor, balance_after_minor, currency, cause_kind, cause_id, posted_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'EUR', $10, $11, $12)
            """,
            *who,
            f"tx{number}",
            sequences[who],
            kind,
            *sides,
            abs(amount),
            balances[who],
            cause,
            cause_id,
            AT + timedelta(microseconds=number * 1_000_003),
        )
    for who, balance in balances.items():
        held = 25 if who == ("s1", "a") else 0
        await conn.execute(
            "INSERT INTO account VALUES ($1, $2, 'EUR', $3, $4, $5)", *who, balance, held, sequences[who]
        )
    for hold in HOLDS:
        ended = None if hold[4] == "placed" else AT
        await conn.execute("INSERT INTO hold VALUES ('s1', $1, $2, $3, $4, $5, $6, $7, $8, $9, $10)", *hold, AT, ended)
    await conn.execute("INSERT INTO entry_note VALUES ('s1', 'tx2', 'sorry')")
    await conn.execute("INSERT INTO refusal VALUES ('s1', 'claim', 'claim9', 'a', 'currency_mismatch', $1)", AT)


async def test_a_wallet_from_before_grants_is_proven_when_it_was_migrated(old, parts, admin_url):
    await migrations.prepare(admin_url, "wallet", database=NAME, password=parts.password)
    assert await faults(Conn(old)) == []
    assert await old.fetchval("SELECT count(*) FROM checkpoint") == 3

    sql = """
        SELECT store_id, entry_id, customer_id, sequence, type, debit_account, credit_account, amount_minor,
               balance_after_minor, debt_after_minor, currency, cause_kind, cause_id, reason, parts, expires_at,
               posted_at, hash
        FROM entry ORDER BY store_id, customer_id, sequence
    """
    before = {}
    for row in await old.fetch(sql):
        its = entry(tuple(row)[1:])
        who = row["store_id"], its.customer_id
        before[who] = chain.link(before.get(who, b""), row["store_id"], its)
        assert its.hash == before[who]
    assert len(before) == 3

    grants = await old.fetch(
        "SELECT sequence, left_minor, held_minor, open FROM credit_grant WHERE store_id = 's1' AND customer_id = 'a'"
    )
    assert sorted(map(tuple, grants)) == [(1, 0, 0, False), (2, 30, 25, True)]
    parts_of = dict(await old.fetch("SELECT entry_id, parts FROM entry WHERE parts <> '[]'"))
    assert parts_of == {"tx3": "[[1, 30]]", "tx4": "[[1, 70], [2, 20]]", "tx7": "[[1, 10], [2, 5]]"}
    held = dict(await old.fetch("SELECT hold_id, parts FROM hold WHERE status = 'placed'"))
    assert held == {"first": "[[2, 15]]", "second": "[[2, 10]]"}
    assert {row[0] for row in await old.fetch("SELECT expires_at - asked_at FROM hold")} == {timedelta(days=7)}


async def test_what_was_migrated_is_append_only_and_apart_by_store_again(old, parts, admin_url):
    await migrations.prepare(admin_url, "wallet", database=NAME, password=parts.password)
    unforced = "SELECT relname FROM pg_class JOIN pg_policy ON polrelid = pg_class.oid WHERE NOT relforcerowsecurity"
    assert await old.fetch(unforced) == []
    with pytest.raises(asyncpg.RestrictViolationError):
        await old.execute("UPDATE entry SET reason = 'x'")
