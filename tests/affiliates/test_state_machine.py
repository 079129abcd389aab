"""Whatever happens in whatever order, the buckets come to what a plain list of sales and claims comes to.

The model is ``plain_affiliates``, which shares no code with affiliates. The same steps run on the pure modules in memory,
and on the database through the consumers, the timers and the ways in which the API writes.
"""

import asyncio
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
from affiliates_in_database import Stored
from affiliates_in_memory import BEFORE, CODES, KIN, PEOPLE, START, STRANGER, Memory
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from machines import run
from plain_affiliates import Order, Person, PlainAffiliates, Program

from affiliates import commissions, consumers
from affiliates.commissions import Reason
from affiliates.enrolment import State
from affiliates.program import OwnTerms, Terms, Tier
from chassis import ids
from contracts.ids import CLAIM, ORDER, WALLET_ENTRY

pytestmark = pytest.mark.timeout(1_500)  # they take minutes where much else is at work

SLOTS, SOME = st.sampled_from(range(4)), st.integers(0, 1000)
PARTS = st.sampled_from([0.1, 0.5, 1, 1, 2])
GIVEN = st.sampled_from([*CODES, "ann-1", "nobody", None])
DAYS = st.sampled_from([0, 0, 0, 1, 3])
CLICKS = st.lists(st.tuples(st.sampled_from([*CODES, "nobody"]), st.sampled_from([0.5, 1, 5, 40])), max_size=3)
BASES = st.sampled_from([0, -5, 999, 5_000, 10_000, 20_000])


@dataclass(eq=False)
class Slot:
    """An order as carts knows it: what never changes, and its versions as far as anybody was told."""

    order: str
    buyer: str
    foreign: bool
    given: str | None
    clicks: tuple
    completed: datetime
    versions: dict = field(default_factory=dict)

    def version(self, number, base, refunded, merged):
        if number not in self.versions:
            earlier = [
                its.buyer_now for at, its in self.versions.items() if at < number and its.buyer_now != self.buyer
            ]
            now = merged or (earlier[-1] if earlier else self.buyer)
            who = self.foreign, self.buyer, now, self.given, self.clicks, self.completed
            self.versions[number] = Order(self.order, number, base, 20_000 - refunded, *who)
        return self.versions[number]


TERMS = st.fixed_dictionaries(
    {
        "on": st.sampled_from([True] * 5 + [False]),
        "rate": st.sampled_from([1000, 333, 5000, 0]),
        "days": DAYS,
        "window": st.sampled_from([30, 2, 0]),
        "two": st.booleans(),
        "tiers": st.sampled_from([(), ((30_000, 2_000),), ((10_000, 1_500), (45_000, 3_000))]),
    }
)
WORLD = st.one_of(
    TERMS,
    st.tuples(st.sampled_from(PEOPLE), st.sampled_from([None, 2_500]), st.sampled_from([None, 0, 2])),
    st.tuples(st.sampled_from(PEOPLE), st.sampled_from([True, True, False])),
    st.sampled_from(["ann-2", "bob-2", "one address", "merge"]),
    st.sampled_from(["merge", "one address", "kin", "merge after bob was out"]),
)
DONE = st.sampled_from(
    [
        ["approve"],
        ["approve", "approve"],
        ["approve", "approve", "send", "confirm"],
        ["approve", "approve", "send", "fail"],
        ["approve", "approve", "send"],
        ["approve", "approve", "settle"],
        ["settle", "settle"],
        ["reject", "reject"],
        ["confirm", "fail"],
        ["send", "settle", "reject"],
    ]
)
WHO = st.sampled_from([["eve", "joe", "joe", "eve"], ["eve"] * 4])


