"""Which grants a batch has to read: not all of a customer's, who may have thousands. Pure; amounts in minor units."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from wallet.book import LIMIT, Account, Book
from wallet.grants import Grant
from wallet.postings import Capture, Hold, HoldStatus, Lapse, Place, Post, Posting, Reason, Release, Reverse, Transfer


@dataclass(slots=True)
class Wanted:
    """What to read: of some customers so much in spend order, and the named grants, by their sequence."""

    spent: dict[str, int] = field(default_factory=dict)
    named: set[tuple[str, int]] = field(default_factory=set)

    def spend(self, customer_id: str, amount_minor: int) -> None:
        """So much more may be taken from this customer."""
        self.spent[customer_id] = self.spent.get(customer_id, 0) + amount_minor


def wanted(book: Book, postings: Sequence[Posting]) -> Wanted:
    """What these postings may take or give back, and what is due."""
    its = Wanted()
    for posting in postings:
        match posting:
            case Post(amount_minor=amount) if amount < 0:
                its.spend(posting.customer_id, -amount)
            case Reverse():
                _of_reversal(its, posting)
            case Place():
                its.spend(posting.customer_id, posting.amount_minor)
            case Capture() | Release() | Lapse():
                _of_hold(its, book.holds.get(posting.hold_id), posting, book.at)
            case Transfer():
                _of_transfer(its, posting.customer_id, posting.into)
    for customer_id, into in book.merged.items():
        _of_transfer(its, customer_id, into)
    its.spent = {
        customer_id: min(amount, available)
        for customer_id, amount in its.spent.items()
        if (available := book.accounts[customer_id].available_minor)
    }
    for customer_id, account in book.accounts.items():
        if account.is_due(book.at):
            its.spent.setdefault(customer_id, 0)
    return its


def _of_reversal(its: Wanted, posting: Reverse) -> None:
    origin = posting.origin
    if origin.change_minor > 0:
        its.spend(origin.customer_id, origin.amount_minor)
        its.named.add((origin.customer_id, origin.sequence))
    its.named |= {(origin.customer_id, part.sequence) for part in origin.parts}


def _of_hold(its: Wanted, hold: Hold | None, posting: Capture | Release | Lapse, at: datetime) -> None:
    if hold is None:
        return
    if hold.status == HoldStatus.PLACED:
        its.named |= {(hold.customer_id, part.sequence) for part in hold.parts}
    if isinstance(posting, Capture) and (hold.reason == Reason.EXPIRED or hold.expires_at <= at):
        its.spend(hold.customer_id, posting.amount_minor)


def _of_transfer(its: Wanted, customer_id: str, into: str) -> None:
    its.spend(customer_id, LIMIT)
    its.spend(into, LIMIT)  # pays the debt that comes along


def is_short(account: Account, grants: Iterable[Grant], amount_minor: int, at: datetime) -> bool:
    """Whether more of an account's grants must be read, if there are more, than these first ones.

    They must cover the amount without what is over, and show when the next one is due if any is.
    """
    usable = [grant for grant in grants if grant.free_minor and not grant.is_over(at)]
    return sum(grant.free_minor for grant in usable) < amount_minor or (account.is_due(at) and not usable)
