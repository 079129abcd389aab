"""The rules of the ledger: what a posting comes to. Pure; amounts in minor units.

Postings are decided in order on one ``Book``, so the second of two spenders sees what the first has left.
"""

from datetime import datetime

from contracts.wallet import EntryType, OverCap
from wallet import holds, reversals
from wallet.book import LIMIT, Account, Book, Line
from wallet.entries import CLAIM, MERGE, PROMOTION, Cause, Side
from wallet.postings import (
    Done,
    Expire,
    Expiry,
    OfHold,
    Outcome,
    Post,
    Posted,
    Posting,
    Reason,
    Reverse,
    Transfer,
)

_ONLY_GIVE = {EntryType.CREDIT, EntryType.REFUND, EntryType.PROMO}
_ONLY_TAKE = {EntryType.DEBIT, EntryType.PAYMENT, EntryType.EXPIRED}
_OTHER_SIDE = {
    EntryType.REFUND: Side.REFUNDS,
    EntryType.PROMO: Side.PROMOTIONS,
    EntryType.PAYMENT: Side.ORDERS,
    EntryType.EXPIRED: Side.BREAKAGE,
}


def fits(kind: EntryType, amount_minor: int) -> bool:
    """Whether a type of entry may have an amount of this sign; none may be zero."""
    if amount_minor > 0:
        return kind not in _ONLY_TAKE
    return amount_minor < 0 and kind not in _ONLY_GIVE


def decide(book: Book, posting: Posting) -> Outcome:
    """What a posting comes to, now that all before it are done."""
    match posting:
        case Post():
            return _post(book, posting)
        case Reverse():
            return reversals.reverse(book, posting)
        case Expire():
            book.account(posting.customer_id)
            return Done()
        case Transfer():
            _transfer(book, posting.customer_id, posting.into)
            return Done()
        case _:
            return _of_hold(book, posting)


def _of_hold(book: Book, posting: OfHold) -> Outcome:
    """What becomes of a hold. It stays where it was placed; what a merged customer's frees moves on at once."""
    outcome = holds.decide(book, posting)
    customer_id = book.holds[posting.hold_id].customer_id
    if customer_id in book.merged:
        _transfer(book, customer_id, book.merged[customer_id])
    return outcome


def _post(book: Book, posting: Post) -> Outcome:
    known = book.answers.get(posting.cause) if posting.cause is not None else None
    if known is not None:
        return known
    account = book.account(posting.customer_id)
    allowed = _allowed(book, account, posting)
    if isinstance(allowed, Reason):
        return book.refuse(posting, allowed.value)
    entry = book.enter(account, _give(book, posting, allowed) if allowed > 0 else _take(account, posting))
    if allowed > 0:
        book.net(account, entry.entry_id)
    posted = Posted(entry, account.balance_minor, account.debt_minor)
    if posting.cause is not None and posting.cause.kind != PROMOTION:  # that one gives to many
        book.answers[posting.cause] = posted._replace(again=True)
    return posted


def _allowed(book: Book, account: Account, posting: Post) -> int | Reason:
    """The amount that may be posted, less than asked for where a promotion is clipped; or why none."""
    if not fits(posting.type, posting.amount_minor):
        return Reason.AMOUNT_INVALID
    if posting.currency != account.currency:
        return Reason.CURRENCY_MISMATCH
    if -posting.amount_minor > account.available_minor:
        return Reason.INSUFFICIENT_CREDIT
    if posting.amount_minor > 0:
        return _allowed_to_give(book, account, posting)
    return posting.amount_minor


def _allowed_to_give(book: Book, account: Account, posting: Post) -> int | Reason:
    amount, terms = posting.amount_minor, book.terms
    if isinstance(posting.expires_at, datetime) and posting.expires_at <= book.at:
        return Reason.EXPIRES_AT_PAST
    if posting.type is EntryType.REFUND:
        if not terms.refunds_as_credit:
            return Reason.REFUNDS_AS_CREDIT_OFF
        room = None
    else:
        room = terms.room(account.balance_minor, account.debt_minor)
    if room is not None and amount > room:
        if room == 0 or posting.type is not EntryType.PROMO or terms.promo_over_cap is OverCap.REFUSE:
            return Reason.BALANCE_CAP
        amount = room
    return Reason.BALANCE_LIMIT if account.balance_minor + amount >= LIMIT else amount


def _give(book: Book, posting: Post, amount_minor: int) -> Line:
    return Line(
        posting.type,
        _other_side(posting),
        Side.CUSTOMER,
        amount_minor,
        posting.cause,
        reason=posting.reason,
        note=posting.note,
        expires_at=_expiry(book, posting.expires_at),
    )


def _take(account: Account, posting: Post) -> Line:
    return Line(
        posting.type,
        Side.CUSTOMER,
        _other_side(posting),
        -posting.amount_minor,
        posting.cause,
        account.grants.choose(-posting.amount_minor),
        posting.reason,
        posting.note,
    )


def _expiry(book: Book, asked: datetime | Expiry) -> datetime | None:
    match asked:
        case datetime():
            return asked
        case Expiry.DEFAULT:
            return book.terms.expiry(book.at)
        case _:
            return None


def _other_side(posting: Post) -> Side:
    if posting.cause is not None and posting.cause.kind == CLAIM:
        return Side.COMMISSIONS
    return _OTHER_SIDE.get(posting.type, Side.ADJUSTMENTS)


def _transfer(book: Book, customer_id: str, into: str) -> None:
    """Move what is available and owed, grant by grant with its date. No cap holds it up; what is held stays."""
    source, target = book.account(customer_id), book.account(into)
    out, back = Cause(MERGE, into), Cause(MERGE, customer_id)
    for grant in [grant for grant in source.grants if grant.free_minor]:
        amount = min(grant.free_minor, LIMIT - 1 - target.balance_minor)
        if amount:
            parts = source.grants.choose(amount, first=grant.sequence)
            book.enter(source, Line(EntryType.ADJUSTMENT, Side.CUSTOMER, Side.ADJUSTMENTS, amount, out, parts))
            given = Line(
                EntryType.ADJUSTMENT, Side.ADJUSTMENTS, Side.CUSTOMER, amount, back, expires_at=grant.expires_at
            )
            book.net(target, book.enter(target, given).entry_id)
    if source.debt_minor:
        owed = source.debt_minor
        book.enter(source, Line(EntryType.ADJUSTMENT, Side.ADJUSTMENTS, Side.CUSTOMER_DEBT, owed, out))
        taken = book.enter(target, Line(EntryType.ADJUSTMENT, Side.CUSTOMER_DEBT, Side.ADJUSTMENTS, owed, back))
        book.net(target, taken.entry_id)
