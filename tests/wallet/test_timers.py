"""What happens because time passes, on the real database and with a clock that the test sets."""

import asyncio
from types import SimpleNamespace

import pytest
from books import day
from dying import dies

from wallet import store, timers
from wallet.postings import Refused, Released


class Time:
    """So many days after the start, for the ledger and its timers."""

    def __init__(self):
        self.now = day(0)

    def pass_until(self, days):
        self.now = day(days)


@pytest.fixture(autouse=True)
def time(monkeypatch):
    time = Time()
    monkeypatch.setattr(store, "clock", SimpleNamespace(now=lambda: time.now))
    return time


@pytest.fixture
def tick(worker, time, ledger):
    """`await tick(timer)`: one slice; what it told of this test's store."""

    async def run(timer):
        async with worker.transaction() as conn:
            await timer(conn, time.now)
        return [announced.event for announced in conn.announced if announced.event.store_id == ledger.store_id]

    return run


@pytest.fixture
def merge(ledger, worker):
    """`await merge(a, b, c)`: a was merged into b, and that into c."""

    async def merged(*customers):
        async with worker.transaction() as conn:
            for customer, into in zip(customers, [*customers[1:], None], strict=True):
                await conn.execute(
                    "INSERT INTO known_customer (store_id, id, version, state, merged_into) VALUES ($1, $2, 1, $3, $4)",
                    ledger.store_id,
                    customer,
                    "merged" if into else "active",
                    into,
                )

    return merged


def types(events):
    return [event.TYPE for event in events]


async def test_credit_expires_on_its_date_and_once(ledger, tick, time):
    customer = ledger.customer()
    await ledger.append(ledger.gift(customer, 10, expires_at=day(5)), ledger.gift(customer, 1))
    time.pass_until(4.999)
    assert await tick(timers.expire) == []
    time.pass_until(5)
    (told,) = await tick(timers.expire)
    assert (told.TYPE, told.type, told.amount_minor, told.balance_after_minor) == ("wallet.posted", "EXPIRED", -10, 1)
    assert await tick(timers.expire) == []


async def test_credit_that_was_spent_is_looked_at_once_and_no_more(ledger, tick, time):
    customer = ledger.customer()
    await ledger.append(ledger.gift(customer, 10, expires_at=day(5)), ledger.gift(customer, -10))
    time.pass_until(5)
    assert await tick(timers.expire) == []
    assert (await ledger.row("SELECT due_at FROM account WHERE customer_id = $1", customer))["due_at"] is None


async def test_expiry_waits_for_a_hold(ledger, tick, time):
    customer = ledger.customer()
    purchase = ledger.Purchase(customer, 6)
    await ledger.append(ledger.gift(customer, 10, expires_at=day(5)), purchase.place)
    time.pass_until(5)
    assert [event.amount_minor for event in await tick(timers.expire)] == [-4]
    assert await ledger.balance(customer) == (6, 6)
    await ledger.append(purchase.release)
    assert [event.TYPE for event in ledger.told[-2:]] == ["wallet.posted", "wallet.hold_released"]
    assert await ledger.balance(customer) == (0, 0)


async def test_a_slice_has_an_end_and_the_rest_follows(ledger, tick, time, monkeypatch):
    """It is of all stores: what other tests have left is due later than this."""
    monkeypatch.setattr(timers, "_SLICE", 500)
    customers = [ledger.customer() for _ in range(620)]
    await ledger.append(*(ledger.gift(customer, 1, expires_at=day(1)) for customer in customers))
    time.pass_until(1)
    assert [len(await tick(timers.expire)) for _ in range(3)] == [500, 120, 0]


async def test_two_timers_at_once_expire_everything_once(ledger, tick, time):
    customers = [ledger.customer() for _ in range(50)]
    await ledger.append(*(ledger.gift(customer, 1, expires_at=day(5)) for customer in customers))
    time.pass_until(5)
    told = [event for events in await asyncio.gather(*(tick(timers.expire) for _ in range(4))) for event in events]
    assert sorted(event.customer_id for event in told) == sorted(customers)


