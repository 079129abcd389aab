"""Many at once on one customer's credit: exactly what is there is spent, and what is owed is exact."""

import asyncio
from datetime import timedelta

import pytest

from chassis import clock
from wallet.postings import Placed, Posted, Refused, Reverse, Transfer


@pytest.fixture
async def customer(ledger):
    """Fifty in five grants of different dates."""
    customer, now = ledger.customer(), clock.now()
    dates = [{"expires_at": now + timedelta(days=days)} for days in (9, 3, 30)]
    await ledger.append(*(ledger.gift(customer, 10, **its) for its in [{}, *dates, {}]))
    return customer


def granted(outcomes):
    return sum(isinstance(outcome, Posted | Placed) for outcome in outcomes)


async def left(ledger, customer):
    """What each grant has left and held."""
    sql = """
        SELECT array_agg(left_minor::int ORDER BY sequence) AS left, array_agg(held_minor::int ORDER BY sequence) AS held
        FROM credit_grant WHERE customer_id = $1
    """
    row = await ledger.row(sql, customer)
    return row["left"], row["held"]


async def test_two_hundred_spenders_at_once_spend_all_grants_and_no_more(ledger, customer):
    outcomes = await ledger.append_each([ledger.gift(customer, -1)] * 200)
    assert granted(outcomes) == 50
    assert await left(ledger, customer) == ([0] * 5, [0] * 5)
    spent = sorted(
        (outcome.entry.sequence, part.sequence)
        for outcome in outcomes
        if isinstance(outcome, Posted)
        for part in outcome.entry.parts
    )
    assert [grant for _, grant in spent] == [its for its in (3, 2, 4, 1, 5) for _ in range(10)]


async def test_two_hundred_holds_at_once_set_all_grants_aside_and_no_more(ledger, customer):
    outcomes = await ledger.append_each([ledger.Purchase(customer, 1).place for _ in range(200)])
    assert granted(outcomes) == 50
    assert await left(ledger, customer) == ([10] * 5, [10] * 5)


async def test_holds_captured_in_part_and_released_at_once_leave_what_they_did_not_take(ledger, customer):
    purchases = [ledger.Purchase(customer, 5) for _ in range(10)]
    await ledger.append(*(purchase.place for purchase in purchases))
    ends = [ledger.Purchase(customer, 2, its.hold_id, its.order_id).capture for its in purchases[:5]]
    await ledger.append_each([*ends, *(purchase.release for purchase in purchases[5:])] * 3)
    assert await ledger.balance(customer) == (40, 0)


@pytest.mark.parametrize("asked", [5, 40])
async def test_a_reversal_and_spenders_at_once_leave_an_exact_debt(ledger, asked):
    """Whoever comes first: what was given is gone, and what was spent of it is owed."""
    customer = ledger.customer()
    given, _ = await ledger.append(ledger.gift(customer, 30), ledger.gift(customer, 10))
    spenders = [ledger.gift(customer, -1)] * asked
    places = [ledger.Purchase(customer, 1).place for _ in range(asked)]
    reversal = [Reverse(given.entry)]
    outcomes = await ledger.append_each([*spenders, *reversal, *places, *reversal])
    assert [outcome for outcome in outcomes if outcome == Refused("already_reversed")] == [Refused("already_reversed")]
    spent = sum(isinstance(outcome, Posted) for outcome in outcomes) - 1
    held = sum(isinstance(outcome, Placed) for outcome in outcomes)
    row = await ledger.row("SELECT balance_minor, held_minor, debt_minor FROM account WHERE customer_id = $1", customer)
    assert row["held_minor"] == held
    assert row["balance_minor"] - row["debt_minor"] == 40 - 30 - spent
    assert row["debt_minor"] == 0 or row["balance_minor"] == held


async def test_credits_and_reversals_at_once_net_to_nothing(ledger):
    customer = ledger.customer()
    given = await ledger.append(*[ledger.gift(customer, 3)] * 20, ledger.gift(customer, -60))
    reversals = [Reverse(outcome.entry) for outcome in given[:20]]
    await ledger.append_each([*reversals, *(ledger.credit(customer, 3) for _ in range(20))])
    row = await ledger.row("SELECT balance_minor, debt_minor FROM account WHERE customer_id = $1", customer)
    assert tuple(row) == (0, 0)


async def test_merges_both_ways_and_spenders_at_once_lose_nothing(ledger, customer):
    """Accounts are locked sorted, whoever is merged into whom, so nobody waits in a circle."""
    other = await ledger.funded(50)
    moves = [Transfer(customer, other), Transfer(other, customer)] * 10
    outcomes = await ledger.append_each([*moves, *[ledger.gift(customer, -1), ledger.gift(other, -1)] * 20])
    balances = [(await ledger.balance(its))[0] for its in (customer, other)]
    assert sum(balances) == 100 - granted(outcomes)


async def test_a_hold_asked_for_many_times_at_once_is_one(ledger, customer):
    purchase = ledger.Purchase(customer, 20)
    outcomes = await asyncio.gather(*(ledger.append(purchase.place, purchase.place) for _ in range(20)))
    assert {outcome.hold.parts for pair in outcomes for outcome in pair} == {((3, 10), (2, 10))}
    assert await ledger.balance(customer) == (50, 20)
