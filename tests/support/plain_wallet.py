"""A wallet as plain lists of what everybody has, written from the rules (design §5) and with no code of the wallet's.

Held is counted from the holds, a balance from what the credits have left: nothing is kept twice.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(eq=False)
class Credit:
    number: int
    left: int
    expires: datetime | None
    expired: int = 0


@dataclass(eq=False)
class Line:
    """An entry. ``gives`` to the balance, ``owes`` to the debt; ``parts`` of credits by their number."""

    person: str
    number: int
    type: str
    kind: str
    gives: int
    owes: int
    parts: dict[int, int]
    balance: int
    debt: int
    expires: datetime | None = None


@dataclass(eq=False)
class Person:
    name: str
    credits: list[Credit] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    debt: int = 0


@dataclass(eq=False)
class Aside:
    person: Person
    order: str | None
    amount: int
    parts: list[tuple[Credit, int]]
    state: str
    why: str | None
    until: datetime
    captured: int = 0


@dataclass
class PlainWallet:
    """Answers are tuples: ``("posted", number, balance)``, ``("refused", reason)``, ``("placed",)``, …"""

    at: datetime
    people: dict[str, Person]
    cap: int | None = None
    days: int | None = None
    clips: bool = True
    refunds: bool = True
    asides: dict[str, Aside] = field(default_factory=dict)
    answers: dict[tuple[str, str], tuple] = field(default_factory=dict)
    paid: set[str] = field(default_factory=set)
    undone: set[Line] = field(default_factory=set)

    def held(self, credit: Credit) -> int:
        placed = [aside for aside in self.asides.values() if aside.state == "placed"]
        return sum(amount for aside in placed for its, amount in aside.parts if its is credit)

    def free(self, credit: Credit) -> int:
        return credit.left - self.held(credit)

    def figures(self, name: str) -> tuple[int, int, int, int]:
        """(balance, held, debt, sequence)"""
        person = self.people[name]
        balance = sum(credit.left for credit in person.credits)
        return balance, sum(map(self.held, person.credits)), person.debt, len(person.lines)

    def available(self, person: Person) -> int:
        return sum(map(self.free, person.credits))

    def is_over(self, credit: Credit) -> bool:
        return credit.expires is not None and credit.expires <= self.at

    def in_order(self, person: Person) -> list[Credit]:
        return sorted(person.credits, key=lambda credit: (credit.expires or NEVER, credit.number))

    def write(self, person, kind, type_, *, gives=0, owes=0, parts=(), expires=None) -> Line:
        person.debt += owes
        number, balance = len(person.lines) + 1, self.figures(person.name)[0]
        its = {credit.number: amount for credit, amount in parts}
        line = Line(person.name, number, type_, kind, gives, owes, its, balance, person.debt, expires)
        person.lines.append(line)
        return line

    def touch(self, person: Person) -> None:
        """What is over and free is gone before anything else happens."""
        for credit in self.in_order(person):
            self.lose(person, credit)

    def lose(self, person: Person, credit: Credit) -> None:
        amount = self.free(credit)
        if self.is_over(credit) and amount:
            credit.left -= amount
            credit.expired += amount
            self.write(person, "grant", "EXPIRED", gives=-amount, parts=[(credit, amount)])

    def pick(self, person: Person, amount: int, first: int | None = None) -> list[tuple[Credit, int]]:
        chosen, order = [], self.in_order(person)
        for credit in sorted(order, key=lambda credit: credit.number != first):
            now = min(self.free(credit), amount)
            amount -= now
            if now:
                chosen.append((credit, now))
        assert amount == 0
        return chosen

    def take(self, person, amount, kind, type_, *, owes=0, first=None) -> Line:
        parts = self.pick(person, amount, first)
        for credit, part in parts:
            credit.left -= part
        return self.write(person, kind, type_, gives=-amount, owes=owes, parts=parts)

    def give(self, person, amount, kind, type_, expires) -> Line:
        person.credits.append(Credit(len(person.lines) + 1, amount, expires))
        line = self.write(person, kind, type_, gives=amount, expires=expires)
        self.pay(person)
        return line

    def pay(self, person: Person) -> None:
        """Debt is what anything new is for."""
        amount = min(person.debt, self.available(person))
        if amount:
            self.take(person, amount, "debt", "DEBIT", owes=-amount)

    def settle(self, person: Person, parts) -> None:
        for credit, _ in parts:
            self.lose(person, credit)
        self.pay(person)

    def post(self, name, type_, amount, expires="default", cause=None):
        if cause in self.answers:
            return self.answers[cause]
        person = self.people[name]
        self.touch(person)
        why = self.objection(person, type_, amount, expires)
        if why is not None:
            if cause is not None and cause[0] == "claim":
                self.answers[cause] = ("refused", why)
            return ("refused", why)
        kind = cause[0] if cause else "adjustment"
        if amount < 0:
            line = self.take(person, -amount, kind, type_)
        else:
            if type_ == "PROMO" and self.room(person) is not None:
                amount = min(amount, self.room(person))
            if expires == "default":
                expires = None if self.days is None else self.at + timedelta(days=self.days)
            line = self.give(person, amount, kind, type_, None if expires == "never" else expires)
        answer = ("posted", line.number, self.figures(name)[0])
        if cause is not None:
            self.answers[cause] = answer
        return answer

    def objection(self, person, type_, amount, expires) -> str | None:
        if amount < 0:
            return "insufficient_credit" if -amount > self.available(person) else None
        if isinstance(expires, datetime) and expires <= self.at:
            return "expires_at_past"
        if type_ == "REFUND":
            return None if self.refunds else "refunds_as_credit_off"
        room = self.room(person)
        if room is None or amount <= room:
            return None
        return None if type_ == "PROMO" and self.clips and room else "balance_cap"

    def room(self, person: Person) -> int | None:
        """A cap counts what is there and held; what debt takes at once does not stay."""
        if self.cap is None:
            return None
        return max(0, self.cap - self.figures(person.name)[0]) + person.debt

    def reverse(self, line: Line):
        person = self.people[line.person]
        self.touch(person)
        if line in self.undone:
            return ("refused", "already_reversed")
        if line.kind not in {"adjustment", "gift_code", "promotion"} or not line.gives:
            return ("refused", "not_reversible")
        amount = line.gives
        if amount > 0:
            amount -= next(credit.expired for credit in person.credits if credit.number == line.number)
        if not amount:
            return ("refused", "nothing_left")
        self.undone.add(line)
        first = len(person.lines)
        if line.gives > 0:
            taken = min(amount, self.available(person))
            if taken:
                self.take(person, taken, "reversal", "ADJUSTMENT", first=line.number)
            if owed := amount - taken:
                self.write(person, "shortfall" if taken else "reversal", "ADJUSTMENT", owes=owed)
        else:
            parts = [(credit, line.parts[credit.number]) for credit in person.credits if credit.number in line.parts]
            parts.sort(key=lambda part: list(line.parts).index(part[0].number))
            for credit, amount in parts:
                credit.left += amount
            self.write(person, "reversal", "ADJUSTMENT", gives=-line.gives, parts=parts)
            self.settle(person, parts)
        return ("posted", person.lines[first].number, self.figures(person.name)[0])

    def place(self, hold, name, order, amount):
        known = self.asides.get(hold)
        if known is not None:
            again = {"placed": ("placed",), "captured": ("placed",), "refused": ("refused", known.why)}
            return again.get(known.state, ("refused", "hold_ended"))
        person = self.people[name]
        self.touch(person)
        fits = amount <= self.available(person)
        parts = self.pick(person, amount) if fits else []
        state, why = ("placed", None) if fits else ("refused", "insufficient_credit")
        self.asides[hold] = Aside(person, order, amount, parts, state, why, self.at + timedelta(days=7))
        return ("placed",) if fits else ("refused", why)

    def capture(self, hold, name, order, amount):
        aside = self.asides.get(hold) or self.unknown(hold, name)
        if aside.state == "captured":
            return ("captured", aside.captured)
        if aside.state == "refused" or aside.why == "released":
            return ("refused", "hold_ended")
        if aside.state == "released" and aside.why != "expired":
            return ("refused", aside.why)
        if order != aside.order:
            return ("refused", "order_mismatch")
        if amount > aside.amount:
            return ("refused", "amount_exceeds_hold")
        return self.pay_order(aside, order, amount)

    def pay_order(self, aside: Aside, order: str, amount: int):
        person = aside.person
        self.touch(person)
        if order in self.paid:
            self.end(aside, "order_paid")
            return ("refused", "order_paid")
        parts, rest, still = aside.parts, [], amount
        if aside.state == "placed":
            for credit, _ in parts:
                assert credit.left >= self.held(credit)
        elif amount <= self.available(person):
            parts = self.pick(person, amount)
        else:
            aside.why = "insufficient_credit"
            return ("refused", "insufficient_credit")
        taken = []
        for credit, part in parts:
            now = min(part, still)
            still -= now
            credit.left -= now
            taken += [(credit, now)] if now else []
            rest += [(credit, part - now)] if part > now else []
        aside.state, aside.why, aside.captured = "captured", None, amount
        self.paid.add(order)
        self.write(person, "order", "PAYMENT", gives=-amount, parts=taken)
        self.settle(person, rest)
        return ("captured", amount)

    def unknown(self, hold: str, name: str) -> Aside:
        aside = self.asides[hold] = Aside(self.people[name], None, 0, [], "released", "unknown_hold", self.at)
        return aside

    def end(self, aside: Aside, why: str) -> None:
        placed = aside.state == "placed"
        if placed:
            self.touch(aside.person)
        aside.state, aside.why = "released", why
        if placed:
            self.settle(aside.person, aside.parts)

    def release(self, hold, name):
        aside = self.asides.get(hold) or self.unknown(hold, name)
        if aside.state == "captured":
            return ("captured", aside.captured)
        if aside.state == "placed":
            self.end(aside, "released")
        return ("released", aside.why if aside.why in {"unknown_hold", "expired"} else "released")

    def lapse(self, hold):
        aside = self.asides[hold]
        if aside.state != "placed" or aside.until > self.at:
            return ("done",)
        self.end(aside, "expired")
        return ("released", "expired")

    def expire(self, name):
        self.touch(self.people[name])
        return ("done",)

    def transfer(self, name, into):
        source, target = self.people[name], self.people[into]
        self.touch(source)
        self.touch(target)
        for credit in self.in_order(source):
            if amount := self.free(credit):
                self.take(source, amount, "merge", "ADJUSTMENT", first=credit.number)
                self.give(target, amount, "merge", "ADJUSTMENT", credit.expires)
        if owed := source.debt:
            self.write(source, "merge", "ADJUSTMENT", owes=-owed)
            self.write(target, "merge", "ADJUSTMENT", owes=owed)
            self.pay(target)
        return ("done",)
