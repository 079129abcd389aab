"""Each corruption is found; the books of every other test are proven after it (fixture ``ledger``)."""

from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import pytest
from serving import settings_for

from chassis import clock
from chassis.db import Conn
from wallet.main import service
from wallet.store_faults import faults, faults_since_checkpoint

CONSTRAINTS = {
    "entry": ("entry_amount_minor_check", "entry_check", "entry_balance_after_minor_check"),
    "account": ("held_is_covered", "debt_is_netted"),
    "credit_grant": ("grant_is_covered", "open_has_something_left"),
}

# The books: entry 1 gives 100, of which 20 are held; 2 pays 30 of it; 3 gives 5 that expires.
CORRUPTIONS = [
    ("UPDATE account SET balance_minor = 76", "has the balance 76, its entries make 75"),
    ("UPDATE account SET balance_minor = 76", "has the balance 76, its grants have 75 left"),
    ("UPDATE account SET sequence = 4", "has the sequence 4, its entries make 3"),
    ("UPDATE account SET held_minor = 19", "has 19 held, its placed holds make 20"),
    ("UPDATE account SET held_minor = 19", "has 19 held, its grants have 20 held"),
    ("UPDATE account SET debt_minor = 1", "has the debt 1, its entries make 0"),
    ("UPDATE account SET hash = 'x'", "does not end with the hash of its last entry"),
    ("UPDATE account SET currency = 'USD'", "is not in the currency of its store"),
    ("UPDATE account SET due_at = NULL", "has credit that expires before it is due"),
    ("UPDATE account SET due_at = due_at + interval '1 day'", "has credit that expires before it is due"),
    ("UPDATE credit_grant SET expired_minor = 1 WHERE sequence = 1", "has 70 left of grant 1 and 1 expired"),
    (
        "UPDATE credit_grant SET left_minor = 69 WHERE sequence = 1",
        "has 69 left of grant 1 and 0 expired, its entries make it 70 and 0",
    ),
    ("UPDATE credit_grant SET held_minor = 19 WHERE sequence = 1", "has 19 held, its holds make 20"),
    (
        "UPDATE credit_grant SET open = false WHERE sequence = 3",
        "has 0 left of grant 3 and 0 expired, its entries make it 5 and 0",
    ),
    ("UPDATE credit_grant SET expires_at = NULL WHERE sequence = 3", "is not what its entry gave"),
    ("UPDATE credit_grant SET amount_minor = 101 WHERE sequence = 1", "is not what its entry gave"),
    ("DELETE FROM credit_grant WHERE sequence = 3", "has 0 left of grant 3 and 0 expired, its entries make it 5 and 0"),
    ("UPDATE hold SET parts = '[[3, 5], [1, 15]]' WHERE status = 'placed'", "has 20 held, its holds make 15"),
    ("UPDATE hold SET parts = '[[1, 19]]' WHERE status = 'placed'", "sets aside 20, its parts make 19"),
    ("UPDATE hold SET amount_minor = 21 WHERE status = 'placed'", "has 20 held, its placed holds make 21"),
    ("UPDATE hold SET captured_minor = 29 WHERE status = 'captured'", "was captured for 29"),
    ("DELETE FROM hold WHERE status = 'captured'", "is a payment without a captured hold"),
    ("UPDATE entry SET currency = 'USD' WHERE sequence = 2", "is in USD"),
    ("UPDATE entry SET sequence = 9 WHERE sequence = 3", "is entry 9, not 3"),
    ("UPDATE entry SET amount_minor = 6 WHERE sequence = 3", "should leave a balance of 76, not 75"),
    ("UPDATE entry SET balance_after_minor = 71 WHERE sequence = 2", "should leave a balance of 70, not 71"),
    ("UPDATE entry SET debt_after_minor = 1 WHERE sequence = 2", "should leave a debt of 0, not 1"),
    ("UPDATE entry SET debit_account = credit_account, credit_account = debit_account", "has parts of grants"),
    ("UPDATE entry SET parts = '[[1, 29]]' WHERE sequence = 2", "has parts of grants that do not make its amount"),
    ("UPDATE entry SET parts = '[[3, 30]]' WHERE sequence = 2", "takes 30 more than grant 3 had left"),
    ("UPDATE entry SET expires_at = NULL WHERE sequence = 3", "is not what its entry gave"),
    ("UPDATE entry SET type = 'DEBIT' WHERE sequence = 2", "does not continue the chain of hashes"),
    ("UPDATE entry SET hash = 'x' WHERE sequence = 2", "does not continue the chain of hashes"),
    ("UPDATE entry SET posted_at = posted_at + interval '1 us' WHERE sequence = 3", "does not continue the chain"),
    ("UPDATE entry SET entry_id = 'tx' WHERE sequence = 3", "does not continue the chain of hashes"),
    ("UPDATE entry SET cause_id = 'order' WHERE sequence = 2", "was captured for 30, its entry says otherwise"),
    ("DELETE FROM entry WHERE sequence = 1", "is entry 2, not 1"),
    ("DELETE FROM entry WHERE sequence = 2", "is entry 3, not 2"),
    ("DELETE FROM entry WHERE sequence = 3", "has the sequence 3, its entries make 2"),
    (
        "UPDATE refusal SET cause_kind = 'order', cause_id = (SELECT cause_id FROM entry WHERE sequence = 2)",
        "was refused and posted",
    ),
]


