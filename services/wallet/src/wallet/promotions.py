"""A promotion: credit given once to each of many customers, some at a time. Pure; amounts in minor units."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from contracts.wallet import EntryType
from wallet.entries import PROMOTION, Cause
from wallet.postings import Expiry, Outcome, Post, Posted, Refused


class Status(StrEnum):
    """Where a promotion stands. What is pending when it is cancelled stays so."""

    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    CANCELLED = "CANCELLED"


class RecipientStatus(StrEnum):
    """What became of one who was to get it."""

    PENDING = "PENDING"
    GRANTED = "GRANTED"
    REFUSED = "REFUSED"


class Why(StrEnum):
    """Why somebody gets nothing before the ledger is asked."""

    UNKNOWN_CUSTOMER = "unknown_customer"
    DUPLICATE = "duplicate"  # they get it under another id, with which they were merged


@dataclass(frozen=True, slots=True)
class Promotion:
    """What everybody on its list gets, and how far it has come. ``clipped`` of ``granted`` got less, by the cap."""

    store_id: str
    promotion_id: str
    amount_minor: int
    currency: str
    reason: str | None
    note: str | None
    expires_at: datetime | None
    notify: bool
    status: str
    total: int
    created_at: datetime
    finished_at: datetime | None = None
    granted: int = 0
    clipped: int = 0
    granted_minor: int = 0
    refused: Mapping[str, int] | None = None


class Recipient(NamedTuple):
    """One on the list, and what became of them; ``amount_minor`` is what they got."""

    customer_id: str
    status: str
    reason: str | None = None
    entry_id: str | None = None
    amount_minor: int = 0


def sort_out(
    promotion: Promotion, people: Mapping[str, str | None], given: Iterable[str]
) -> tuple[dict[str, Post], list[Recipient]]:
    """What to post for whom on the list, and who gets nothing.

    ``people``: who acts for them, ``None``: nobody. ``given``: who has got it already.
    """
    posts: dict[str, Post] = {}
    nothing: list[Recipient] = []
    seen = set(given)
    for customer_id, acting_id in people.items():
        if acting_id is None:
            nothing.append(_refused(customer_id, Why.UNKNOWN_CUSTOMER))
        elif acting_id in seen:
            nothing.append(_refused(customer_id, Why.DUPLICATE))
        else:
            seen.add(acting_id)
            posts[customer_id] = _post(promotion, acting_id)
    return posts, nothing


def outcome_of(customer_id: str, outcome: Outcome) -> Recipient:
    """What the ledger's answer means for one on the list."""
    match outcome:
        case Posted(entry):
            return Recipient(customer_id, RecipientStatus.GRANTED, None, entry.entry_id, entry.amount_minor)
        case Refused(reason):
            return _refused(customer_id, reason)
        case _:
            raise TypeError(f"{type(outcome).__name__} answers no promotion")


def progressed(promotion: Promotion, done: Sequence[Recipient], finished_at: datetime | None) -> Promotion:
    """The promotion when these are done; with ``finished_at`` they were the last."""
    granted = [recipient for recipient in done if recipient.status == RecipientStatus.GRANTED]
    reasons = [recipient.reason for recipient in done if recipient.reason is not None]
    return replace(
        promotion,
        status=Status.RUNNING if finished_at is None else Status.FINISHED,
        finished_at=finished_at,
        granted=promotion.granted + len(granted),
        clipped=promotion.clipped + sum(its.amount_minor < promotion.amount_minor for its in granted),
        granted_minor=promotion.granted_minor + sum(its.amount_minor for its in granted),
        refused=dict(sorted((Counter(promotion.refused or {}) + Counter(reasons)).items())),
    )


def _refused(customer_id: str, reason: str) -> Recipient:
    return Recipient(customer_id, RecipientStatus.REFUSED, str(reason))


def _post(promotion: Promotion, customer_id: str) -> Post:
    return Post(
        customer_id,
        EntryType.PROMO,
        promotion.amount_minor,
        promotion.currency,
        Cause(PROMOTION, promotion.promotion_id),
        promotion.reason,
        promotion.note,
        promotion.expires_at or Expiry.NEVER,
    )
