"""What a batch of postings may touch, as it was locked and read, and what its decisions have made of it."""

from dataclasses import dataclass, field
from datetime import datetime

from contracts.wallet import EntryType
from wallet.postings import ADJUSTMENT, CLAIM, Cause, Entry, Hold, Post, Posted, Refusal, Refused, Side

_OTHER_SIDE = {
    EntryType.REFUND: Side.REFUNDS,
    EntryType.PROMO: Side.PROMOTIONS,
    EntryType.PAYMENT: Side.ORDERS,
    EntryType.EXPIRED: Side.BREAKAGE,
}


@dataclass(slots=True)
class Account:
    """A customer's credit in minor units: ``held_minor`` of ``balance_minor`` is set aside."""

    customer_id: str
    currency: str
    balance_minor: int = 0
    held_minor: int = 0
    sequence: int = 0

    @property
    def available_minor(self) -> int:
        """What can be spent."""
        return self.balance_minor - self.held_minor


@dataclass(slots=True)
class Book:
    """The accounts, holds and earlier answers that a batch needs, and the changes it is going to write."""

    accounts: dict[str, Account]
    holds: dict[str, Hold] = field(default_factory=dict)
    answers: dict[Cause, Posted | Refused] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    touched_accounts: dict[str, Account] = field(default_factory=dict)
    touched_holds: dict[str, Hold] = field(default_factory=dict)

    def enter(self, posting: Post, entry_id: str, at: datetime) -> Entry:
        """Write a customer's next line."""
        account = self._touch(posting.customer_id)
        account.sequence += 1
        account.balance_minor += posting.amount_minor
        cause = posting.cause or Cause(ADJUSTMENT, entry_id)
        other = Side.COMMISSIONS if cause.kind == CLAIM else _OTHER_SIDE.get(posting.type, Side.ADJUSTMENTS)
        taken = posting.amount_minor < 0
        entry = Entry(
            entry_id=entry_id,
            customer_id=account.customer_id,
            sequence=account.sequence,
            type=posting.type.value,
            debit_account=Side.CUSTOMER.value if taken else other.value,
            credit_account=other.value if taken else Side.CUSTOMER.value,
            amount_minor=abs(posting.amount_minor),
            balance_after_minor=account.balance_minor,
            currency=account.currency,
            cause_kind=cause.kind,
            cause_id=cause.id,
            reason=posting.reason,
            posted_at=at,
        )
        self.entries.append(entry)
        if posting.note is not None:
            self.notes.append((entry_id, posting.note))
        if posting.cause is not None:
            self.answers[posting.cause] = Posted(entry, again=True)
        return entry

    def refuse(self, posting: Post, reason: str, at: datetime) -> Refused:
        """Say no, and remember it where there is something to remember it by."""
        refused = Refused(reason)
        if posting.cause is not None:
            self.answers[posting.cause] = refused
            self.refusals.append(Refusal(*posting.cause, posting.customer_id, reason, at))
        return refused

    def keep(self, hold: Hold, *, held_minor: int = 0) -> Hold:
        """Store a hold as it is now; its customer has ``held_minor`` more set aside, or less."""
        if held_minor:
            self._touch(hold.customer_id).held_minor += held_minor
        self.holds[hold.hold_id] = self.touched_holds[hold.hold_id] = hold
        return hold

    def _touch(self, customer_id: str) -> Account:
        account = self.touched_accounts[customer_id] = self.accounts[customer_id]
        return account
