"""What a batch of postings may touch, as it was locked and read, and what its decisions have made of it. Pure.

Whatever is written keeps three sums: a balance is what its grants have left, what is held is what they have held, and
a customer with debt has nothing available.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from contracts.wallet import EntryType
from wallet import chain
from wallet.entries import ADJUSTMENT, CLAIM, DEBT, GRANT, Cause, Entry, Part, Side
from wallet.grants import Grant, Grants
from wallet.postings import Hold, Post, Posted, Refusal, Refused
from wallet.terms import Terms

LIMIT = 10**15  # no balance and no debt is so large


@dataclass(slots=True)
class Account:
    """A customer's credit in minor units: ``held_minor`` of ``balance_minor`` is set aside.

    Nothing of it expires before ``due_at``; ``hash`` and ``posted_at`` are those of its last entry.
    """

    customer_id: str
    currency: str
    balance_minor: int = 0
    held_minor: int = 0
    debt_minor: int = 0
    sequence: int = 0
    hash: bytes = b""
    due_at: datetime | None = None
    posted_at: datetime | None = None
    grants: Grants = field(default_factory=Grants)

    @property
    def available_minor(self) -> int:
        """What can be spent."""
        return self.balance_minor - self.held_minor

    def is_due(self, at: datetime) -> bool:
        """Whether something may have to expire."""
        return self.due_at is not None and self.due_at <= at

    def note_due(self, expires_at: datetime | None) -> None:
        """Something of it expires then."""
        if expires_at is not None and (self.due_at is None or expires_at < self.due_at):
            self.due_at = expires_at


@dataclass(frozen=True, slots=True)
class Line:
    """An entry to be: what moves from ``debit`` to ``credit``, and why."""

    type: EntryType
    debit: Side
    credit: Side
    amount_minor: int
    cause: Cause | None  # None: it is its own
    parts: tuple[Part, ...] = ()
    reason: str | None = None
    note: str | None = None
    expires_at: datetime | None = None


@dataclass(slots=True)
class Book:
    """The accounts, holds and earlier answers that a batch needs, and the changes it is going to write.

    ``merged`` says of customers who were merged who acts for them; ``mint`` makes the ids of entries.
    """

    store_id: str
    at: datetime
    terms: Terms
    mint: Callable[[], str]
    accounts: dict[str, Account]
    merged: dict[str, str] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    answers: dict[Cause, Posted | Refused] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    touched_accounts: dict[str, Account] = field(default_factory=dict)
    touched_grants: dict[tuple[str, int], Grant] = field(default_factory=dict)
    touched_holds: dict[str, Hold] = field(default_factory=dict)

    def account(self, customer_id: str) -> Account:
        """A customer's account, with what is over expired."""
        account = self.accounts[customer_id]
        if account.is_due(self.at):
            self._expire_due(account)
        return account

    def enter(self, account: Account, line: Line) -> Entry:
        """Write a customer's next line: the only place where a balance or a debt changes."""
        self.touched_accounts[account.customer_id] = account
        entry_id = self.mint()
        account.sequence += 1
        account.posted_at = max(self.at, account.posted_at or self.at)  # whatever the clocks of two processes say
        cause = line.cause or Cause(ADJUSTMENT, entry_id)
        entry = Entry(
            entry_id,
            account.customer_id,
            account.sequence,
            line.type.value,
            line.debit.value,
            line.credit.value,
            line.amount_minor,
            0,
            0,
            account.currency,
            cause.kind,
            cause.id,
            line.reason,
            line.parts,
            line.expires_at,
            account.posted_at,
        )
        account.balance_minor += entry.change_minor
        account.debt_minor += entry.debt_change_minor
        account.hash = chain.link(account.hash, self.store_id, entry)
        entry = entry._replace(
            balance_after_minor=account.balance_minor, debt_after_minor=account.debt_minor, hash=account.hash
        )
        self._move(account, entry)
        self.entries.append(entry)
        if line.note is not None:
            self.notes.append((entry_id, line.note))
        return entry

    def net(self, account: Account, cause_id: str) -> None:
        """Pay debt with what is available: the first thing that new credit is for."""
        amount = min(account.debt_minor, account.available_minor)
        if amount:
            parts = account.grants.choose(amount)
            cause = Cause(DEBT, cause_id)
            self.enter(account, Line(EntryType.DEBIT, Side.CUSTOMER, Side.CUSTOMER_DEBT, amount, cause, parts))

    def refuse(self, posting: Post, reason: str) -> Refused:
        """Say no; to a claim for ever, since its asker acts on it."""
        refused = Refused(reason)
        if posting.cause is not None and posting.cause.kind == CLAIM:
            self.answers[posting.cause] = refused
            self.refusals.append(Refusal(*posting.cause, posting.customer_id, reason, self.at))
        return refused

    def keep(self, hold: Hold) -> Hold:
        """Store a hold as it is now."""
        self.holds[hold.hold_id] = self.touched_holds[hold.hold_id] = hold
        return hold

    def set_aside(self, account: Account, parts: tuple[Part, ...]) -> None:
        """Hold so much of these grants."""
        self._hold(account, parts, 1)

    def free(self, account: Account, parts: tuple[Part, ...]) -> None:
        """Hold so much less of these grants."""
        self._hold(account, parts, -1)

    def settle(self, account: Account, parts: tuple[Part, ...], cause_id: str) -> None:
        """See to what has become free: what is over expires, the rest is for debt first."""
        for part in parts:
            grant = account.grants[part.sequence]
            if grant.is_over(self.at):
                self._expire(account, grant)
            else:
                account.note_due(grant.expires_at)
        self.net(account, cause_id)

    def _hold(self, account: Account, parts: tuple[Part, ...], sign: int) -> None:
        self.touched_accounts[account.customer_id] = account
        for part in parts:
            self._touch(account, part.sequence).held_minor += sign * part.amount_minor
            account.held_minor += sign * part.amount_minor

    def _expire_due(self, account: Account) -> None:
        """Post what is over and not held, grant by grant. Nothing is due then before the next date."""
        self.touched_accounts[account.customer_id] = account
        account.due_at = None
        for grant in account.grants:
            if grant.free_minor and grant.is_over(self.at):
                self._expire(account, grant)
            elif grant.free_minor:
                account.note_due(grant.expires_at)
                break

    def _expire(self, account: Account, grant: Grant) -> None:
        if amount := grant.free_minor:
            parts, cause = (Part(grant.sequence, amount),), Cause(GRANT, grant.entry_id)
            self.enter(account, Line(EntryType.EXPIRED, Side.CUSTOMER, Side.BREAKAGE, amount, cause, parts))
            grant.expired_minor += amount

    def _move(self, account: Account, entry: Entry) -> None:
        """Have the grants follow an entry."""
        if entry.opens_grant:
            amount = entry.amount_minor
            grant = Grant(
                entry.sequence,
                entry.entry_id,
                entry.type,
                amount,
                amount,
                0,
                entry.expires_at,
                entry.posted_at,
                is_new=True,
            )
            account.grants.add(grant)
            account.note_due(grant.expires_at)
            self.touched_grants[account.customer_id, grant.sequence] = grant
        sign = 1 if entry.credit_account == Side.CUSTOMER else -1
        for part in entry.parts:
            self._touch(account, part.sequence).left_minor += sign * part.amount_minor

    def _touch(self, account: Account, sequence: int) -> Grant:
        grant = self.touched_grants[account.customer_id, sequence] = account.grants[sequence]
        return grant
