"""Each corruption is found; the books of every other test are proven after it (fixture ``ledger``)."""

from contextlib import asynccontextmanager

import asyncpg
import pytest

from chassis.db import Conn
from wallet.store_faults import faults


@pytest.fixture
async def books(ledger):
    """One customer with three entries, one of them a payment, a placed hold, and a refused claim."""
    customer = await ledger.funded(100)
    paid, open_ = ledger.Purchase(customer, 30), ledger.Purchase(customer, 20)
    await ledger.append(paid.place, open_.place, paid.capture, ledger.gift(customer, 5))
    await ledger.append(ledger.credit(customer, 1, currency="USD"))
    return ledger


@pytest.fixture
async def corrupted(database):
    """`async with corrupted(sql) as sentences`: what is said of the books after this, which is then undone."""
    admin = await asyncpg.connect(database.admin_url)

    @asynccontextmanager
    async def corrupt(sql):
        change = admin.transaction()
        await change.start()
        await admin.execute("ALTER TABLE entry DISABLE TRIGGER append_only")
        for constraint in ("entry_amount_minor_check", "entry_check", "entry_balance_after_minor_check"):
            await admin.execute(f"ALTER TABLE entry DROP CONSTRAINT IF EXISTS {constraint}")
        assert not (await admin.execute(sql)).endswith(" 0")
        yield await faults(Conn(admin))
        await change.rollback()

    yield corrupt
    await admin.close()


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        ("UPDATE account SET balance_minor = 76", "has the balance 76, its entries make 75"),
        ("UPDATE account SET sequence = 4", "stands at sequence 4, its 3 entries end at 3"),
        ("UPDATE account SET held_minor = 19", "has 19 held, its placed holds make 20"),
        ("UPDATE account SET currency = 'USD'", "is not all in the currency of its store"),
        ("UPDATE entry SET currency = 'USD' WHERE sequence = 2", "is not all in the currency of its store"),
        ("UPDATE entry SET sequence = 9 WHERE sequence = 3", "stands at sequence 3, its 3 entries end at 9"),
        ("UPDATE entry SET amount_minor = 6 WHERE sequence = 3", "should leave a balance of 76, not 75"),
        ("UPDATE entry SET balance_after_minor = 71 WHERE sequence = 2", "should leave a balance of 70, not 71"),
        ("UPDATE entry SET balance_after_minor = 71 WHERE sequence = 2", "should leave a balance of 76, not 75"),
        ("UPDATE entry SET debit_account = credit_account, credit_account = debit_account", "its entries make -75"),
        ("DELETE FROM entry WHERE sequence = 1", "has the balance 75, its entries make -25"),
        ("DELETE FROM entry WHERE sequence = 3", "its 2 entries end at 2"),
        ("DELETE FROM entry WHERE sequence = 2", "was captured for 30, its entry says otherwise"),
        ("UPDATE entry SET cause_id = 'order' WHERE sequence = 2", "was captured for 30, its entry says otherwise"),
        ("UPDATE hold SET captured_minor = 29 WHERE status = 'captured'", "was captured for 29"),
        ("UPDATE hold SET amount_minor = 21 WHERE status = 'placed'", "has 20 held, its placed holds make 21"),
        ("DELETE FROM hold WHERE status = 'captured'", "is a payment without a captured hold"),
        (
            "UPDATE refusal SET cause_kind = 'order', cause_id = (SELECT cause_id FROM entry WHERE sequence = 2)",
            "was refused and posted",
        ),
    ],
)
async def test_a_corruption_is_found(books, corrupted, sql, sentence):
    scope = f"store_id = '{books.store_id}'"
    where = "AND" if "WHERE" in sql and "(SELECT" not in sql else "WHERE"
    scoped = sql.replace("sequence = 2)", f"sequence = 2 AND {scope})")
    async with corrupted(f"{scoped} {where} {scope}") as sentences:
        assert any(sentence in said for said in sentences), sentences
        assert all(books.store_id in said for said in sentences)


async def test_an_entry_without_an_account_is_found(books, corrupted):
    async with corrupted(
        f"""
        INSERT INTO entry (store_id, entry_id, customer_id, sequence, type, debit_account, credit_account,
                           amount_minor, balance_after_minor, currency, cause_kind, cause_id, posted_at)
        SELECT store_id, 'tx', 'nobody', 1, type, debit_account, credit_account, amount_minor, amount_minor, currency,
               cause_kind, cause_id, posted_at FROM entry WHERE store_id = '{books.store_id}' AND sequence = 1
        """
    ) as sentences:
        assert any("nobody" in said and "of no account" in said for said in sentences)


async def test_sound_books_are_clean(books, worker):
    async with worker.transaction() as conn:
        assert await faults(conn) == []
