"""Ledgers of the past: decided posting by posting by the wallet's own rules, and told as PostgreSQL's COPY reads them.

Customers come in cohorts that join, and get and spend credit, in a time of their own, so that what is written lies close
together in every index. There are no orders, hence no holds and payments. Pure, given a seed.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from operator import attrgetter
from typing import NamedTuple

from contracts.ids import CUSTOMER, WALLET_ENTRY
from contracts.wallet import EntryType
from wallet.book import Account, Book
from wallet.entries import Entry
from wallet.grants import Grant, Grants
from wallet.ledger import decide
from wallet.postings import Expire, Expiry, Post
from wallet.terms import Terms

_GRANT = tuple(field.name for field in fields(Grant) if field.name != "is_new")

ENTRY_COLUMNS = ("store_id", *Entry._fields)
GRANT_COLUMNS = ("store_id", "customer_id", *_GRANT, "open", "reminded")

_COHORT = 50_000  # entries
_PAST = timedelta(days=730)
_BASE32 = "0123456789abcdefghjkmnpqrstvwxyz"
_THREE = [a + b + c for a in _BASE32 for b in _BASE32 for c in _BASE32]
_VERSION, _VARIANT = 7 << 11, "89ab"  # of a UUIDv7, among the bits behind its milliseconds
_GIVES = (EntryType.ADJUSTMENT, EntryType.CREDIT, EntryType.PROMO, EntryType.REFUND)
_TAKES = (EntryType.ADJUSTMENT, EntryType.DEBIT)
_MOST = 700  # times what most get
_LARGEST = 5_000  # minor units of one credit
_SHORT_LIVED = 0.2  # of the credits
_LIVES = range(30, 365)  # days
_REMINDED = timedelta(days=Terms().reminder_days or 0)  # before it is over
_TIDY = 16  # postings


@dataclass(frozen=True)
class Cohort:
    """So many entries for each of some customers who are there from ``begin``, posted until ``end``."""

    store_id: str
    currency: str
    counts: Sequence[int]
    begin: datetime
    end: datetime
    now: datetime
    seed: int


class Person(NamedTuple):
    """A customer, and where their ledger has come to."""

    joined_at: datetime
    account: Account


class Books(NamedTuple):
    """A cohort's books: ``entries`` and ``grants`` are lines for COPY."""

    people: list[Person]
    entries: bytes
    grants: bytes
    posted: int