@pytest.fixture
async def books(ledger):
    """One customer with three entries, one of them a payment, a placed hold, and a refused claim."""
    customer = await ledger.funded(100)
    paid, open_ = ledger.Purchase(customer, 30), ledger.Purchase(customer, 20)
    later = clock.now() + timedelta(days=9)
    await ledger.append(paid.place, open_.place, paid.capture, ledger.gift(customer, 5, expires_at=later))
    await ledger.append(ledger.credit(customer, 1, currency="USD"))
    return ledger


@pytest.fixture
async def admin(database):
    admin = await asyncpg.connect(database.admin_url)
    yield admin
    await admin.close()


@pytest.fixture
async def corrupted(books, admin):
    """`async with corrupted(sql)`: the books after this, which is then undone; only those of this store are changed."""

    @asynccontextmanager
    async def corrupt(sql):
        change = admin.transaction()
        await change.start()
        await admin.execute("ALTER TABLE entry DISABLE TRIGGER append_only")
        for table, names in CONSTRAINTS.items():
            for name in names:
                await admin.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        scope = f"store_id = '{books.store_id}'"
        where = "AND" if "WHERE" in sql and "(SELECT" not in sql else "WHERE"
        scoped = sql.replace("sequence = 2)", f"sequence = 2 AND {scope})")
        assert not (await admin.execute(f"{scoped} {where} {scope}")).endswith(" 0")
        yield Conn(admin)
        await change.rollback()

    return corrupt


@pytest.mark.parametrize(("sql", "sentence"), CORRUPTIONS)
async def test_a_corruption_is_found(books, corrupted, admin, sql, sentence):
    """Also when the books were found clean before: accounts are always looked at, entries by the whole."""
    async with corrupted(sql) as conn:
        for prove in (faults, faults_since_checkpoint):
            said = await prove(conn)
            assert any(sentence in its for its in said), said
            assert all(books.store_id in its for its in said)
    assert await faults_since_checkpoint(Conn(admin)) == []
    async with corrupted(sql) as conn:
        prove = faults_since_checkpoint if sql.startswith("UPDATE account") else faults
        assert any(sentence in its for its in await prove(conn))


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE entry SET amount_minor = 8 WHERE sequence = 4",
        "UPDATE entry SET hash = 'x' WHERE sequence = 4",
        "UPDATE entry SET parts = '[[3, 7]]' WHERE sequence = 4",
        "DELETE FROM entry WHERE sequence = 4",
        "UPDATE credit_grant SET left_minor = left_minor - 1 WHERE sequence = 1",
    ],
)
async def test_what_is_wrong_since_a_checkpoint_is_found_from_it(books, corrupted, admin, sql):
    assert await faults_since_checkpoint(Conn(admin)) == []
    customer = (await books.row("SELECT customer_id FROM account"))["customer_id"]
    await books.append(books.gift(customer, 7))
    async with corrupted(sql) as conn:
        assert await faults_since_checkpoint(conn)


