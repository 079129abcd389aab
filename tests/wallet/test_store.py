"""What the database itself refuses."""

import asyncpg
import pytest

from chassis import ids
from contracts.ids import STORE


@pytest.mark.parametrize("change", ["UPDATE entry SET reason = 'x'", "DELETE FROM entry", "TRUNCATE entry CASCADE"])
@pytest.mark.parametrize(
    ("role", "error"),
    [
        ("api_url", asyncpg.InsufficientPrivilegeError),
        ("worker_url", asyncpg.InsufficientPrivilegeError),
        ("admin_url", asyncpg.RestrictViolationError),
    ],
)
async def test_the_ledger_is_append_only(ledger, database, role, error, change):
    """No role has the privilege, and a trigger stops those who need none."""
    await ledger.append(ledger.gift(ledger.customer(), 5))
    conn = await asyncpg.connect(getattr(database, role))
    try:
        with pytest.raises(error):
            await conn.execute(change)
    finally:
        await conn.close()


@pytest.mark.parametrize(
    "figures", ["balance_minor = -1", "held_minor = 6", "held_minor = -1", "balance_minor = 1000000000000000"]
)
async def test_an_account_is_never_overdrawn(ledger, worker, figures):
    customer = await ledger.funded(5)
    with pytest.raises(asyncpg.CheckViolationError):
        async with worker.transaction() as conn:
            await conn.execute(f"UPDATE account SET {figures} WHERE customer_id = $1", customer)


@pytest.mark.parametrize("debt", [1, -1])
async def test_no_debt_stands_beside_credit_that_is_available(ledger, worker, debt):
    customer = await ledger.funded(5)
    with pytest.raises(asyncpg.CheckViolationError):
        async with worker.transaction() as conn:
            await conn.execute("UPDATE account SET debt_minor = $2 WHERE customer_id = $1", customer, debt)


@pytest.mark.parametrize("figures", ["held_minor = 6", "held_minor = -1", "left_minor = 6", "left_minor = 0"])
async def test_a_grant_has_no_more_held_than_left_and_no_more_left_than_given(ledger, worker, figures):
    customer = await ledger.funded(5)
    with pytest.raises(asyncpg.CheckViolationError):
        async with worker.transaction() as conn:
            await conn.execute(f"UPDATE credit_grant SET {figures} WHERE customer_id = $1", customer)


async def rows_seen(api, store_id):
    async with api.transaction(store_id) as conn:
        return [
            await conn.value(f"SELECT count(*) FROM {table}")
            for table in ("account", "entry", "entry_note", "hold", "refusal")
        ]


async def test_another_store_sees_nothing(ledger, api):
    customer = ledger.customer()
    await ledger.append(
        ledger.gift(customer, 5, note="ours"),
        ledger.Purchase(customer, 1).place,
        ledger.credit(customer, 1, currency="USD"),
    )
    assert await rows_seen(api, ledger.store_id) == [1] * 5
    assert await rows_seen(api, ids.new(STORE)) == [0] * 5
    assert await rows_seen(api, None) == [0] * 5


async def test_nobody_writes_into_another_store(ledger, api, new_store):
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        async with api.transaction(await new_store()) as conn:
            await conn.execute(
                "INSERT INTO account (store_id, customer_id, currency) VALUES ($1, 'cus', 'EUR')", ledger.store_id
            )
