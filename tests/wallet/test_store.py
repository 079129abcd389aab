"""What the database itself refuses."""

import asyncpg
import pytest

from chassis import ids
from contracts.ids import STORE


@pytest.fixture(params=["api", "worker", "owner"])
async def role(request, wallet_database):
    """A connection of each role; the owner is who even the privileges do not stop."""
    urls = {"api": wallet_database.api_url, "worker": wallet_database.worker_url, "owner": wallet_database.admin_url}
    conn = await asyncpg.connect(urls[request.param])
    yield conn
    await conn.close()


@pytest.mark.parametrize("change", ["UPDATE entry SET reason = 'x'", "DELETE FROM entry", "TRUNCATE entry CASCADE"])
async def test_the_ledger_is_append_only(ledger, role, change):
    await ledger.append(ledger.gift(ledger.customer(), 5))
    with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.RestrictViolationError)):
        await role.execute(change)


@pytest.mark.parametrize(
    "figures", ["balance_minor = -1", "held_minor = 6", "held_minor = -1", "balance_minor = 1000000000000000"]
)
async def test_an_account_is_never_overdrawn(ledger, worker, figures):
    customer = await ledger.funded(5)
    with pytest.raises(asyncpg.CheckViolationError):
        async with worker.transaction() as conn:
            await conn.execute(f"UPDATE account SET {figures} WHERE customer_id = $1", customer)


async def test_another_store_sees_nothing(ledger, pool):
    await ledger.append(ledger.gift(ledger.customer(), 5, note="ours"))
    for store_id in (ids.new(STORE), None):
        async with pool.transaction(store_id) as conn:
            for table in ("account", "entry", "entry_note", "hold", "refusal"):
                assert await conn.rows(f"SELECT FROM {table}") == []


async def test_nobody_writes_into_another_store(ledger, pool, new_store):
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        async with pool.transaction(await new_store()) as conn:
            await conn.execute(
                "INSERT INTO account (store_id, customer_id, currency) VALUES ($1, 'cus', 'EUR')", ledger.store_id
            )
