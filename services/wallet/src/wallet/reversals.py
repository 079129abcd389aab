"""Undoing an entry by a new one that is linked to it (design §5 wallet, clawbacks). Pure; amounts in minor units."""

from contracts.wallet import EntryType
from wallet.book import LIMIT, Account, Book, Line
from wallet.entries import ADJUSTMENT, GIFT_CODE, PROMOTION, REVERSAL, SHORTFALL, Cause, Entry, Side
from wallet.postings import Outcome, Posted, Reason, Refused, Reverse

# What other services count on stays: a claim's credit, an order's payment. So does what only mirrors another entry.
_REVERSIBLE = {ADJUSTMENT, GIFT_CODE, PROMOTION}


def reverse(book: Book, posting: Reverse) -> Outcome:
    """Take what an entry gave and is not over, by debt where it is spent; give back what it took, to its grants and dates."""
    origin, account = posting.origin, book.account(posting.customer_id)
    cause = Cause(REVERSAL, origin.entry_id)
    if cause in book.answers:
        return Refused(Reason.ALREADY_REVERSED.value)
    if origin.cause_kind not in _REVERSIBLE or not origin.change_minor:
        return Refused(Reason.NOT_REVERSIBLE.value)
    gave = origin.change_minor > 0
    amount = origin.amount_minor - (account.grants[origin.sequence].expired_minor if gave else 0)
    if not amount:
        return Refused(Reason.NOTHING_LEFT.value)
    if not _fits(account, origin, amount):
        return Refused(Reason.BALANCE_LIMIT.value)
    entry = _claw_back(book, account, posting, amount) if gave else _restore(book, account, posting)
    posted = Posted(entry, account.balance_minor, account.debt_minor)
    book.answers[cause] = posted._replace(again=True)
    return posted


def _fits(account: Account, origin: Entry, amount_minor: int) -> bool:
    if origin.change_minor > 0:
        return account.debt_minor + amount_minor - account.available_minor < LIMIT
    return account.balance_minor + amount_minor < LIMIT


def _claw_back(book: Book, account: Account, posting: Reverse, amount_minor: int) -> Entry:
    """Take it from its own grant first. What is spent or held is owed."""
    origin, cause = posting.origin, Cause(REVERSAL, posting.origin.entry_id)
    other = Side(origin.debit_account)
    taken = min(amount_minor, account.available_minor)
    entry = None
    if taken:
        parts = account.grants.choose(taken, first=origin.sequence)
        line = Line(EntryType.ADJUSTMENT, Side.CUSTOMER, other, taken, cause, parts, posting.reason, posting.note)
        entry = book.enter(account, line)
        cause = Cause(SHORTFALL, origin.entry_id)
    if owed := amount_minor - taken:
        note = None if entry else posting.note
        line = Line(EntryType.ADJUSTMENT, Side.CUSTOMER_DEBT, other, owed, cause, (), posting.reason, note)
        owing = book.enter(account, line)
        entry = entry or owing
    assert entry is not None, "an entry has an amount"
    return entry


def _restore(book: Book, account: Account, posting: Reverse) -> Entry:
    """Give it back to the grants it came from. What is over by now expires at once."""
    origin, cause = posting.origin, Cause(REVERSAL, posting.origin.entry_id)
    line = Line(
        EntryType.ADJUSTMENT,
        Side(origin.credit_account),
        Side.CUSTOMER,
        origin.amount_minor,
        cause,
        origin.parts,
        posting.reason,
        posting.note,
    )
    entry = book.enter(account, line)
    book.settle(account, origin.parts, entry.entry_id)
    return entry
