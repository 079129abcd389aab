"""Whatever happens in whatever order, the ledger comes to what a plain list of credits comes to.

The model is ``plain_wallet``, which shares no code with the wallet. The same steps run on one ``Book`` in memory and on
the database, where grants are read two at a time, so that reading only a part of them is always in play.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import count
from types import SimpleNamespace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from machines import run
from plain_wallet import Person, PlainWallet

from chassis import ids
from chassis.db import Database
from contracts.ids import CLAIM, CUSTOMER, HOLD, ORDER, STORE
from contracts.wallet import EntryType, OverCap
from wallet import store
from wallet.book import Account, Book
from wallet.entries import GIFT_CODE, Cause
from wallet.ledger import decide
from wallet.postings import (
    Capture,
    Captured,
    Expire,
    Expiry,
    Lapse,
    Place,
    Placed,
    Post,
    Posted,
    Refused,
    Release,
    Released,
    Reverse,
    Transfer,
)
from wallet.store_book import entry
from wallet.store_faults import faults
from wallet.terms import Terms

START = datetime(2026, 1, 1, tzinfo=UTC)
PEOPLE, HOLDS, CAUSES = st.sampled_from([0, 1]), st.sampled_from(range(4)), st.sampled_from(range(3))
AMOUNTS = st.integers(1, 60)
EXPIRIES = st.sampled_from(["default", "default", "never", -1, 0, 1, 1, 2, 3, 9])  # days from now
GIVEN = st.sampled_from(["CREDIT", "REFUND", "PROMO", "ADJUSTMENT"])


class Memory:
    """Decides on one book."""

    def __init__(self) -> None:
        self.people = ["ann", "bob"]
        numbers = count(1)
        accounts = {name: Account(name, "EUR") for name in self.people}
        self.book = Book("store", START, Terms(), lambda: f"tx{next(numbers)}", accounts)

    def do(self, postings, at, terms):
        self.book.at, self.book.terms = at, terms
        return [decide(self.book, posting) for posting in postings]

    def figures(self, name):
        account = self.book.accounts[name]
        return account.balance_minor, account.held_minor, account.debt_minor, account.sequence

    def entries(self, name, after):
        return [its for its in self.book.entries if its.customer_id == name and its.sequence > after]

    def end(self):
        for account in self.book.accounts.values():
            assert sum(grant.left_minor for grant in account.grants) == account.balance_minor
            assert sum(grant.held_minor for grant in account.grants) == account.held_minor


class Stored:
    """Decides on the database, a transaction for each batch; driven from a thread beside the test's loop."""

    def __init__(self, api: Database, worker: Database, loop) -> None:
        self.api, self.worker, self.loop = api, worker, loop
        self.people = sorted(ids.new(CUSTOMER) for _ in range(2))
        self.store_id, self.terms = ids.new(STORE), Terms()
        self.run(self._execute("INSERT INTO store VALUES ($1, $1, 'EUR', 'en', 'shop')", self.store_id))

    def run(self, what):
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(30)

    async def _execute(self, sql, *args):
        async with self.worker.transaction() as conn:
            await conn.execute(sql, *args)

    async def _rows(self, sql, *args):
        async with self.api.transaction(self.store_id) as conn:
            return await conn.rows(sql, *args)

    def do(self, postings, at, terms):
        return self.run(self._do(postings, at, terms))

    async def _do(self, postings, at, terms):
        store.clock.now = lambda: at
        async with self.api.transaction(self.store_id) as conn:
            if terms != self.terms:
                self.terms = terms
                await conn.execute(
                    """
                    INSERT INTO terms VALUES ($1, 1, $2, $3, $4, $5, $6, $7)
                    ON CONFLICT (store_id) DO UPDATE SET refunds_as_credit = $2, default_expiry_days = $3,
                    balance_cap_minor = $4, promo_over_cap = $5
                    """,
                    self.store_id,
                    terms.refunds_as_credit,
                    terms.default_expiry_days,
                    terms.balance_cap_minor,
                    terms.promo_over_cap,
                    terms.reminder_days,
                    at,
                )
            return await store.append_batch(conn, self.store_id, postings)

    def figures(self, name):
        rows = self.run(
            self._rows(
                "SELECT balance_minor, held_minor, debt_minor, sequence FROM account WHERE customer_id = $1", name
            )
        )
        return tuple(rows[0]) if rows else (0, 0, 0, 0)

    def entries(self, name, after):
        sql = """
            SELECT entry_id, customer_id, sequence, type, debit_account, credit_account, amount_minor,
                   balance_after_minor, debt_after_minor, currency, cause_kind, cause_id, reason, parts, expires_at,
                   posted_at, hash
            FROM entry WHERE customer_id = $1 AND sequence > $2 ORDER BY sequence
        """
        return [entry(tuple(row)) for row in self.run(self._rows(sql, name, after))]

    def end(self):
        self.run(self._prove())

    async def _prove(self):
        async with self.worker.transaction() as conn:
            assert await faults(conn) == []


