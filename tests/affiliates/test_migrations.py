"""An affiliates' database from before payouts has its books clean when it was migrated."""

from datetime import UTC, datetime

import pytest
from migrating import first_only

from affiliates.store_faults import faults
from chassis import migrations
from chassis.db import Conn

NAME = "affiliates_before_payouts"
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
async def old(parts, admin_url, monkeypatch):
    """A connection to a database that had the first migration only, with what affiliates wrote then."""
    async with first_only("affiliates", NAME, parts, admin_url, monkeypatch) as conn:
        await write(conn)
        yield conn


async def write(conn):
    """An affiliate who earned 25 of two orders, of which one waits, and converted 10."""
    await conn.execute("INSERT INTO affiliate VALUES ('s', 'aff', 'cus', 'active', $1, 500, 1000, 0, 1000, 0)", AT)
    await conn.execute("INSERT INTO link VALUES ('s', 'creator123', 'aff', $1, 2, 25000)", AT)
    await conn.execute("INSERT INTO click_day VALUES ('s', 'creator123', $1, 7)", AT.date())
    for number, base, state, amount in ((1, 20_000, "payable", 2000), (2, 5_000, "pending", 500)):
        await conn.execute(
            """
            INSERT INTO commission VALUES ('s', $1, $2, 'aff', 'creator123', 1, 'EUR', $3::bigint, $4, NULL, 1000,
                                           $5, $3, 'EUR', $6, $6)
            """,
            f"order{number}",
            f"com{number}",
            base,
            state,
            amount,
            AT,
        )
    await conn.execute(
        """
        INSERT INTO claim VALUES ('s', 'claim1', 'aff', 'cus', 'conversion', 1000, 'EUR', 'COMPLETED', NULL,
                                  'wallet_tx1', 1000, $1, $1)
        """,
        AT,
    )
    await conn.execute(
        """
        INSERT INTO journal (store_id, affiliate_id, kind, source, target, amount_minor, commission_id, order_version,
                             claim_id, at)
        VALUES ('s', 'aff', 'earned', 'program', 'pending', 2000, 'com1', 1, NULL, $1),
               ('s', 'aff', 'matured', 'pending', 'settled', 2000, 'com1', NULL, NULL, $1),
               ('s', 'aff', 'earned', 'program', 'pending', 500, 'com2', 1, NULL, $1),
               ('s', 'aff', 'reserved', 'settled', 'requested', 1000, NULL, NULL, 'claim1', $1),
               ('s', 'aff', 'converted', 'requested', 'converted', 1000, NULL, NULL, 'claim1', $1)
        """,
        AT,
    )


async def test_a_database_from_before_payouts_is_proven_when_it_was_migrated(old, parts, admin_url):
    """Whoever migrates is no superuser: row-level security must not hide what is there from it."""
    await migrations.prepare(admin_url, "affiliates", database=NAME, password=parts.password)
    assert await faults(Conn(old)) == []
    assert tuple(await old.fetchrow("SELECT state, active_from FROM link")) == ("active", AT)
    assert await old.fetchval("SELECT changed_at FROM claim") == AT
    assert tuple(await old.fetchrow("SELECT since, state FROM standing")) == (AT, "active")
    assert tuple(await old.fetchrow("SELECT clicks, unique_clicks FROM click_total")) == (7, 0)

    hidden = "SELECT relname FROM pg_class WHERE relrowsecurity AND NOT relforcerowsecurity"
    assert await old.fetch(hidden) == []