def cohorts(store_id: str, currency: str, customers: int, entries: int, now: datetime) -> Iterator[Cohort]:
    """Deal out entries to customers: most get a few, some get thousands."""
    luck = random.Random(f"{store_id} {now}")  # noqa: S311  (made-up customers, no secrets)
    counts = _dealt([min(luck.lognormvariate(0, 2), _MOST) for _ in range(customers)], entries)
    number = min(customers, entries // _COHORT + 1)
    begin, step = now - _PAST, _PAST / number
    for n in range(number):
        its = counts[n * customers // number : (n + 1) * customers // number]
        yield Cohort(store_id, currency, its, begin + n * step, begin + (n + 1) * step, now, luck.getrandbits(64))


def books(cohort: Cohort) -> Books:
    """What a cohort's books are now."""
    luck = random.Random(cohort.seed)  # noqa: S311  (made-up customers, no secrets)
    step = (cohort.end - cohort.begin) / (2 * len(cohort.counts))  # half of the time brings all of them
    people, entries, grants = [], list[str](), list[str]()
    for n, count in enumerate(cohort.counts):
        joined_at = _whole(cohort.begin + n * step)
        book = _lived(cohort, luck, joined_at, count)
        people.append(Person(joined_at, *book.accounts.values()))
        entries += [_entry_line(cohort.store_id, entry) for entry in book.entries]
        grants += [_grant_line(cohort, whose, grant) for (whose, _), grant in book.touched_grants.items()]
    entries.sort()  # by their ids, which is by time: as a service would have written them
    return Books(people, "".join(entries).encode(), "".join(grants).encode(), len(entries))


def _dealt(weights: Sequence[float], total: int) -> list[int]:
    """A total in whole numbers, in proportion to weights."""
    share, dealt, so_far = total / sum(weights), list[int](), 0.0
    for weight in weights:
        before, so_far = so_far, so_far + weight * share
        dealt.append(round(so_far) - round(before))
    return dealt


def _lived(cohort: Cohort, luck: random.Random, joined_at: datetime, count: int) -> Book:
    """One customer's time, with so many entries and what has expired after them."""
    account = Account(_minted(CUSTOMER, joined_at, luck), cohort.currency)
    book = Book(cohort.store_id, joined_at, Terms(), str, {account.customer_id: account})
    book.mint = lambda: _minted(WALLET_ENTRY, book.at, luck)
    seconds = (cohort.end - joined_at).total_seconds()
    for n, at in enumerate(sorted(luck.random() * seconds for _ in range(count))):
        if account.sequence >= count:
            break
        _expire(book, account, until := _whole(joined_at + timedelta(seconds=at)))
        book.at = until
        decide(book, _posting(luck, account, until))
        if n % _TIDY == 0:
            account.grants = _open(account.grants)
    _expire(book, account, cohort.now)
    return book


def _expire(book: Book, account: Account, until: datetime) -> None:
    """Let expire what is due by then, on its day."""
    while account.due_at is not None and account.due_at <= until:
        book.at = account.due_at
        decide(book, Expire(account.customer_id))


def _posting(luck: random.Random, account: Account, at: datetime) -> Post:
    if account.available_minor and luck.random() < 0.5:  # noqa: PLR2004 - as often as not
        amount = luck.randint(1, account.available_minor)
        return Post(account.customer_id, luck.choice(_TAKES), -amount, account.currency)
    expires_at: datetime | Expiry = Expiry.NEVER
    if luck.random() < _SHORT_LIVED:
        expires_at = at + timedelta(days=luck.choice(_LIVES))
    amount = luck.randint(1, _LARGEST)
    return Post(account.customer_id, luck.choice(_GIVES), amount, account.currency, expires_at=expires_at)


def _open(grants: Grants) -> Grants:
    """Those that have something left: the others would be walked past again and again."""
    tidied = Grants()
    for grant in grants:
        if grant.left_minor:
            tidied.add(grant)
    return tidied


def _whole(at: datetime) -> datetime:
    """To the millisecond, which is what an id can tell."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def _minted(prefix: str, at: datetime, luck: random.Random) -> str:
    """An id as ``chassis.ids`` would have minted it at that time."""
    ms, bits = round(at.timestamp() * 1000), luck.getrandbits(74)
    return "".join(
        (
            *(prefix, "_", _BASE32[ms >> 45], _THREE[ms >> 30 & 32767], _THREE[ms >> 15 & 32767], _THREE[ms & 32767]),
            *(_THREE[_VERSION | bits & 2047], _BASE32[(bits >> 13 & 1) << 4 | 0b1000 | bits >> 11 & 3]),
            *(_THREE[bits >> shift & 32767] for shift in (14, 29, 44, 59)),
        )
    )


def _entry_line(store_id: str, entry: Entry) -> str:
    """Tabs, newlines and backslashes occur in none of these."""
    head = "\t".join(map(str, entry[:12]))
    parts = "" if not entry.parts else ", ".join(f"[{part.sequence}, {part.amount_minor}]" for part in entry.parts)
    return (
        f"{store_id}\t{head}\t{_told(entry.reason)}\t[{parts}]\t{_told(entry.expires_at)}\t{entry.posted_at}"
        f"\t\\\\x{entry.hash.hex()}\n"
    )


def _grant_line(cohort: Cohort, customer_id: str, grant: Grant) -> str:
    reminded = grant.expires_at is not None and grant.expires_at <= cohort.now + _REMINDED
    its = "\t".join(map(_told, attrgetter(*_GRANT)(grant)))
    return f"{cohort.store_id}\t{customer_id}\t{its}\t{grant.left_minor > 0}\t{reminded}\n"


def _told(value: object) -> str:
    return "\\N" if value is None else str(value)
