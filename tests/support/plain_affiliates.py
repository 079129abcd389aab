"""Affiliates as plain lists of sales and claims, written from the rules (design §5) and with no code of affiliates'.

Every sum is counted anew from what sales owe and claims took: nothing is kept twice.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

MINUTE = timedelta(minutes=1)
BEGINNING, END = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
WAITING, FREE = ("pending", "held"), "payable"
IN_FLIGHT = ("PROCESSING", "PENDING", "APPROVED", "SENT")


@dataclass(eq=False)
class Person:
    """``deals``: since when, which rate and how many days of waiting are agreed with them.

    ``turns``: when they became active, or no longer were, in turns.
    """

    name: str
    turns: list[datetime]
    deals: list[tuple[datetime, int | None, int | None]] = field(default_factory=list)

    @property
    def active(self) -> bool:
        return len(self.turns) % 2 == 1

    def become(self, at: datetime, *, active: bool) -> None:
        if active != self.active:
            self.turns.append(at)

    def stretches(self, since: datetime = BEGINNING, until: datetime = END) -> list[tuple[datetime, datetime]]:
        """From and until when they were active, of a time."""
        whole = zip(self.turns[::2], [*self.turns[1::2], END], strict=False)
        parts = [(max(begin, since), min(end, until)) for begin, end in whole]
        return [(begin, end) for begin, end in parts if begin < end]


@dataclass(frozen=True)
class Program:
    since: datetime
    on: bool = True
    rate: int = 1000
    days: int = 0
    window: int = 30
    two: bool = False
    tiers: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Order:
    """One version of an order. ``given`` is the code it came with, ``clicks`` the links followed before."""

    order: str
    version: int
    base: int
    revenue: int
    foreign: bool
    buyer: str
    buyer_now: str
    given: str | None
    clicks: tuple[tuple[str, datetime], ...]
    completed: datetime


@dataclass(eq=False)
class Sale:
    person: Person | None
    code: str
    state: str
    why: str | None
    rate: int
    due: datetime
    completed: datetime
    version: int = 0
    base: int = 0
    revenue: int | None = None
    owed: int | None = None
    buyers: frozenset[str] = frozenset()
    foreign: bool = False
    cleared: bool = False
    kept: str | None = None  # why it is held, until it is released
    freed: bool | None = None  # whether its money became free last, or was held again, with whose it is

    def figures(self):
        name = None if self.person is None else self.person.name
        return name, self.code, self.state, self.why, self.rate, self.owed, self.version, self.revenue, self.due


@dataclass(eq=False)
class Claim:
    person: Person
    amount: int
    status: str
    approvable: datetime | None = None
    said_yes: set[str] = field(default_factory=set)
    gone: str | None = None  # by which transaction
    by_wallet: bool = False  # its no


@dataclass
class PlainAffiliates:
    at: datetime
    people: dict[str, Person]
    codes: dict[str, Person]
    program: list[Program]
    begun: datetime  # all links
    removed: dict[str, datetime] = field(default_factory=dict)
    one_address: bool = False  # all were paid at the same
    merged: bool = False
    given: dict[str, tuple[Person, datetime]] = field(default_factory=dict)  # whose codes were, until when
    kin: set[str] = field(default_factory=set)  # other customers who turned out to be ann
    sales: dict[str, Sale] = field(default_factory=dict)
    claims: dict[str, Claim] = field(default_factory=dict)
    suspects: set[str] = field(default_factory=set)

    # What everybody has

    def owed(self, person: Person, *states: str) -> int:
        return sum(its.owed or 0 for its in self.sales.values() if its.person is person and its.state in states)

    def taken(self, person: Person, *statuses: str) -> int:
        return sum(its.amount for its in self.claims.values() if its.person is person and its.status in statuses)

    def settled(self, person: Person) -> int:
        return self.owed(person, FREE) - self.taken(person, *IN_FLIGHT, "COMPLETED", "CONFIRMED")

    def buckets(self, name: str) -> dict[str, int]:
        person = self.people[name]
        return {
            "pending_minor": self.owed(person, *WAITING),
            "settled_minor": self.settled(person),
            "requested_minor": self.taken(person, *IN_FLIGHT),
            "converted_minor": self.taken(person, "COMPLETED"),
            "paid_minor": self.taken(person, "CONFIRMED"),
        }

    def sold(self, code: str) -> tuple[int, int]:
        """(sales, revenue) of a link"""
        its = [sale for sale in self.sales.values() if sale.code == code and sale.state not in ("declined", "denied")]
        its = [sale for sale in its if sale.person is not None]
        return len(its), sum(sale.revenue or 0 for sale in its)

    def volume(self, person: Person) -> int:
        return sum(self.sold(code)[1] for code, its in self.codes.items() if its is person)

    def sold_before(self, person: Person, moment: datetime) -> int:
        its = [sale for sale in self.sales.values() if sale.person is person and sale.completed < moment]
        return sum(sale.revenue or 0 for sale in its if sale.state not in ("declined", "denied"))

    # Orders

    def tell(self, orders: list[Order]) -> None:
        """One delivery: of each order its highest version counts, in the order in which they are first named."""
        latest: dict[str, Order] = {}
        for order in orders:
            if order.order not in latest or order.version > latest[order.order].version:
                latest[order.order] = order
        volumes = {name: self.volume(person) for name, person in self.people.items()}  # before this delivery
        for order in latest.values():
            new = order.order not in self.sales
            if new and (sale := self.decide(order, volumes)) is not None:
                self.sales[order.order] = sale
            if order.order not in self.sales:
                continue
            sale = self.sales[order.order]
            self.fold(sale, order)
            if new and sale.owed is not None and sale.person is not None:
                volumes[sale.person.name] += sale.revenue or 0

    def decide(self, order: Order, volumes: dict[str, int]) -> Sale | None:
        program = self.program_at(order.completed)
        touches = [] if order.given is None else [(order.given, None)]
        touches += sorted(order.clicks, key=lambda click: click[1], reverse=True)
        if not touches:
            return None
        verdicts = [(code, self.against(code, clicked, order, program)) for code, clicked in touches]
        code, why = next((its for its in verdicts if its[1] is None), verdicts[0])
        if why is None and not program.on:
            why = "program_off"
        person = self.codes.get(code)
        rate, days = self.deal(person, program, order.completed, volumes)
        due = order.completed + timedelta(days=days)
        return Sale(person, code, "declined" if why else "new", why, rate, due, order.completed)

    def against(self, code: str, clicked: datetime | None, order: Order, program: Program) -> str | None:
        if code not in self.codes:
            return "unknown_code"
        if code in self.removed and self.removed[code] <= order.completed:
            return "link_inactive"
        if order.completed < self.begun - MINUTE:
            return "link_inactive"
        if not self.was_active(code, order.completed):
            return "not_active"
        if clicked is not None and clicked < order.completed - timedelta(days=program.window):
            return "outside_window"
        return None

    def was_active(self, code: str, moment: datetime) -> bool:
        """Whose a code was counts as active from a minute before they are: clocks differ."""
        stays, (gone, merged) = self.codes[code], self.given.get(code, (None, BEGINNING))
        its = stays.stretches(since=merged) + (gone.stretches(until=merged) if gone else [])
        return any(begin - MINUTE <= moment < end for begin, end in its)

    def program_at(self, moment: datetime) -> Program:
        return max((its for its in self.program if its.since <= moment), key=lambda its: its.since)

    def deal(self, person, program, moment, volumes) -> tuple[int, int]:
        """(rate, days of waiting)"""
        if person is None:
            return program.rate, program.days
        deals = [its for its in person.deals if its[0] <= moment]
        _, rate, days = max(deals, key=lambda its: its[0]) if deals else (None, None, None)
        days = program.days if days is None else days
        if rate is not None:
            return rate, days
        reached = [rate for volume, rate in program.tiers if volume <= volumes[person.name]]
        return (reached[-1] if reached else program.rate), days

    def fold(self, sale: Sale, order: Order) -> None:
        if order.version <= sale.version:
            return
        sale.version, sale.base, sale.foreign = order.version, order.base, order.foreign
        sale.revenue = None if order.foreign else order.revenue
        sale.buyers = frozenset({order.buyer, order.buyer_now})
        if sale.state == "denied" or (sale.state == "declined" and sale.why != "own_purchase"):
            return
        self.value(sale, "fraud" if order.order in self.suspects and not sale.cleared else None)

    def value(self, sale: Sale, doubt: str | None) -> None:
        """What it owes by what is known of its order; where it owed nothing yet it is held, waits, or is free."""
        if self.is_own(sale):
            sale.state, sale.why, sale.owed = "declined", "own_purchase", None
        elif sale.foreign:
            sale.state, sale.why, sale.owed = "held", "no_rate", None
        else:
            fresh = sale.owed is None
            sale.owed = max(sale.base, 0) * sale.rate // 10_000
            if fresh:
                sale.kept = sale.kept or doubt
                sale.state, sale.why = "held" if sale.kept else self.reached(sale), sale.kept

    def is_own(self, sale: Sale) -> bool:
        if sale.person is None:
            return False
        return bool(sale.buyers & self.same(sale.person))

    def same(self, person: Person) -> set[str]:
        """By which names a person buys."""
        names = set(self.people) if self.one_address or self.merged else {person.name}
        return names | self.kin if "ann" in names else names

    def reached(self, sale: Sale) -> str:
        return FREE if sale.due <= self.at else "pending"

    # What time and staff do

    def look_again(self) -> None:
        """What turned out to be one's own purchase is declined, also when it was taken."""
        for sale in self.sales.values():
            if sale.state in ("held", "pending", FREE) and self.is_own(sale):
                sale.state, sale.why, sale.owed = "declined", "own_purchase", None

    def tick(self) -> None:
        self.look_again()
        for sale in self.sales.values():
            if sale.state == "pending":
                self.shift(sale, self.reached(sale), None)
        for order in self.suspects:
            sale = self.sales.get(order)
            if sale and sale.state in ("pending", FREE) and not sale.cleared:
                self.shift(sale, "held", "fraud")

    def shift(self, sale: Sale, state: str, why: str | None) -> None:
        if sale.owed and (sale.state == FREE) != (state == FREE) and sale.person is not None:
            sale.freed = state == FREE
        sale.state, sale.why, sale.kept = state, why, why

    def suspect(self, order: str) -> None:
        self.suspects.add(order)

    def hold(self, sale: Sale) -> None:
        if sale.state in ("pending", FREE):
            self.shift(sale, "held", "staff")

    def release(self, sale: Sale) -> None:
        if sale.state == "held" and sale.owed is not None and self.is_own(sale):
            sale.state, sale.why, sale.owed = "declined", "own_purchase", None
        elif sale.state == "held" and sale.owed is not None:
            self.shift(sale, self.reached(sale), None)
            sale.cleared = True

    def deny(self, sale: Sale) -> None:
        if sale.state not in ("declined", "denied"):
            sale.state, sale.why, sale.owed = "denied", "terms", None

    def reattribute(self, order: str, code: str) -> str | None:
        """Why not; else it is whose code that is, on the terms of its day, and held if it was."""
        sale, heir = self.sales[order], self.codes[code]
        same = sale.person is heir
        if same and sale.code == code and sale.state not in ("declined", "denied"):
            return None
        program = self.program_at(sale.completed)
        if against := self.against_giving(sale, heir, code, program):
            return against
        if sale.buyers & self.same(heir):
            return "own_purchase"
        doubt = "fraud" if sale.owed is None and order in self.suspects and not sale.cleared else None
        if not same:
            sale.freed = None
            volumes = {heir.name: self.sold_before(heir, sale.completed)}
            sale.rate, days = self.deal(heir, program, sale.completed, volumes)
            sale.due = sale.completed + timedelta(days=days)
        waited = same and sale.state == "pending"
        sale.person, sale.code, sale.owed = heir, code, None
        self.value(sale, doubt)
        if waited and sale.owed and sale.state == FREE:
            sale.freed = True
        return None

    def against_giving(self, sale: Sale, heir: Person, code: str, program: Program) -> str | None:
        if sale.state == "denied":
            return "commission_denied"
        if not heir.active:
            return "not_active"
        if code in self.removed:
            return "link_inactive"
        if not program.on:
            return "program_off"
        return "commission_taken" if sale.person is not heir and self.is_taken(sale) else None

    def is_taken(self, sale: Sale) -> bool:
        if not sale.owed or sale.person is None:
            return False
        if sale.state == FREE:
            return self.settled(sale.person) < sale.owed
        return sale.state == "held" and sale.freed is False and self.settled(sale.person) < 0

    def merge(self, old: str, into: str) -> None:
        """What was one's is the other's, but for what either had bought of the other."""
        gone, stays = self.people[old], self.people[into]
        stays.become(self.at, active=stays.active and gone.active)
        gone.become(self.at, active=False)
        self.merged = True
        self.given = {code: (gone, self.at) for code, its in self.codes.items() if its is gone}
        self.codes = {code: stays if its is gone else its for code, its in self.codes.items()}
        for its in (*self.claims.values(), *self.sales.values()):
            its.person = stays if its.person is gone else its.person
        self.look_again()

    def set_program(self, **more) -> Program:
        self.program.append(replace(self.program[-1], since=self.at, **more))
        return self.program[-1]

    def agree(self, name: str, rate: int | None, days: int | None) -> None:
        self.people[name].deals.append((self.at, rate, days))

    # What they take

    def objection(self, name: str, amount: int) -> str | None:
        person = self.people[name]
        if not person.active:
            return "not_active"
        return "insufficient_balance" if amount > self.settled(person) else None

    def take(self, claim: str, name: str, amount: int, rests: int | None = None) -> str | None:
        """A conversion, or a payout to an address that rests for some days."""
        against = self.objection(name, amount)
        if against is None:
            until = None if rests is None else self.at + timedelta(days=rests)
            self.claims[claim] = Claim(self.people[name], amount, "PROCESSING" if until is None else "PENDING", until)
        return against

    def answer(self, claim: str, credited: bool) -> None:
        its = self.claims[claim]
        if its.status == "PROCESSING":
            its.status, its.by_wallet = "COMPLETED" if credited else "FAILED", not credited

    def staff(self, claim: str, does: str, who: str) -> str | None:
        """What staff do to a payout; why not, if they may not. What is done already is done."""
        its = self.claims[claim]
        before, done = WAYS[does]
        if its.status in done and not (its.status == "FAILED" and its.by_wallet != (does == "settle")):
            return "claim_status" if does == "send" and its.gone != who else None
        if its.status not in before:
            return "claim_status"
        if does in ("approve", "settle") and not its.person.active:
            return "not_active"
        if does in ("approve", "settle") and self.settled(its.person) < 0:
            return "in_debt"
        if does == "approve":
            return self.approve(its, who)
        its.status, its.gone = done[0], who if does == "send" else its.gone
        return None

    def approve(self, its: Claim, who: str) -> str | None:
        if its.approvable is not None and self.at < its.approvable:
            return "cooling_period"
        again = who in its.said_yes
        its.said_yes.add(who)
        if len(its.said_yes) > self.program_at(self.at).two:
            its.status = "APPROVED"
        elif again:
            return "second_person_needed"
        return None


# From where staff may do it, and where it has been done.
WAYS = {
    "approve": (("PENDING",), ("APPROVED",)),
    "reject": (("PENDING", "APPROVED"), ("REJECTED",)),
    "send": (("APPROVED",), ("SENT",)),
    "confirm": (("SENT",), ("CONFIRMED",)),
    "fail": (("SENT",), ("FAILED",)),
    "settle": (("PENDING", "APPROVED"), ("PROCESSING", "COMPLETED", "FAILED")),
}
