"""A customer's credit in memory, decided as the wallet decides it. Amounts in minor units."""

from datetime import UTC, datetime, timedelta
from itertools import count

from contracts.wallet import EntryType
from wallet.book import Account, Book
from wallet.entries import Cause
from wallet.ledger import decide
from wallet.postings import Capture, Expire, Expiry, Lapse, Place, Post, Release, Reverse, Transfer
from wallet.terms import Terms

AT = datetime(2026, 1, 2, tzinfo=UTC)


class Wallet:
    """One customer's book. Days count from ``AT``; ``balance`` opens a grant that never expires."""

    def __init__(self, balance=0, **terms):
        self.customer_id = "cus"
        ids = count(1)
        accounts = {customer: Account(customer, "EUR") for customer in ("cus", "other")}
        self.book = Book("store", AT, Terms(**terms), lambda: f"tx{next(ids)}", accounts)
        if balance:
            self.give(balance)

    def of(self, customer_id):
        """The same book, for another customer."""
        its = object.__new__(Wallet)
        its.customer_id, its.book = customer_id, self.book
        return its

    def cap(self, balance_cap_minor):
        """Cap what a customer may have from now on."""
        self.book.terms = Terms(balance_cap_minor=balance_cap_minor)

    def decide(self, posting):
        return decide(self.book, posting)

    def post(self, amount, kind=EntryType.ADJUSTMENT, *, cause=None, expires=Expiry.DEFAULT, currency="EUR"):
        if isinstance(expires, int | float):
            expires = day(expires)
        return self.decide(Post(self.customer_id, kind, amount, currency, cause, expires_at=expires))

    def give(self, amount, expires=Expiry.DEFAULT, kind=EntryType.ADJUSTMENT):
        """The entry of this credit; ``expires``: so many days from ``AT``."""
        return self.post(amount, kind, expires=expires).entry

    def take(self, amount):
        return self.post(-amount).entry

    def credit(self, amount, claim="claim", **more):
        return self.post(amount, EntryType.CREDIT, cause=Cause("claim", claim), **more)

    def place(self, amount, hold="hold", order="order", currency="EUR"):
        return self.decide(Place(hold, self.customer_id, order, amount, currency))

    def capture(self, amount, hold="hold", order="order"):
        return self.decide(Capture(hold, self.customer_id, order, amount))

    def release(self, hold="hold"):
        return self.decide(Release(hold, self.customer_id))

    def lapse(self, hold="hold"):
        return self.decide(Lapse(hold, self.customer_id))

    def reverse(self, entry):
        return self.decide(Reverse(entry))

    def merge(self, into):
        return self.decide(Transfer(self.customer_id, into))

    def wait_until(self, days):
        """Let time pass, and whatever is over expire."""
        self.book.at = day(days)
        for customer in self.book.accounts:
            self.decide(Expire(customer))

    @property
    def account(self):
        return self.book.accounts[self.customer_id]

    @property
    def figures(self):
        """(balance, held, entries)"""
        return self.account.balance_minor, self.account.held_minor, self.account.sequence

    @property
    def debt(self):
        return self.account.debt_minor

    @property
    def left(self):
        """What each grant has left, in the order in which they are spent: (entry's sequence, left)."""
        return [(grant.sequence, grant.left_minor) for grant in self.account.grants if grant.left_minor]

    @property
    def lines(self):
        """This customer's entries: (type, cause, signed amount)."""
        return [
            (its.type, its.cause_kind, its.signed_minor)
            for its in self.book.entries
            if its.customer_id == self.customer_id
        ]


def day(days):
    return AT + timedelta(days=days)