def told(outcome):
    """An outcome as the model puts it."""
    match outcome:
        case Posted(entry=its, balance_minor=balance):
            return ("posted", its.sequence, balance)
        case Refused(reason):
            return ("refused", reason)
        case Placed():
            return ("placed",)
        case Captured(hold):
            return ("captured", hold.captured_minor)
        case Released(_, reason):
            return ("released", reason)
        case _:
            return ("done",)


class Machine(RuleBasedStateMachine):
    """Rules ask model and ledger for the same. Several requests wait for one batch while ``gathering``."""

    def __init__(self, driver) -> None:
        super().__init__()
        self.driver = driver
        self.names = driver.people
        self.model = PlainWallet(START, {name: Person(name) for name in self.names})
        self.terms = Terms()
        self.entries = []  # (line of the model, entry of the ledger)
        self.pending, self.asked, self.gathering = [], [], False
        self.holds = [ids.new(HOLD) for _ in range(4)]
        self.orders = [ids.new(ORDER) for _ in range(4)]
        self.claims = [ids.new(CLAIM) for _ in range(3)]

    def ask(self, posting, of_model, *, repeatable=True):
        if repeatable:
            self.asked.append((posting, of_model))
        self.pending.append((posting, of_model()))
        if not self.gathering or len(self.pending) >= 6:
            self.flush()

    def flush(self):
        if not self.pending:
            return
        postings, expected = zip(*self.pending, strict=True)
        self.pending = []
        assert [told(its) for its in self.driver.do(postings, self.model.at, self.terms)] == list(expected), postings
        for name in self.names:
            lines = self.model.people[name].lines
            seen = sum(line.person == name for line, _ in self.entries)
            entries = self.driver.entries(name, seen)
            assert [figures_of(its) for its in entries] == [figures_of_line(line) for line in lines[seen:]]
            self.entries += zip(lines[seen:], entries, strict=True)

    @rule(name=PEOPLE, kind=GIVEN, amount=AMOUNTS, expires=EXPIRIES)
    def give(self, name, kind, amount, expires):
        self._give(name, kind, amount, expires, None)

    @rule(name=PEOPLE, cause=CAUSES, amount=AMOUNTS, claimed=st.booleans(), expires=EXPIRIES)
    def give_for(self, name, cause, amount, claimed, expires):
        kind = "CREDIT" if claimed else "ADJUSTMENT"
        its = Cause("claim", self.claims[cause]) if claimed else Cause(GIFT_CODE, f"{self.claims[cause]} code")
        self._give(name, kind, amount, expires, its)

    def _give(self, name, kind, amount, expires, cause):
        its = self.model.at + timedelta(days=expires) if isinstance(expires, int) else expires
        name = self.names[name]
        until = its if isinstance(its, datetime) else Expiry(its)
        posting = Post(name, EntryType(kind), amount, "EUR", cause, expires_at=until)
        key = tuple(cause) if cause else None
        self.ask(posting, lambda: self.model.post(name, kind, amount, its, key), repeatable=cause is not None)

    @rule(name=PEOPLE, amount=AMOUNTS, kind=st.sampled_from(["DEBIT", "ADJUSTMENT"]))
    def take(self, name, amount, kind):
        name = self.names[name]
        posting = Post(name, EntryType(kind), -amount, "EUR")
        self.ask(posting, lambda: self.model.post(name, kind, -amount), repeatable=False)

    @rule(hold=HOLDS, order=HOLDS, name=PEOPLE, amount=AMOUNTS)
    def place(self, hold, order, name, amount):
        hold, order, name = self.holds[hold], self.orders[order], self.names[name]
        self.ask(Place(hold, name, order, amount, "EUR"), lambda: self.model.place(hold, name, order, amount))

    @rule(hold=HOLDS, order=HOLDS, amount=AMOUNTS, as_asked=st.booleans())
    def capture(self, hold, order, amount, as_asked):
        hold, order, name = self.holds[hold], self.orders[order], self.names[0]
        aside = self.model.asides.get(hold)
        if as_asked and aside is not None and aside.order is not None:
            order, amount = aside.order, min(amount, aside.amount)
        self.ask(Capture(hold, name, order, amount), lambda: self.model.capture(hold, name, order, amount))

    @rule(hold=HOLDS)
    def release(self, hold):
        hold, name = self.holds[hold], self.names[0]
        self.ask(Release(hold, name), lambda: self.model.release(hold, name))

    @rule(hold=HOLDS)
    def lapse(self, hold):
        hold = self.holds[hold]
        if hold in self.model.asides:
            self.flush()  # the timer finds only holds that were written
            name = self.model.asides[hold].person.name
            self.ask(Lapse(hold, name), lambda: self.model.lapse(hold))

    @rule(hold=HOLDS)
    def start_anew(self, hold):
        self.holds[hold], self.orders[hold] = ids.new(HOLD), ids.new(ORDER)

    @rule(name=PEOPLE)
    def expire(self, name):
        name = self.names[name]
        self.ask(Expire(name), lambda: self.model.expire(name))

    @rule(name=PEOPLE)
    def merge(self, name):
        self.flush()
        name, into = self.names[name], self.names[1 - name]
        self.ask(Transfer(name, into), lambda: self.model.transfer(name, into))

    @rule(which=st.integers(0, 1000))
    def reverse(self, which):
        self.flush()
        if self.entries:
            line, its = self.entries[which % len(self.entries)]
            self.ask(Reverse(its), lambda: self.model.reverse(line))

    @rule(which=st.integers(0, 1000))
    def ask_again(self, which):
        if self.asked:
            posting, of_model = self.asked[which % len(self.asked)]
            self.ask(posting, of_model, repeatable=False)

    @rule(days=st.sampled_from([1, 1, 2, 8]))
    def wait(self, days):
        self.flush()
        self.model.at += timedelta(days=days)

    @rule(
        cap=st.sampled_from([None, 40, 90]),
        days=st.sampled_from([None, 2]),
        clips=st.booleans(),
        refunds=st.sampled_from([True, True, False]),
    )
    def decide_terms(self, cap, days, clips, refunds):
        self.flush()
        self.model.cap, self.model.days, self.model.clips, self.model.refunds = cap, days, clips, refunds
        self.terms = Terms(refunds, days, cap, OverCap.CLIP if clips else OverCap.REFUSE)

    @rule()
    def gather(self):
        self.gathering = True

    @precondition(lambda self: self.gathering)
    @rule()
    def send(self):
        self.gathering = False
        self.flush()

    @invariant()
    def the_figures_are_those_of_the_model(self):
        if self.pending:
            return
        for name in self.names:
            figures = self.driver.figures(name)
            assert figures == self.model.figures(name)
            balance, held, debt, _ = figures
            assert 0 <= held <= balance
            assert debt == 0 or balance == held

    def teardown(self):
        self.flush()
        self.driver.end()


def figures_of(its):
    return (
        its.sequence,
        its.type,
        its.cause_kind,
        its.change_minor,
        its.debt_change_minor,
        dict(its.parts),
        its.balance_after_minor,
        its.debt_after_minor,
        its.expires_at,
    )


def figures_of_line(line):
    return (
        line.number,
        line.type,
        line.kind,
        line.gives,
        line.owes,
        line.parts,
        line.balance,
        line.debt,
        line.expires,
    )


def test_in_memory_it_comes_to_what_the_model_says():
    run(lambda: Machine(Memory()), examples=200, steps=50)


async def test_in_the_database_it_comes_to_what_the_model_says(api, worker, monkeypatch):
    monkeypatch.setattr(store, "clock", SimpleNamespace())
    monkeypatch.setattr(store.store_book, "_FIRST_PAGE", 2)
    monkeypatch.setattr(store.store_book, "_GROWS", 2)
    loop = asyncio.get_running_loop()
    await asyncio.to_thread(run, lambda: Machine(Stored(api, worker, loop)), examples=60, steps=40)
