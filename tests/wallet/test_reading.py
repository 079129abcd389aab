"""Reading a part of a customer's grants comes to the same as reading all."""

import random
from types import SimpleNamespace

import pytest
from books import AT, day

from contracts.wallet import EntryType
from wallet import store
from wallet.book import Account
from wallet.grants import Grant
from wallet.postings import Expire, Lapse, Reverse, Transfer
from wallet.reading import is_short


def grant(sequence, amount, days=None, held=0):
    return Grant(sequence, "tx", "CREDIT", amount, amount, held, None if days is None else day(days), AT)


@pytest.mark.parametrize(
    ("grants", "amount", "due", "short"),
    [
        ([grant(1, 5), grant(2, 5)], 10, None, False),
        ([grant(1, 5), grant(2, 5)], 11, None, True),
        ([grant(1, 5), grant(2, 5, held=1)], 10, None, True),
        ([grant(1, 5, 0), grant(2, 5)], 6, day(0), True),
        ([grant(1, 5, 0), grant(2, 5)], 5, day(0), False),
        ([grant(1, 5, 0), grant(2, 5, -1)], 0, day(-1), True),
        ([grant(1, 5, 0), grant(2, 5, 1)], 0, day(0), False),
        ([grant(1, 5, 0), grant(2, 5, 1, held=5)], 0, day(0), True),
        ([], 0, None, False),
    ],
)
def test_more_is_read_until_what_may_be_taken_is_covered_and_the_next_date_known(grants, amount, due, short):
    assert is_short(Account("cus", "EUR", due_at=due), grants, amount, AT) is short


@pytest.fixture
def at(monkeypatch):
    """`at(days)`: from now on it is so many days after the start."""

    def move(days):
        monkeypatch.setattr(store, "clock", SimpleNamespace(now=lambda: day(days)))

    move(0)
    return move


@pytest.fixture
async def rich(ledger, at):
    """A customer with a hundred grants of mixed dates, and what they are: (days, entry's sequence), amount 10 each."""
    customer, chance = ledger.customer(), random.Random(4)
    days = [chance.choice([None, *range(1, 30)]) for _ in range(100)]
    await ledger.append(
        *(ledger.gift(customer, 10, **({} if its is None else {"expires_at": day(its)})) for its in days)
    )
    order = sorted(range(1, 101), key=lambda sequence: (days[sequence - 1] or 99, sequence))
    return customer, order, [days[sequence - 1] or 99 for sequence in order]


async def test_a_batch_of_many_spends_in_order_over_all_pages(ledger, rich):
    customer, order, _ = rich
    outcomes = await ledger.append(*[ledger.gift(customer, -125)] * 5)
    parts = [part.sequence for outcome in outcomes for part in outcome.entry.parts]
    assert list(dict.fromkeys(parts)) == order[:63]
    assert await ledger.balance(customer) == (375, 0)


async def test_all_that_is_due_expires_however_much_it_is(ledger, rich, at):
    customer, _, days = rich
    at(20)
    await ledger.append(Expire(customer))
    due = sum(its <= 20 for its in days)
    assert due > 40
    rows = [event.cause.id for event in ledger.told if event.type == EntryType.EXPIRED]
    assert len(rows) == len(set(rows)) == due
    assert await ledger.balance(customer) == (1000 - 10 * due, 0)
    next_due = await ledger.row("SELECT due_at FROM account WHERE customer_id = $1", customer)
    assert next_due["due_at"] == day(min(its for its in days if its > 20))


async def test_what_is_due_is_gone_before_it_can_be_spent_or_held(ledger, rich, at):
    customer, order, days = rich
    at(20)
    due = sum(its <= 20 for its in days)
    purchase = ledger.Purchase(customer, 100)
    taken, placed = await ledger.append(ledger.gift(customer, -100), purchase.place)
    assert [part.sequence for part in taken.entry.parts] == order[due : due + 10]
    assert [part.sequence for part in placed.hold.parts] == order[due + 10 : due + 20]


async def test_holds_do_not_hide_what_can_be_spent(ledger, rich):
    """The first pages are all held."""
    customer, order, _ = rich
    held = ledger.Purchase(customer, 600)
    await ledger.append(held.place)
    (taken,) = await ledger.append(ledger.gift(customer, -35))
    assert [part.sequence for part in taken.entry.parts] == order[60:64]
    _, taken = await ledger.append(held.release, ledger.gift(customer, -35))
    assert [part.sequence for part in taken.entry.parts] == order[:4]


async def test_reading_only_the_first_page_is_found(ledger, rich, monkeypatch):
    """The planted fault."""
    customer, _, _ = rich
    monkeypatch.setattr(store.store_book.reading, "is_short", lambda *_: False)
    with pytest.raises(ArithmeticError):
        await ledger.append(ledger.gift(customer, -500))


async def test_the_debt_of_a_merged_customer_is_paid_from_what_the_other_one_has(ledger, at):
    poor, rich = ledger.customer(), await ledger.funded(50)
    given, _ = await ledger.append(ledger.gift(poor, 10), ledger.gift(poor, -10))
    await ledger.append(Reverse(given.entry))
    await ledger.append(Transfer(poor, rich))
    assert await ledger.balance(rich) == (40, 0)
    debts = await ledger.row("SELECT sum(debt_minor)::int AS owed FROM account")
    assert debts["owed"] == 0


async def test_a_hold_that_lapses_in_the_batch_that_captures_it_pays_with_other_credit(ledger, at):
    customer = ledger.customer()
    purchase = ledger.Purchase(customer, 10)
    await ledger.append(ledger.gift(customer, 10, expires_at=day(3)), purchase.place)
    await ledger.append(ledger.gift(customer, 10))
    at(4)
    await ledger.append(Expire(customer))
    at(8)
    _, captured = await ledger.append(Lapse(purchase.hold_id, customer), purchase.capture)
    assert captured.entry.parts == ((2, 10),)
    assert await ledger.balance(customer) == (0, 0)


async def test_a_reversal_finds_its_own_grant_among_many(ledger, rich):
    customer, *_ = rich
    (given,) = await ledger.append(ledger.gift(customer, 7))
    (undone,) = await ledger.append(Reverse(given.entry))
    assert undone.entry.parts == ((101, 7),)


async def test_credit_alone_reads_no_grant(ledger, rich, monkeypatch):
    async def read(*_):
        raise AssertionError("a grant was read")

    monkeypatch.setattr(store.store_book, "_first_grants", read)
    monkeypatch.setattr(store.store_book, "_read_named", read)
    await ledger.append(ledger.gift(rich[0], 7))
