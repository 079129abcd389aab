"""What replies have in common: how a transaction is shown, posted or read; and what is refused."""

from datetime import datetime

from pydantic import BaseModel, Field

from chassis.money import Major, major
from chassis.problems import Flaw
from wallet.entries import Entry
from wallet.postings import Posted
from wallet.store_lists import Transaction

OVER = Flaw(pointer="/expires_at", code="expires_at_past", message="this is over already")


class CauseReply(BaseModel):
    """What led to a transaction."""

    kind: str
    id: str


class TransactionReply(BaseModel):
    """One line of the wallet's history; ``balance`` is what it left, ``debt`` what the customer owes after it.

    With ``on_debt`` it changes what is owed and leaves the balance as it was.
    """

    id: str
    customer_id: str
    sequence: int
    type: str
    amount: Major
    balance: Major
    debt: Major
    on_debt: bool
    currency: str
    reason: str | None
    note: str | None
    cause: CauseReply
    expires_at: datetime | None = Field(description="When what this credit has left is gone; null: never")
    created_at: datetime


def show(row: Transaction) -> TransactionReply:
    """A line as it was read."""
    return show_entry(row.entry, row.note)


def show_posted(posted: Posted, note: str | None) -> TransactionReply:
    """An entry that was just posted, with balance and debt as all that it led to has left them."""
    entry = posted.entry._replace(balance_after_minor=posted.balance_minor, debt_after_minor=posted.debt_minor)
    return show_entry(entry, note)


def show_entry(entry: Entry, note: str | None) -> TransactionReply:
    """An entry as its line in the history."""
    currency = entry.currency
    return TransactionReply(
        id=entry.entry_id,
        customer_id=entry.customer_id,
        sequence=entry.sequence,
        type=entry.type,
        amount=major(entry.signed_minor, currency),
        balance=major(entry.balance_after_minor, currency),
        debt=major(entry.debt_after_minor, currency),
        on_debt=entry.on_debt,
        currency=currency,
        reason=entry.reason,
        note=note,
        cause=CauseReply(kind=entry.cause_kind, id=entry.cause_id),
        expires_at=entry.expires_at,
        created_at=entry.posted_at,
    )
