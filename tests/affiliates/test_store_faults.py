"""The proof of the books finds what is wrong with them, and the database refuses most of it in the first place."""

import asyncio
from dataclasses import replace

import asyncpg
import pytest

from affiliates import store_commissions, store_journal
from affiliates.claims import Claim, moved
from affiliates.journal import Kind
from affiliates.store_faults import faults
from chassis import clock, ids, replies
from chassis.db import Conn
from contracts.ids import CLAIM

ADDRESS = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"


@pytest.fixture
async def books(shop, database):
    """A store with pending and payable commissions and a completed conversion."""
    customer = await shop.enrol()
    await shop.order(base=50_000)
    await asyncio.gather(shop.convert(customer, 10), shop.answer())
    await shop.program(waiting_days=14)
    await shop.order()
    admin = await asyncpg.connect(database.admin_url)
    yield shop, admin
    await admin.close()


@pytest.fixture
async def full(books, monkeypatch):
    """The same with a held and a denied commission, clicks, two payouts, one sent and one settling, and a merge."""
    monkeypatch.setattr(replies.Waiters.wait, "__defaults__", (0.01,))
    shop, admin = books
    (customer,) = [row["customer_id"] for row in await shop.rows(AFFILIATES, shop.store_id)]
    for what in ("hold", "deny"):
        order = await shop.order()
        (row,) = await shop.rows("SELECT commission_id FROM commission WHERE order_id = $1", order.order_id)
        body = {"reason": "terms"} if what == "deny" else None
        path = f"/dev/v1/affiliates/commissions/{row['commission_id']}/{what}"
        assert (await shop.client.post(path, body, key=ids.new("key"))).status == 200
    for way in ("sent", "settle"):
        path, asked = f"/dev/v1/customers/{customer}/affiliate/payout-requests", {"asset": "USDT", "network": "tron"}
        made = await shop.client.post(path, asked | {"amount": 5, "address": ADDRESS}, key=ids.new("key"))
        path = f"/dev/v1/affiliates/payouts/{made.data['claim_id']}"
        assert (await shop.client.post(f"{path}/approve")).status == 200
        body = {"transaction_hash": "ab" * 32} if way == "sent" else None
        assert (await shop.client.post(f"{path}/{way}", body, key=ids.new("key"))).status < 300
    click = {"code": "creator123", "visitor": "v", "bot": False, "at": clock.now().isoformat()}
    batch = {"batch_id": ids.new("batch"), "clicks": [click, click]}
    assert (await shop.client.post("/internal/v1/clicks", batch)).status == 200
    await shop.program(waiting_days=0)
    other = await shop.enrol("other-code")
    await shop.order(code="other-code")
    await shop.merge(other, customer)
    await shop.follow()
    return shop, admin


AFFILIATES = "SELECT customer_id FROM affiliate WHERE store_id = $1"

TAMPERING = {
    "has 4100 settled, its journal makes 4000": "UPDATE affiliate SET settled_minor = settled_minor + 100 WHERE store_id = $1",
    "has 1001 pending, its commissions and claims make 1000": "UPDATE affiliate SET pending_minor = pending_minor + 1 WHERE store_id = $1",
    "has 1000 converted, its commissions and claims make 0": (
        "UPDATE claim SET status = 'FAILED', reason = 'cap', wallet_transaction_id = NULL, balance_after_minor = NULL"
        " WHERE store_id = $1"
    ),
    "owes 999 for a base of 10000": "UPDATE commission SET amount_minor = 999 WHERE store_id = $1 AND state = 'pending'",
    ", 1001 in all, its journal 1, 1000 in all": "UPDATE journal_day SET moved_minor = moved_minor + 1 WHERE store_id = $1",
    "has 2 reserved from settled to requested": "UPDATE journal_day SET moves = moves + 1 WHERE store_id = $1",
    "has 0 converted from requested to converted": "DELETE FROM journal_day WHERE store_id = $1",
    "owes 1000, its postings make 0": "DELETE FROM journal WHERE store_id = $1 AND kind = 'earned' AND target = 'pending'",
    "is at turn 1 and version 1, its postings at 2 and 1": "UPDATE journal SET turn = 2 WHERE store_id = $1 AND kind = 'earned'",
    "is at turn 1 and version 1, its postings at 1 and 3": "UPDATE journal SET order_version = 3 WHERE store_id = $1 AND kind = 'earned'",
    'is COMPLETED over 1000, its postings are {"reserved 1000"}': "DELETE FROM journal WHERE store_id = $1 AND kind = 'converted'",
    "is unknown over , its postings are": "DELETE FROM claim WHERE store_id = $1",
    "is PROCESSING, and nobody asks the wallet": (
        "UPDATE claim SET status = 'PROCESSING', wallet_transaction_id = NULL, balance_after_minor = NULL,"
        " ended_at = NULL WHERE store_id = $1"
    ),
    "took 1000, which left -1000": "DELETE FROM journal WHERE store_id = $1 AND kind = 'earned' AND target = 'settled'",
    "has 3 sales of 60000, its commissions make 2 of 60000": "UPDATE link SET total_sales = 3 WHERE store_id = $1",
    "is active, and came to be suspended": "UPDATE standing SET state = 'suspended' WHERE store_id = $1",
    "is suspended, and came to be active": "UPDATE affiliate SET state = 'suspended' WHERE store_id = $1",
    "has no link": "DELETE FROM link WHERE store_id = $1",
}