async def test_expiry_spending_and_holds_at_once_come_to_what_was_there(ledger, tick, time):
    """Some of the credit is over at the very moment at which two hundred want the rest."""
    customer = ledger.customer()
    await ledger.append(
        *(ledger.gift(customer, 10, expires_at=day(5)) for _ in range(5)), *[ledger.gift(customer, 10)] * 5
    )
    time.pass_until(5)
    asked = [its for _ in range(50) for its in (ledger.gift(customer, -1), ledger.Purchase(customer, 1).place)]
    ticks = [tick(timers.expire) for _ in range(3)]
    *expired, outcomes = await asyncio.gather(*ticks, ledger.append_each(asked))
    assert sum(not isinstance(outcome, Refused) for outcome in outcomes) == 50
    told = [event for events in [*expired, ledger.told] for event in events]
    assert sum(event.amount_minor for event in told if getattr(event, "type", "") == "EXPIRED") == -50
    balance, held = await ledger.balance(customer)
    assert balance == held


async def test_a_timer_passes_those_at_work(ledger, tick, time, worker):
    busy, other = sorted(ledger.customer() for _ in range(2))
    await ledger.append(*(ledger.gift(customer, 1, expires_at=day(5)) for customer in (busy, other)))
    time.pass_until(5)
    async with worker.transaction() as conn:
        await conn.execute("SELECT FROM account WHERE customer_id = $1 FOR UPDATE", busy)
        assert [event.customer_id for event in await tick(timers.expire)] == [other]
    assert [event.customer_id for event in await tick(timers.expire)] == [busy]


async def test_a_forgotten_hold_ends_and_carts_is_told(ledger, tick, time):
    purchase = ledger.Purchase(await ledger.funded(10), 6)
    await ledger.append(purchase.place)
    time.pass_until(6.999)
    assert await tick(timers.lapse) == []
    time.pass_until(7)
    (told,) = await tick(timers.lapse)
    assert (told.TYPE, told.hold_id, told.reason) == ("wallet.hold_released", purchase.hold_id, "expired")
    assert await tick(timers.lapse) == []
    assert await ledger.balance(purchase.customer_id) == (10, 0)
    (captured,) = await ledger.append(purchase.capture)
    assert captured.entry.amount_minor == 6


async def test_a_forgotten_hold_of_credit_that_is_over_lets_it_expire(ledger, tick, time):
    customer = ledger.customer()
    purchase = ledger.Purchase(customer, 6)
    await ledger.append(ledger.gift(customer, 6, expires_at=day(5)), purchase.place)
    time.pass_until(7)
    assert types(await tick(timers.lapse)) == ["wallet.posted", "wallet.hold_released"]
    assert await ledger.append(purchase.capture) == [Refused("insufficient_credit")]


async def test_a_release_and_the_timer_at_once_end_a_hold_once(ledger, tick, time):
    customer = await ledger.funded(100)
    purchases = [ledger.Purchase(customer, 1) for _ in range(20)]
    await ledger.append(*(purchase.place for purchase in purchases))
    time.pass_until(7)
    *_, outcomes = await asyncio.gather(
        tick(timers.lapse), tick(timers.lapse), ledger.append_each([purchase.release for purchase in purchases])
    )
    assert {type(outcome) for outcome in outcomes} == {Released}
    await tick(timers.lapse)
    assert await ledger.balance(customer) == (100, 0)


async def reminded(tick):
    events = await tick(timers.remind)
    return [(event.TYPE, event.amount_minor) for event in events]


async def test_a_customer_is_warned_once_of_each_credit(ledger, tick, time):
    customer = ledger.customer()
    (given, _) = await ledger.append(ledger.gift(customer, 10, expires_at=day(20)), ledger.gift(customer, -4))
    time.pass_until(12.999)
    assert await reminded(tick) == []
    time.pass_until(13)
    told, mail = await tick(timers.remind)
    assert (told.TYPE, told.entry_id, told.amount_minor, told.expires_at) == (
        "wallet.grant_expiring",
        given.entry.entry_id,
        6,
        day(20),
    )
    assert (mail.TYPE, mail.template, mail.about_id, mail.customer_id, mail.amount_minor) == (
        "mail.requested",
        "wallet_grant_expiring",
        given.entry.entry_id,
        customer,
        6,
    )
    assert await reminded(tick) == []
    await ledger.append(ledger.gift(customer, 1, expires_at=day(19)))
    assert await reminded(tick) == [("wallet.grant_expiring", 1), ("mail.requested", 1)]


async def test_nobody_is_warned_of_what_is_over_or_spent_or_never_expires(ledger, tick, time):
    customer = ledger.customer()
    await ledger.append(ledger.gift(customer, 5, expires_at=day(20)), ledger.gift(customer, -5))
    await ledger.append(ledger.gift(customer, 5, expires_at=day(20)), ledger.gift(customer, 7))
    time.pass_until(20)
    assert await reminded(tick) == []


