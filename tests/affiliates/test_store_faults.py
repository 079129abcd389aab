"""The proof of the books finds what is wrong with them, and the database refuses most of it in the first place."""

import asyncio
from dataclasses import replace

import asyncpg
import pytest

from affiliates import store_commissions, store_journal
from affiliates.claims import Claim, moved
from affiliates.journal import Kind
from affiliates.store_faults import faults
from chassis import clock, ids
from chassis.db import Conn
from contracts.ids import CLAIM


@pytest.fixture
async def books(shop, database):
    """A store with every kind of thing: pending and payable commissions, a completed, a failed and an open claim."""
    customer = await shop.enrol()
    await shop.order(base=50_000)
    await asyncio.gather(shop.convert(customer, 10), shop.answer())
    await shop.program(waiting_days=14)
    await shop.order()
    admin = await asyncpg.connect(database.admin_url)
    yield shop, admin
    await admin.close()


TAMPERING = {
    "has 4100 settled, its journal makes 4000": "UPDATE affiliate SET settled_minor = settled_minor + 100 WHERE store_id = $1",
    "has 1001 pending, its commissions make 1000": "UPDATE affiliate SET pending_minor = pending_minor + 1 WHERE store_id = $1",
    "owes 999 for a base of 10000": "UPDATE commission SET amount_minor = 999 WHERE store_id = $1 AND state = 'pending'",
    "owes 1000, its postings make 0": "DELETE FROM journal WHERE store_id = $1 AND kind = 'earned' AND target = 'pending'",
    'is COMPLETED over 1000, its postings are {"reserved 1000"}': "DELETE FROM journal WHERE store_id = $1 AND kind = 'converted'",
    "is unknown over , its postings are": "DELETE FROM claim WHERE store_id = $1",
    "nobody asks the wallet": (
        "UPDATE claim SET status = 'PROCESSING', wallet_transaction_id = NULL, balance_after_minor = NULL,"
        " ended_at = NULL WHERE store_id = $1"
    ),
    "took 1000, which left -1000": "DELETE FROM journal WHERE store_id = $1 AND kind = 'earned' AND target = 'settled'",
    "has 3 sales of 60000, its commissions make 2 of 60000": "UPDATE link SET total_sales = 3 WHERE store_id = $1",
    "has no link": "DELETE FROM link WHERE store_id = $1",
}


@pytest.mark.parametrize("sentence", TAMPERING)
async def test_what_was_tampered_with_is_found(books, sentence):
    shop, admin = books
    assert await shop.faults() == []
    transaction = admin.transaction()
    await transaction.start()
    await admin.execute("SET LOCAL session_replication_role = replica")
    await admin.execute("ALTER TABLE journal DISABLE TRIGGER append_only")
    await admin.execute(TAMPERING[sentence], shop.store_id)
    found = await store_faults_of(admin)
    await transaction.rollback()
    assert any(sentence in fault for fault in found), found


async def store_faults_of(admin):
    return await faults(Conn(admin))


@pytest.mark.parametrize("change", ["UPDATE journal SET amount_minor = 1", "DELETE FROM journal", "TRUNCATE journal"])
async def test_the_journal_is_append_only_also_for_a_superuser(books, change):
    _, admin = books
    with pytest.raises(asyncpg.RestrictViolationError):
        await admin.execute(change)


@pytest.mark.parametrize("role", ["api_url", "worker_url"])
async def test_no_role_may_change_the_journal(books, database, role):
    conn = await asyncpg.connect(getattr(database, role))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.execute("UPDATE journal SET amount_minor = 1")
    finally:
        await conn.close()


async def lines(shop, kind):
    return await shop.rows("SELECT * FROM journal WHERE store_id = $1 AND kind = $2", shop.store_id, kind)


@pytest.mark.parametrize("kind", [Kind.RESERVED, Kind.CONVERTED, Kind.EARNED])
async def test_the_same_movement_twice_is_refused_by_the_database(books, kind):
    """The natural keys hold where inbox and version fold would both have failed."""
    _, admin = books
    columns = "store_id, affiliate_id, kind, source, target, amount_minor, commission_id, order_version, claim_id, at"
    with pytest.raises(asyncpg.UniqueViolationError):
        await admin.execute(f"INSERT INTO journal ({columns}) SELECT {columns} FROM journal WHERE kind = $1", kind)


async def test_a_claim_that_was_converted_is_not_returned_too(books):
    shop, _ = books
    (line,) = await lines(shop, "converted")
    claim = Claim(shop.store_id, line["claim_id"], line["affiliate_id"], "cus", 1000, "EUR", clock.now())
    back = replace(moved(claim, clock.now()), kind=Kind.RETURNED, source="requested", target="settled")
    with pytest.raises(asyncpg.UniqueViolationError):
        async with shop.worker.transaction() as conn:
            await store_journal.post(conn, [back])


async def test_a_bucket_never_falls_below_zero(books):
    shop, _ = books
    (line,) = await lines(shop, "converted")
    claim = Claim(shop.store_id, ids.new(CLAIM), line["affiliate_id"], "cus", 1, "EUR", clock.now())
    unfounded = replace(moved(claim, clock.now()), kind=Kind.CONVERTED, source="requested", target="converted")
    with pytest.raises(asyncpg.CheckViolationError):
        async with shop.worker.transaction() as conn:
            await store_journal.post(conn, [unfounded])


async def test_the_natural_key_alone_keeps_a_replay_from_paying_again(shop, monkeypatch):
    """Planted: the handler never sees what was decided before."""
    customer = await shop.enrol()
    order = await shop.order()

    async def blind(conn, orders):
        return {}

    monkeypatch.setattr(store_commissions, "commissions_of", blind)
    await shop.complete(order, order.model_copy(update={"version": 2, "base_remaining_minor": 99_000}))
    monkeypatch.undo()
    assert (await shop.buckets(customer))["available"] == 10
