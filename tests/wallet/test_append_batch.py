"""The ledger's only writer, on the real database."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace

import asyncpg
import pytest
from handling import somebody_waits

from wallet import store
from wallet.postings import Captured, Placed, Posted, Refused, Released, Reverse


def only(kind, outcomes):
    return [outcome for outcome in outcomes if isinstance(outcome, kind)]


async def test_a_thousand_postings_on_one_customer_are_one_chain(ledger):
    customer = ledger.customer()
    outcomes = await ledger.append(*(ledger.gift(customer, 1) for _ in range(1000)))
    assert [outcome.entry.sequence for outcome in outcomes] == list(range(1, 1001))
    assert outcomes[-1].entry.balance_after_minor == 1000
    assert await ledger.balance(customer) == (1000, 0)


async def spend_at_once(ledger, postings):
    """How many of these were granted, each asked for in a transaction of its own, all at once."""
    return len(only(Posted | Placed, await ledger.append_each(postings)))


async def test_two_hundred_spenders_at_once_spend_exactly_what_is_there(ledger):
    customer = await ledger.funded(50)
    assert await spend_at_once(ledger, [ledger.gift(customer, -1)] * 200) == 50
    assert await ledger.balance(customer) == (0, 0)


async def test_two_hundred_holds_at_once_set_aside_exactly_what_is_there(ledger):
    customer = await ledger.funded(50)
    assert await spend_at_once(ledger, [ledger.Purchase(customer, 1).place for _ in range(200)]) == 50
    assert await ledger.balance(customer) == (50, 50)


async def test_without_the_lock_spenders_are_not_counted_right(ledger, monkeypatch):
    """The planted fault: two spenders read without locking, and only the gap-free sequence stops the second."""

    both = asyncio.Barrier(2)

    async def read_unlocked(conn, store_id, customer_ids):
        rows = await conn.rows(
            "SELECT customer_id, currency, balance_minor, held_minor, debt_minor, sequence, hash, due_at FROM account "
            "WHERE store_id = $1",
            store_id,
        )
        await both.wait()
        epoch = await conn.value("SELECT id FROM epoch")
        return {row["customer_id"]: store.Account(*row) for row in rows}, store.Terms(), epoch

    customer = await ledger.funded(50)
    monkeypatch.setattr(store, "_lock_accounts", read_unlocked)
    with pytest.raises(asyncpg.UniqueViolationError, match="sequence"):
        await spend_at_once(ledger, [ledger.gift(customer, -1)] * 2)


@pytest.fixture
async def stuck(ledger, api, worker):
    """`await stuck(customers, block)`: a batch for customers 2, 1, 0 that waits for what ``block`` did to customer 1."""
    begun = []

    async def get_stuck(customers, block):
        blocker = worker.transaction()
        conn = await blocker.__aenter__()
        await conn.execute(block, ledger.store_id, customers[1])
        begun.append((asyncio.create_task(batch(customers)), blocker))
        await somebody_waits(worker)

    async def batch(customers):
        async with api.transaction(ledger.store_id) as conn:
            # The order of the index would hide that nobody asked for one.
            await conn.execute("SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off")
            await store.append_batch(conn, ledger.store_id, [ledger.gift(customer, 1) for customer in customers[::-1]])

    yield get_stuck
    for waiting, blocker in begun:
        await blocker.__aexit__(None, None, None)
        await waiting


async def test_accounts_are_locked_in_one_order_whatever_the_order_of_the_postings(ledger, worker, stuck):
    """Else two batches could wait in a circle."""
    customers = sorted(ledger.customer() for _ in range(3))
    for customer in customers[::-1]:
        await ledger.append(ledger.gift(customer, 1))
    await stuck(customers, "SELECT FROM account WHERE store_id = $1 AND customer_id = $2 FOR UPDATE")
    async with worker.transaction() as conn:
        sql = "SELECT customer_id FROM account WHERE store_id = $1 FOR UPDATE SKIP LOCKED"
        assert [row[0] for row in await conn.rows(sql, ledger.store_id)] == [customers[2]]


async def test_missing_accounts_are_opened_in_the_same_order(ledger, worker, stuck):
    customers = sorted(ledger.customer() for _ in range(3))
    opened = "INSERT INTO account (store_id, customer_id, currency) VALUES ($1, $2, 'EUR')"
    await stuck(customers, opened)
    async with worker.transaction() as conn:
        await conn.execute("SET LOCAL lock_timeout = '1s'")
        await conn.execute(opened, ledger.store_id, customers[2])


async def test_a_claim_in_one_batch_twice_is_credited_once(ledger):
    customer = ledger.customer()
    claim = ledger.credit(customer, 25)
    first, second = await ledger.append(claim, claim)
    assert second == first._replace(again=True)
    assert await ledger.balance(customer) == (25, 0)


async def test_a_claim_in_many_batches_at_once_is_credited_once(ledger):
    customer = ledger.customer()
    claim = ledger.credit(customer, 25)
    outcomes = await ledger.append_each([claim] * 20)
    assert len({outcome.entry for outcome in outcomes}) == 1
    assert [outcome.again for outcome in outcomes].count(False) == 1
    assert await ledger.balance(customer) == (25, 0)


async def test_the_database_alone_refuses_a_second_entry_for_a_claim(ledger, monkeypatch):
    """The planted fault: the answer is not looked up, and the unique key is the lock that holds."""

    async def nothing_known(*_):
        return {}

    claim = ledger.credit(ledger.customer(), 25)
    await ledger.append(claim)
    monkeypatch.setattr(store.store_book, "answers", nothing_known)
    with pytest.raises(asyncpg.UniqueViolationError, match="entry_cause"):
        await ledger.append(claim)


async def test_a_claim_that_comes_again_is_answered_with_the_same_figures(ledger):
    customer = ledger.customer()
    claim = ledger.credit(customer, 25)
    await ledger.append(claim)
    await ledger.append(ledger.gift(customer, 100))
    await ledger.append(claim)
    first, _, again = ledger.told
    assert again == first
    assert (again.balance_after_minor, again.cause.kind) == (25, "claim")


async def indebted(ledger, debt):
    """A customer who owes this much."""
    customer = ledger.customer()
    given, _ = await ledger.append(ledger.gift(customer, debt), ledger.gift(customer, -debt))
    await ledger.append(Reverse(given.entry))
    return customer


async def test_a_claim_that_pays_debt_is_answered_with_what_is_left_each_time(ledger):
    customer = await indebted(ledger, 6)
    claim = ledger.credit(customer, 10)
    (first,) = await ledger.append(claim)
    credit, debit = ledger.told[-2:]
    assert (credit.type, credit.amount_minor, credit.balance_after_minor, credit.settled_balance_minor) == (
        "CREDIT",
        10,
        10,
        4,
    )
    assert (debit.type, debit.amount_minor, debit.cause.kind, debit.balance_after_minor) == ("DEBIT", -6, "debt", 4)
    await ledger.append(ledger.gift(customer, 100))
    assert await ledger.append(claim) == [first._replace(again=True)]
    assert ledger.told[-1] == credit


async def test_a_claim_that_pays_debt_in_one_batch_twice_is_answered_alike(ledger):
    claim = ledger.credit(await indebted(ledger, 6), 10)
    first, again = await ledger.append(claim, claim)
    assert again == first._replace(again=True)
    assert ledger.told[-1] == ledger.told[-3]


async def test_the_database_alone_refuses_a_second_reversal(ledger, monkeypatch):
    """The planted fault: that it was reversed is not looked up."""

    async def nothing_known(*_):
        return {}

    (given,) = await ledger.append(ledger.gift(ledger.customer(), 25))
    await ledger.append(Reverse(given.entry))
    monkeypatch.setattr(store.store_book, "answers", nothing_known)
    with pytest.raises(asyncpg.UniqueViolationError, match="entry_cause"):
        await ledger.append(Reverse(given.entry))


async def test_a_claim_that_came_before_is_not_decided_again(ledger, terms):
    """Neither the cap nor the dates of today count for it."""
    claim = ledger.credit(ledger.customer(), 25)
    (first,) = await ledger.append(claim)
    await terms(days=1, cap=1)
    assert await ledger.append(claim) == [first._replace(again=True)]


async def test_a_refused_claim_is_refused_again_whatever_changed(ledger):
    customer = await ledger.funded(10**15 - 1)
    claim = ledger.credit(customer, 1)
    assert await ledger.append(claim) == [Refused("balance_limit")]
    await ledger.append(ledger.gift(customer, -100))
    assert await ledger.append(claim) == [Refused("balance_limit")]
    assert [event.TYPE for event in ledger.told].count("wallet.credit_refused") == 2


async def test_a_purchase_is_held_captured_and_told(ledger):
    customer = await ledger.funded(100)
    purchase = ledger.Purchase(customer, 30)
    await ledger.append(purchase.place)
    (captured,) = await ledger.append(purchase.capture)
    assert await ledger.balance(customer) == (70, 0)
    posted, told = ledger.told[-2:]
    assert (posted.TYPE, posted.amount_minor, posted.cause.id) == ("wallet.posted", -30, purchase.order_id)
    assert (told.TYPE, told.entry_id, told.amount_minor) == ("wallet.captured", captured.entry.entry_id, 30)


async def test_a_whole_purchase_in_one_batch_is_decided_in_order(ledger):
    customer = await ledger.funded(100)
    one, other = ledger.Purchase(customer, 60), ledger.Purchase(customer, 60)
    outcomes = await ledger.append(one.place, other.place, one.capture, other.capture, one.release, other.release)
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds == [Placed, Refused, Captured, Refused, Captured, Released]
    assert await ledger.balance(customer) == (40, 0)


async def test_a_capture_that_comes_again_tells_the_same_and_posts_nothing(ledger):
    purchase = ledger.Purchase(await ledger.funded(100), 30)
    await ledger.append(purchase.place)
    await ledger.append(purchase.capture)
    first = ledger.told[-1]
    await ledger.append(purchase.capture)
    assert [event.TYPE for event in ledger.told].count("wallet.posted") == 2
    assert ledger.told[-1] == first


async def test_captures_and_releases_of_one_hold_at_once_end_it_once(ledger):
    customer = await ledger.funded(100)
    purchase = ledger.Purchase(customer, 30)
    await ledger.append(purchase.place)
    outcomes = await ledger.append_each([purchase.capture, purchase.release] * 10)
    captured = len(only(Captured, outcomes)) == 20
    assert captured or (len(only(Released, outcomes)), len(only(Refused, outcomes))) == (10, 10)
    assert await ledger.balance(customer) == ((70, 0) if captured else (100, 0))


async def test_a_capture_after_the_release_is_refused(ledger):
    purchase = ledger.Purchase(await ledger.funded(100), 30)
    await ledger.append(purchase.place)
    await ledger.append(purchase.release)
    assert await ledger.append(purchase.capture) == [Refused("hold_ended")]
    assert await ledger.balance(purchase.customer_id) == (100, 0)


async def test_a_hold_released_before_it_was_asked_for_is_never_placed(ledger):
    purchase = ledger.Purchase(await ledger.funded(100), 30)
    (released,) = await ledger.append(purchase.release)
    assert released.reason == "unknown_hold"
    assert await ledger.append(purchase.place) == [Refused("hold_ended")]
    assert await ledger.balance(purchase.customer_id) == (100, 0)


async def test_a_hold_captured_before_it_was_asked_for_is_never_placed(ledger):
    purchase = ledger.Purchase(await ledger.funded(100), 30)
    assert await ledger.append(purchase.capture) == [Refused("unknown_hold")]
    assert await ledger.append(purchase.place) == [Refused("hold_ended")]


async def test_a_hold_asked_for_twice_is_placed_once(ledger):
    purchase = ledger.Purchase(await ledger.funded(100), 30)
    assert await ledger.append(purchase.place) == await ledger.append(purchase.place)
    assert await ledger.balance(purchase.customer_id) == (100, 30)


async def test_a_hold_is_captured_where_it_was_placed(ledger):
    """The customer was merged since: the request names the one who acts for them."""
    purchase, acting = ledger.Purchase(await ledger.funded(100), 30), await ledger.funded(500)
    await ledger.append(purchase.place)
    moved = ledger.Purchase(acting, 30, purchase.hold_id, purchase.order_id)
    await ledger.append(moved.capture)
    assert await ledger.balance(purchase.customer_id) == (70, 0)
    assert await ledger.balance(acting) == (500, 0)


async def test_a_note_is_kept_apart_from_its_entry(ledger):
    (outcome,) = await ledger.append(ledger.gift(ledger.customer(), 5, note="sorry"))
    assert await ledger.row("SELECT entry_id, note FROM entry_note") == (outcome.entry.entry_id, "sorry")


async def test_every_event_tells_the_epoch_of_this_database(ledger):
    await ledger.append(ledger.gift(ledger.customer(), 5))
    assert ledger.told[0].epoch == (await ledger.row("SELECT id FROM epoch"))["id"]


async def test_an_empty_batch_is_nothing(ledger):
    assert await ledger.append() == []


async def test_no_entry_is_posted_before_the_one_before_it_whatever_the_clocks_say(ledger, monkeypatch):
    customer = await ledger.funded(5)
    now = store.clock.now()
    monkeypatch.setattr(store, "clock", SimpleNamespace(now=lambda: now - timedelta(hours=1)))
    (later,) = await ledger.append(ledger.gift(customer, 5))
    assert later.entry.posted_at == ledger.told[0].posted_at