class Machine(RuleBasedStateMachine):
    """Rules do the same to the model and to affiliates. Several orders may come in one delivery."""

    def __init__(self, driver) -> None:
        super().__init__()
        self.driver = driver
        people = {name: Person(name, [START]) for name in PEOPLE}
        codes = {code: people[code[:3]] for code in CODES}
        self.model = PlainAffiliates(START, people, codes, [Program(BEFORE)], START)
        self.slots, self.wave = {}, []

    def flush(self):
        wave, self.wave = self.wave, []
        if wave:
            self.model.tell(wave)
            self.driver.tell(wave, self.model.at)

    @initialize(
        terms=TERMS,
        days=st.sampled_from([0, 3]),
        part=PARTS,
        done=DONE,
        who=WHO,
        credited=st.sampled_from([True, False]),
    )
    def begin(self, terms, days, part, done, who, credited):
        """Nobody begins with nothing."""
        self.change_the_world(terms)
        self.change_the_world(("bob", 2_500, 0))
        for slot, code in enumerate(("ann-1", "bob-1")):
            self.buy(slot, STRANGER, foreign=False, given=code, clicks=[], ago=0, alone=True)
        self.wait(days, ticks=True)
        for name, rests in (("ann", 0), ("bob", 0), ("bob", None)):
            self.take(name, part, rests)
        if self.model.claims:
            self.pay_out(0, done, who)
            self.answer(0, credited)

    @rule(
        slot=SLOTS,
        buyer=st.sampled_from([STRANGER, STRANGER, KIN, KIN, "ann", "bob"]),
        foreign=st.sampled_from([False] * 5 + [True]),
        given=GIVEN,
        clicks=CLICKS,
        ago=DAYS,
        alone=st.booleans(),
    )
    def buy(self, slot, buyer, foreign, given, clicks, ago, alone):
        completed = self.model.at - timedelta(days=ago)
        followed = tuple((code, completed - timedelta(days=days)) for code, days in clicks)
        self.slots[slot] = Slot(ids.new(ORDER), buyer, foreign, given, followed, completed)
        self.tell(slot, 1, 20_000, 0, None, alone)

    @rule(
        slot=SLOTS,
        number=st.integers(1, 6),
        base=BASES,
        refunded=st.sampled_from([0, 5_000, 20_000]),
        merged=st.sampled_from([None] * 6 + ["ann"]),
        alone=st.booleans(),
    )
    def tell(self, slot, number, base, refunded, merged, alone):
        self.wave.append(self.some_slot(slot).version(number, base, refunded, merged))
        if alone or len(self.wave) >= 6:
            self.flush()

    @rule(slot=SLOTS, then=st.sampled_from([[], ["tick"], ["tick", "release", "tick"], ["release", "tick"]]))
    def speak_against(self, slot, then):
        self.flush()
        order = self.some_slot(slot).order
        self.model.suspect(order)
        self.driver.suspect(order, self.model.at)
        for step in then:
            if step == "tick":
                self.wait(0, ticks=True)
            elif order in self.model.sales:
                self.do(order, step)

    def some_slot(self, slot):
        return self.slots.get(slot, self.slots[slot % 2])

    def some_sale(self, which):
        self.flush()
        orders = list(self.model.sales)
        return orders[which % len(orders)]

    @precondition(lambda self: self.model.sales)
    @rule(which=SOME, what=st.sampled_from(["hold", "release", "release", "deny"]))
    def decide(self, which, what):
        self.do(self.some_sale(which), what)

    def do(self, order, what):
        at = self.model.at
        getattr(self.model, what)(self.model.sales[order])
        change = {
            "hold": lambda its, _: commissions.hold(its, Reason.STAFF),
            "release": lambda its, owner: commissions.release(its, owner, at),
            "deny": lambda its, _: commissions.deny(its, Reason.TERMS),
        }
        self.driver.act(order, change[what], at)

    @precondition(lambda self: self.model.sales)
    @rule(which=SOME, code=st.sampled_from(CODES))
    def reattribute(self, which, code):
        order = self.some_sale(which)
        assert self.model.reattribute(order, code) == self.driver.reattribute(order, code, self.model.at)

    @rule(name=st.sampled_from(PEOPLE), part=PARTS, rests=st.sampled_from([0, None, 0, 0, None, 2]))
    def take(self, name, part, rests):
        self.flush()
        name = "ann" if self.model.merged else name
        available = max(self.model.settled(self.model.people[name]), 0)
        amount = int(available * part) + (part > 1)
        if amount:
            claim_id = ids.new(CLAIM)
            expected = self.model.take(claim_id, name, amount, rests)
            assert self.driver.take(claim_id, name, amount, rests, self.model.at) == expected

    def some_claim(self, which, pays_out):
        self.flush()
        found = [claim_id for claim_id, its in self.model.claims.items() if not pays_out or its.approvable is not None]
        return found[which % len(found)] if found else None

    @precondition(lambda self: self.model.claims)
    @rule(which=SOME, credited=st.booleans())
    def answer(self, which, credited):
        """Also of what was answered before, and otherwise."""
        claim_id = self.some_claim(which, pays_out=False)
        if self.model.claims[claim_id].status in ("PROCESSING", "COMPLETED", "FAILED"):
            self.model.answer(claim_id, credited)
            self.driver.answer(claim_id, ids.new(WALLET_ENTRY) if credited else None, self.model.at)

    @precondition(lambda self: self.model.claims)
    @rule(which=SOME, done=DONE, who=WHO)
    def pay_out(self, which, done, who):
        claim_id = self.some_claim(which, pays_out=True)
        if claim_id is not None:
            for does, name in zip(done, who, strict=False):
                expected = self.model.staff(claim_id, does, name)
                assert self.driver.staff(claim_id, does, name, self.model.at) == expected

    @rule(days=st.sampled_from([1, 0, 2, 5, 8]), ticks=st.booleans())
    def wait(self, days, ticks):
        self.flush()
        self.model.at += timedelta(days=days)
        if ticks:
            self.model.tick()
            self.driver.tick(self.model.at)

    @rule(change=WORLD)
    def change_the_world(self, change):
        self.flush()
        self.model.at += timedelta(microseconds=1)  # terms never change twice at once
        model, at = self.model, self.model.at
        late = at > START + timedelta(days=3) and not model.merged
        match change:
            case dict():
                its = model.set_program(**change)
                tiers = tuple(Tier(*tier) for tier in its.tiers)
                ways = {"attribution_days": its.window, "two_person_approval": its.two, "tiers": tiers}
                self.driver.set_terms(Terms(its.since, its.on, its.rate, its.days, **ways))
            case (name, rate, days):
                name = "ann" if model.merged else name
                model.agree(name, rate, days)
                self.driver.agree(name, OwnTerms(at, rate, days))
            case (name, active):
                name = "ann" if model.merged else name
                model.people[name].become(at, active=active)
                self.driver.set_state(name, State.ACTIVE if active else State.SUSPENDED, at)
            case "one address" if late and not model.one_address:
                model.one_address = True
                self.driver.share_address()
            case "kin" if at > START + timedelta(days=3) and not model.kin:
                model.kin.add(KIN)
                self.driver.become_ann()
            case "merge after bob was out" if late:
                self.change_the_world(("bob", False))
                self.wait(2, ticks=False)
                self.change_the_world(("bob", True))
                self.change_the_world("merge")
                clicks = [("ann-1", 0.5)]
                self.buy(2, STRANGER, foreign=False, given="bob-1", clicks=clicks, ago=1, alone=True)
            case "merge" if late:
                model.merge("bob", "ann")
                self.driver.merge("bob", "ann", at)
            case "ann-2" | "bob-2" if late and change not in model.removed:
                model.removed[change] = at
                self.driver.remove(change, at)

    @invariant()
    def the_figures_are_those_of_the_model(self):
        if self.wave:
            return
        buckets, kept, statuses, links = self.driver.figures()
        for name, (its, earned) in buckets.items():
            assert asdict(its) == self.model.buckets(name)
            assert min(its.pending_minor, its.requested_minor, its.converted_minor, its.paid_minor) >= 0
            had = its.pending_minor + its.available_minor + its.requested_minor + its.converted_minor + its.paid_minor
            assert had - its.debt_minor == earned
        names = {its.affiliate_id: name for name, its in self.driver.affiliates.items()} | {None: None}
        assert {order: figures_of(its, names) for order, its in kept.items()} == {
            order: its.figures() for order, its in self.model.sales.items()
        }
        assert statuses == {claim_id: its.status for claim_id, its in self.model.claims.items()}
        assert links == {code: self.model.sold(code) for code in CODES}
        self.driver.prove()

    def teardown(self):
        self.flush()
        self.driver.end()


def figures_of(its, names):
    return (
        names[its.affiliate_id],
        its.code,
        its.state,
        its.reason,
        its.rate_bps,
        its.amount_minor,
        its.order_version,
        its.revenue_minor,
        its.payable_at,
    )


def test_in_memory_it_comes_to_what_the_model_says():
    run(lambda: Machine(Memory()), examples=350, steps=50)


async def test_in_the_database_it_comes_to_what_the_model_says(api, worker, monkeypatch):
    monkeypatch.setattr(consumers, "clock", SimpleNamespace())
    loop = asyncio.get_running_loop()
    await asyncio.to_thread(run, lambda: Machine(Stored(api, worker, loop)), examples=70, steps=40, shrinks=False)
