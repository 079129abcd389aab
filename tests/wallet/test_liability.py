"""What a store owes its customers, by age, type and when it expires."""

from datetime import timedelta

import pytest
from serving import merchant

from contracts.wallet import EntryType
from wallet.postings import Expire, Expiry, Post, Reverse

PATH = "/dev/v1/wallet/liability"


@pytest.fixture
def give(ledger, on):
    """`await give(customer, amount, days)`: credit granted so many days before 2026-06-01, to expire so many after."""

    async def given(customer, amount, ago, kind=EntryType.ADJUSTMENT, expires=None):
        today = on(2026, 6, 1)
        on(*(today - timedelta(days=ago)).timetuple()[:3])
        expiry = Expiry.NEVER if expires is None else today + timedelta(days=expires)
        (outcome,) = await ledger.append(Post(customer, kind, amount, "EUR", expires_at=expiry))
        on(2026, 6, 1)
        return outcome.entry

    return given


async def liability(store):
    told = (await store.get(PATH)).data
    by_age = {
        (row["age_days"], row["type"]): (row["amount"], row["held"], row["grants"], row["customers"])
        for row in told["by_age"]
    }
    assert len(by_age) == len(told["by_age"])
    return told, by_age


async def test_a_store_that_gave_nothing_owes_nothing(store, on):
    on(2026, 6, 1)
    assert (await store.get(PATH)).data == {
        "currency": "EUR",
        "at": "2026-06-01T00:00:00Z",
        "total": 0,
        "held": 0,
        "available": 0,
        "debt": 0,
        "customers": 0,
        "by_age": [],
        "expiring": {"within_30_days": 0, "within_90_days": 0, "within_365_days": 0, "later": 0, "never": 0},
    }


async def test_credit_is_told_by_age_and_type(store, ledger, give):
    one, two = sorted([ledger.customer(), ledger.customer()])
    for customer, ago in ((one, 366), (one, 365), (one, 181), (one, 180), (one, 91), (one, 90), (one, 31), (one, 30)):
        await give(customer, 100, ago)
    await give(two, 100, 30)
    await give(two, 100, 0)
    await give(two, 250, 0, EntryType.PROMO)
    told, by_age = await liability(store)
    assert list(by_age.items()) == [
        (("0-30", "ADJUSTMENT"), (3, 0, 3, 2)),
        (("0-30", "PROMO"), (2.5, 0, 1, 1)),
        (("31-90", "ADJUSTMENT"), (2, 0, 2, 1)),
        (("91-180", "ADJUSTMENT"), (2, 0, 2, 1)),
        (("181-365", "ADJUSTMENT"), (2, 0, 2, 1)),
        (("over 365", "ADJUSTMENT"), (1, 0, 1, 1)),
    ]
    assert (told["total"], told["customers"]) == (12.5, 2)


async def test_what_expires_within_a_time_holds_what_expires_sooner(store, ledger, give):
    customer = ledger.customer()
    for amount, days in ((100, 30), (200, 31), (400, 90), (800, 365), (1600, 366), (3200, None)):
        await give(customer, amount, 0, expires=days)
    told, _ = await liability(store)
    assert told["expiring"] == {
        "within_30_days": 1,
        "within_90_days": 7,
        "within_365_days": 15,
        "later": 16,
        "never": 32,
    }
    assert told["total"] == 63


async def test_what_is_spent_expired_held_or_owed_is_told_as_it_is(store, ledger, give, worker):
    spender, holder, debtor = (ledger.customer() for _ in range(3))
    await give(spender, 1_000, 100)
    await give(spender, 500, 10, expires=-1)
    await ledger.append(ledger.gift(spender, -400))
    await ledger.append(Expire(spender))
    await give(holder, 1_000, 50, expires=-1)  # waits for the hold
    taken_back = await give(debtor, 900, 10)
    await ledger.append(ledger.gift(debtor, -900))
    await ledger.append(Reverse(taken_back))
    told, by_age = await liability(store)
    assert by_age[("91-180", "ADJUSTMENT")] == (6, 0, 1, 1)
    assert (told["debt"], told["customers"]) == (9, 2)

    held = ledger.customer()
    await give(held, 1_000, 40, expires=20)
    purchase = ledger.Purchase(held, 700)
    await ledger.append(purchase.place)
    told, by_age = await liability(store)
    assert by_age[("31-90", "ADJUSTMENT")] == (20, 7, 2, 2)
    assert (told["held"], told["available"]) == (7, told["total"] - 7)

    await ledger.append(purchase.capture)
    told, by_age = await liability(store)
    assert by_age[("31-90", "ADJUSTMENT")] == (13, 0, 2, 2)
    async with worker.transaction() as conn:
        balances = await conn.value("SELECT sum(balance_minor) FROM account WHERE store_id = $1", ledger.store_id)
    assert round(told["total"] * 100) == balances


async def test_a_credit_that_was_all_spent_on_debt_is_not_owed(store, ledger, give):
    customer = ledger.customer()
    taken_back = await give(customer, 900, 10)
    await ledger.append(ledger.gift(customer, -900))
    await ledger.append(Reverse(taken_back))
    await give(customer, 500, 0, EntryType.PROMO)
    told, by_age = await liability(store)
    assert (told["total"], told["debt"], by_age) == (0, 4, {})
    await give(customer, 500, 0, EntryType.PROMO)
    told, by_age = await liability(store)
    assert (told["total"], told["debt"], by_age) == (1, 0, {("0-30", "PROMO"): (1, 0, 1, 1)})


async def test_liability_and_the_statement_agree(store, ledger, give):
    for ago in (5, 50, 500):
        await give(ledger.customer(), 1_000 + ago, ago)
    told, _ = await liability(store)
    statement = (await store.get("/dev/v1/wallet/statement?from=2026-05-01T00:00:00Z&to=2026-06-01T00:00:00Z")).data
    assert told["total"] == statement["closing_balance"] == 35.55


async def test_another_store_owes_nothing_and_writing_is_not_reading(served, ledger, give, new_store):
    await give(ledger.customer(), 1_000, 5)
    assert (await served.as_(merchant(await new_store())).get(PATH)).data["total"] == 0
    assert (await served.as_(merchant(ledger.store_id, ["wallet.write"])).get(PATH)).status == 403