MORE_TAMPERING = {
    "is held for terms": "UPDATE commission SET reason = 'terms' WHERE store_id = $1 AND state = 'held'",
    "is denied for not_active": "UPDATE commission SET reason = 'not_active' WHERE store_id = $1 AND state = 'denied'",
    "is held for staff, and held for fraud": "UPDATE commission SET held_for = 'fraud' WHERE store_id = $1 AND state = 'held'",
    "is payable for , and held for staff": "UPDATE commission SET held_for = 'staff' WHERE store_id = $1",
    "is held for fraud, and nobody has said so": "UPDATE commission SET reason = 'fraud' WHERE store_id = $1 AND state = 'held'",
    "is held for fraud, and staff had cleared it": (
        "UPDATE commission SET reason = 'fraud', cleared_at = earned_at WHERE store_id = $1 AND state = 'held'"
    ),
    'is CONFIRMED over 500, its postings are {"reserved 500"}': (
        "UPDATE claim SET status = 'CONFIRMED', ended_at = created_at WHERE store_id = $1 AND status = 'SENT'"
    ),
    "has 1000 requested, its commissions and claims make 500": (
        "UPDATE claim SET status = 'REJECTED', reason = 'rejected', ended_at = created_at"
        " WHERE store_id = $1 AND status = 'SENT'"
    ),
    "is SENT, and nobody has approved it": "UPDATE claim SET approvals = '{}' WHERE store_id = $1",
    "has approvals of {staff:eve}, known are those of {merchant:key_test}": (
        "UPDATE claim SET approvals = ARRAY['staff:eve'] WHERE store_id = $1 AND status = 'SENT'"
    ),
    "has approvals of {merchant:key_test,merchant:key_test}, known are": (
        "UPDATE claim SET approvals = approvals || approvals WHERE store_id = $1 AND status = 'SENT'"
    ),
    "is PROCESSING, and nobody asks the wallet": "DELETE FROM ask WHERE store_id = $1",
    "is FAILED, and the wallet is still being asked": (
        "UPDATE claim SET status = 'FAILED', reason = 'cap', ended_at = created_at"
        " WHERE store_id = $1 AND status = 'PROCESSING'"
    ),
    "is over 500 and a bonus of 50, the wallet is asked for 500": (
        "UPDATE claim SET bonus_minor = 50 WHERE store_id = $1 AND status = 'PROCESSING'"
    ),
    "is a payout with a bonus of 50": "UPDATE claim SET bonus_minor = 50 WHERE store_id = $1 AND status = 'SENT'",
    "moved 1000 from program to settled, and": (
        "DELETE FROM journal WHERE store_id = $1 AND kind = 'merged' AND target = 'program'"
    ),
    "and neither became the other": "UPDATE affiliate SET merged_into = NULL WHERE store_id = $1",
    "and still has links": (
        "UPDATE link SET affiliate_id = (SELECT affiliate_id FROM affiliate WHERE merged_into IS NOT NULL"
        " AND store_id = $1) WHERE store_id = $1 AND code = 'other-code'"
    ),
    "who was merged into": (
        "UPDATE affiliate SET merged_into = affiliate_id, state = 'suspended'"
        " WHERE store_id = $1 AND merged_into IS NULL"
    ),
    "who bought it": (
        "UPDATE commission SET customer_id = (SELECT customer_id FROM affiliate WHERE merged_into IS NOT NULL"
        " AND store_id = $1) WHERE store_id = $1"
    ),
    "has 1 clicks on": "UPDATE click_day SET clicks = 1, unique_clicks = 2 WHERE store_id = $1",
    "has 3 clicks in all, 1 of them unique, its days make 2 and 1": "UPDATE click_total SET clicks = 3 WHERE store_id = $1",
    "has 2 clicks in all, 2 of them unique, its days make 2 and 1": (
        "UPDATE click_total SET unique_clicks = 2 WHERE store_id = $1"
    ),
    "has 0 clicks in all, 0 of them unique, its days make 2 and 1": "DELETE FROM click_total WHERE store_id = $1",
    "has 2 clicks in all, 1 of them unique, its days make 0 and 0": "DELETE FROM click_day WHERE store_id = $1",
    "0 of them unique, and 1 visitors": "UPDATE click_day SET unique_clicks = 0 WHERE store_id = $1",
}


async def test_what_was_tampered_with_is_found(books):
    assert await unfound(*books, TAMPERING) == {}


async def test_what_was_tampered_with_is_found_in_full_books(full):
    assert await unfound(*full, MORE_TAMPERING) == {}


async def unfound(shop, admin, tampering):
    """The sentences that the proof does not say, and what it says instead."""
    assert await shop.faults() == []
    said = {}
    for sentence, change in tampering.items():
        transaction = admin.transaction()
        await transaction.start()
        await admin.execute("SET LOCAL session_replication_role = replica")
        await admin.execute("ALTER TABLE journal DISABLE TRIGGER append_only")
        await admin.execute("ALTER TABLE click_day DROP CONSTRAINT unique_are_clicks")
        await admin.execute(change, shop.store_id)
        said[sentence] = await store_faults_of(admin)
        await transaction.rollback()
    return {sentence: its for sentence, its in said.items() if not any(sentence in fault for fault in its)}


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
    claim = Claim(shop.store_id, line["claim_id"], line["affiliate_id"], "cus", 1000, "EUR", clock.now(), clock.now())
    back = replace(moved(None, claim)[0], kind=Kind.RETURNED, source="requested", target="settled")
    with pytest.raises(asyncpg.UniqueViolationError):
        async with shop.worker.transaction() as conn:
            await store_journal.post(conn, [back])


async def test_a_bucket_never_falls_below_zero(books):
    shop, _ = books
    (line,) = await lines(shop, "converted")
    claim = Claim(shop.store_id, ids.new(CLAIM), line["affiliate_id"], "cus", 1, "EUR", clock.now(), clock.now())
    unfounded = replace(moved(None, claim)[0], kind=Kind.CONVERTED, source="requested", target="converted")
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
