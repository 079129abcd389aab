"""Proving a customer's books: what their entries come to, line by line. Pure; amounts in minor units."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from contracts.wallet import EntryType
from wallet import chain
from wallet.entries import Entry


class Left(NamedTuple):
    """What is left of a grant, and how much of it expired."""

    left_minor: int
    expired_minor: int = 0


_NOTHING = Left(0)


@dataclass(slots=True)
class Standing:
    """Where a customer's entries have come to.

    ``grants``: what they have left and what expired, by sequence, of those that have either.
    """

    store_id: str
    customer_id: str
    currency: str
    sequence: int = 0
    balance_minor: int = 0
    debt_minor: int = 0
    hash: bytes = b""
    grants: dict[int, Left] = field(default_factory=dict)

    def follow(self, entries: Iterable[Entry]) -> list[str]:
        """Go on with the next entries; what is wrong with them, a sentence each."""
        return [sentence for entry in entries for sentence in self._follow(entry)]

    def _follow(self, entry: Entry) -> list[str]:
        self.sequence += 1
        self.balance_minor += entry.change_minor
        self.debt_minor += entry.debt_change_minor
        self.hash = chain.link(self.hash, self.store_id, entry)
        wrong = self._flaws(entry)
        self.sequence, self.hash = entry.sequence, entry.hash
        self.balance_minor, self.debt_minor = entry.balance_after_minor, entry.debt_after_minor
        return [self.say(f"{entry.entry_id} {flaw}") for flaw in [*wrong, *self._move(entry)]]

    def _flaws(self, entry: Entry) -> list[str]:
        wrong = []
        if entry.sequence != self.sequence:
            wrong.append(f"is entry {entry.sequence}, not {self.sequence}")
        if entry.balance_after_minor != self.balance_minor:
            wrong.append(f"should leave a balance of {self.balance_minor}, not {entry.balance_after_minor}")
        if entry.debt_after_minor != self.debt_minor:
            wrong.append(f"should leave a debt of {self.debt_minor}, not {entry.debt_after_minor}")
        if entry.hash != self.hash:
            wrong.append("does not continue the chain of hashes")
        if entry.currency != self.currency:
            wrong.append(f"is in {entry.currency}")
        return wrong

    def _move(self, entry: Entry) -> list[str]:
        if entry.opens_grant:
            self.grants[entry.sequence] = Left(entry.amount_minor)
            return []
        if not entry.change_minor:
            return ["has parts of grants, but moves no balance"] if entry.parts else []
        if sum(part.amount_minor for part in entry.parts) != entry.amount_minor:
            return ["has parts of grants that do not make its amount"]
        sign, wrong = (1 if entry.change_minor > 0 else -1), []
        for part in entry.parts:
            before = self.grants.pop(part.sequence, _NOTHING)
            expired = part.amount_minor if entry.type == EntryType.EXPIRED else 0
            after = Left(before.left_minor + sign * part.amount_minor, before.expired_minor + expired)
            if after.left_minor < 0:
                wrong.append(f"takes {-after.left_minor} more than grant {part.sequence} had left")
            if any(after):
                self.grants[part.sequence] = after
        return wrong

    def say(self, sentence: str) -> str:
        """A sentence about this customer."""
        return f"{self.customer_id} of {self.store_id}: {sentence}"