async def test_a_store_may_warn_nobody(ledger, tick, time, terms):
    await terms(reminder=None)
    await ledger.append(ledger.gift(ledger.customer(), 5, expires_at=day(20)))
    time.pass_until(19)
    assert await reminded(tick) == []


async def test_a_store_decides_how_long_before(ledger, tick, time, terms):
    await terms(reminder=2)
    await ledger.append(ledger.gift(ledger.customer(), 5, expires_at=day(20)))
    time.pass_until(17)
    assert await reminded(tick) == []
    time.pass_until(18)
    assert len(await reminded(tick)) == 2


async def test_two_timers_at_once_warn_once(ledger, tick, time):
    await ledger.append(*(ledger.gift(ledger.customer(), 1, expires_at=day(3)) for _ in range(30)))
    told = [event for events in await asyncio.gather(*(tick(timers.remind) for _ in range(4))) for event in events]
    assert types(told).count("wallet.grant_expiring") == types(told).count("mail.requested") == 30


async def test_credit_and_debt_of_a_merged_customer_follow_once(ledger, tick, merge):
    first, last = await ledger.funded(10), ledger.customer()
    await ledger.append(ledger.gift(first, 5, expires_at=day(9)))
    await merge(first, last)
    moved = await tick(timers.follow_merges)
    assert {event.cause.kind for event in moved} == {"merge"}
    assert sum(event.amount_minor for event in moved) == 0
    assert await tick(timers.follow_merges) == []
    assert (await ledger.balance(first), await ledger.balance(last)) == ((0, 0), (15, 0))
    dated = await ledger.row("SELECT expires_at FROM credit_grant WHERE customer_id = $1 AND left_minor = 5", last)
    assert dated["expires_at"] == day(9)


async def test_credit_follows_a_chain_of_merges_to_its_end(ledger, tick, merge):
    customers = [await ledger.funded(10), await ledger.funded(20), ledger.customer()]
    await merge(*customers)
    await tick(timers.follow_merges)
    assert [await ledger.balance(customer) for customer in customers] == [(0, 0), (0, 0), (30, 0)]
    assert await tick(timers.follow_merges) == []


async def test_what_a_hold_of_a_merged_customer_frees_follows_with_it(ledger, tick, merge, time):
    first, last = await ledger.funded(10), ledger.customer()
    released, lapsed = ledger.Purchase(first, 4), ledger.Purchase(first, 6)
    await ledger.append(released.place, lapsed.place)
    await merge(first, last)
    assert await tick(timers.follow_merges) == []
    await ledger.append(released.release)
    assert (await ledger.balance(first), await ledger.balance(last)) == ((6, 6), (4, 0))
    time.pass_until(7)
    assert types(await tick(timers.lapse))[-1] == "wallet.hold_released"
    assert (await ledger.balance(first), await ledger.balance(last)) == ((0, 0), (10, 0))


async def test_two_timers_at_once_move_a_merged_credit_once(ledger, tick, merge):
    customers = [(await ledger.funded(10), ledger.customer()) for _ in range(5)]
    for pair in customers:
        await merge(*pair)
    await asyncio.gather(*(tick(timers.follow_merges) for _ in range(4)))
    assert [await ledger.balance(last) for _, last in customers] == [(10, 0)] * 5


@pytest.mark.parametrize("timer", [timers.expire, timers.lapse, timers.remind, timers.follow_merges])
async def test_a_timer_that_dies_on_any_statement_does_it_again(ledger, tick, time, merge, monkeypatch, timer):
    """Its transaction is rolled back; the next beat comes to the same."""
    customer, merged_, last = ledger.customer(), await ledger.funded(5), ledger.customer()
    purchase = ledger.Purchase(customer, 6)
    await ledger.append(
        ledger.gift(customer, 6), purchase.place, *[ledger.gift(customer, 1, expires_at=day(n)) for n in (6, 9)]
    )
    await merge(merged_, last)
    time.pass_until(7)
    before, lived = await standing(ledger), 0
    while await dies(lambda: tick(timer), monkeypatch, after=lived):
        assert await standing(ledger) == before
        lived += 1
    assert lived
    assert await standing(ledger) != before


async def standing(ledger):
    """What a timer may change, besides what it tells."""
    sql = """
        SELECT (SELECT count(*) FROM entry), (SELECT sum(held_minor) FROM account),
               (SELECT count(*) FROM credit_grant WHERE reminded)
    """
    return tuple(await ledger.row(sql))