async def test_a_faulty_account_gets_no_checkpoint_and_others_do(books, corrupted):
    await books.funded(1)
    async with corrupted("UPDATE entry SET hash = 'x' WHERE sequence = 2") as conn:
        assert await faults_since_checkpoint(conn)
        kept = await conn.rows("SELECT balance_minor FROM checkpoint WHERE store_id = $1", books.store_id)
        assert [row["balance_minor"] for row in kept] == [1]
        assert await faults_since_checkpoint(conn)


async def test_a_checkpoint_that_is_wrong_is_found_and_mended_by_the_whole(books, admin):
    assert await faults_since_checkpoint(Conn(admin)) == []
    await admin.execute("UPDATE checkpoint SET balance_minor = balance_minor + 1 WHERE store_id = $1", books.store_id)
    assert await faults_since_checkpoint(Conn(admin))
    assert await faults(Conn(admin)) == []
    assert await faults_since_checkpoint(Conn(admin)) == []


async def test_from_a_checkpoint_only_what_is_new_is_followed(books, admin, monkeypatch):
    assert await faults_since_checkpoint(Conn(admin)) == []
    customer = (await books.row("SELECT customer_id FROM account"))["customer_id"]
    await books.append(books.gift(customer, 7))
    followed = []
    monkeypatch.setattr("wallet.chain.link", lambda *asked: followed.append(asked[2].sequence) or asked[2].hash)
    assert await faults_since_checkpoint(Conn(admin)) == []
    assert followed == [4]


async def test_books_of_many_pages_are_followed_to_their_end(books, admin, monkeypatch):
    """A page of accounts has more entries than are read at once."""
    monkeypatch.setattr("wallet.store_proof._ENTRIES", 2)
    monkeypatch.setattr("wallet.store_proof._ACCOUNTS", 2)
    for amount in range(1, 6):
        await books.append(*[books.gift(await books.funded(amount), 1)] * 3)
    assert await faults(Conn(admin)) == []
    assert await admin.fetchval("SELECT count(*) FROM checkpoint WHERE store_id = $1", books.store_id) == 6


async def test_an_entry_without_an_account_is_found(books, corrupted, admin):
    async with corrupted("UPDATE entry SET reason = 'x' WHERE sequence = 1") as conn:
        await admin.execute(
            """
            INSERT INTO entry (store_id, entry_id, customer_id, sequence, type, debit_account, credit_account, hash,
                               amount_minor, balance_after_minor, currency, cause_kind, cause_id, posted_at)
            SELECT store_id, 'tx', 'nobody', 1, type, debit_account, credit_account, hash, amount_minor, amount_minor,
                   currency, cause_kind, cause_id, posted_at FROM entry WHERE store_id = $1 AND sequence = 1
            """,
            books.store_id,
        )
        for prove in (faults, faults_since_checkpoint):
            assert [its for its in await prove(conn) if "nobody" in its and "has entries and no account" in its]


async def test_sound_books_are_clean(books, worker):
    async with worker.transaction() as conn:
        assert await faults(conn) == []
        assert await faults_since_checkpoint(conn) == []


@pytest.fixture
def verify(database, capsys):
    """`await verify()`: what `python -m wallet verify` ends with and prints."""
    settings = settings_for(service, database.api_url, database.worker_url)

    async def run(*, whole=False):
        return await service._verify(settings, whole=whole), capsys.readouterr().out

    return run


async def test_the_command_says_clean_or_what_is_wrong(books, admin, verify):
    assert await verify() == (0, "wallet: clean\n")
    await admin.execute("ALTER TABLE entry DISABLE TRIGGER append_only")
    spoil = "UPDATE entry SET hash = $1 WHERE store_id = $2 AND sequence = 1 RETURNING hash"
    sound = await admin.fetchval("SELECT hash FROM entry WHERE store_id = $1 AND sequence = 1", books.store_id)
    await admin.fetchval(spoil, b"x", books.store_id)
    assert await verify() == (0, "wallet: clean\n")
    code, said = await verify(whole=True)
    assert (code, said.count("does not continue the chain of hashes")) == (1, 2)
    await admin.fetchval(spoil, sound, books.store_id)
    await admin.execute("ALTER TABLE entry ENABLE ALWAYS TRIGGER append_only")
    assert await verify(whole=True) == (0, "wallet: clean\n")
