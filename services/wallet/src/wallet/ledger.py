"""The rules of the ledger: what a posting comes to. Pure; amounts in minor units.

Postings are decided in order on one ``Book``, so the second of two spenders sees what the first has left.
"""

from datetime import datetime

from contracts.wallet import EntryType
from wallet import holds
from wallet.book import Account, Book
from wallet.postings import Capture, Outcome, Place, Post, Posted, Posting, Reason

LIMIT = 10**15

_ONLY_GIVE = {EntryType.CREDIT, EntryType.REFUND, EntryType.PROMO}
_ONLY_TAKE = {EntryType.DEBIT, EntryType.PAYMENT, EntryType.EXPIRED}


def fits(kind: EntryType, amount_minor: int) -> bool:
    """Whether a type of entry may have an amount of this sign; none may be zero."""
    if amount_minor > 0:
        return kind not in _ONLY_TAKE
    return amount_minor < 0 and kind not in _ONLY_GIVE


def decide(book: Book, posting: Posting, entry_id: str, at: datetime) -> Outcome:
    """What a posting comes to, now that all before it are done. ``entry_id`` is for the entry it may lead to."""
    if isinstance(posting, Post):
        return _post(book, posting, entry_id, at)
    if isinstance(posting, Place):
        return holds.place(book, posting, at)
    if isinstance(posting, Capture):
        return holds.capture(book, posting, entry_id, at)
    return holds.release(book, posting, at)


def _post(book: Book, posting: Post, entry_id: str, at: datetime) -> Outcome:
    known = book.answers.get(posting.cause) if posting.cause is not None else None
    if known is not None:
        return known
    reason = _objection(book.accounts[posting.customer_id], posting)
    if reason is not None:
        return book.refuse(posting, reason.value, at)
    return Posted(book.enter(posting, entry_id, at))


def _objection(account: Account, posting: Post) -> Reason | None:
    if not fits(posting.type, posting.amount_minor):
        return Reason.AMOUNT_INVALID
    if posting.currency != account.currency:
        return Reason.CURRENCY_MISMATCH
    if -posting.amount_minor > account.available_minor:
        return Reason.INSUFFICIENT_CREDIT
    if account.balance_minor + posting.amount_minor >= LIMIT:
        return Reason.BALANCE_LIMIT
    return None
