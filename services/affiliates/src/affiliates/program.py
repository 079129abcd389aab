"""A store's program: what its affiliates earn, under which terms, and since when (features A2)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from typing import Any, TypeVar

from contracts.affiliates import ProgramChanged


class SelfEnrolment(StrEnum):
    """What becomes of customers who enrol themselves: refused, pending until staff approve, or active at once."""

    OFF = "off"
    APPROVAL = "approval"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Tier:
    """The rate of affiliates whose links have sold for ``from_minor`` or more."""

    from_minor: int
    rate_bps: int


@dataclass(frozen=True, slots=True)
class Terms:
    """The program from ``since`` until other terms follow.

    A commission waits ``waiting_days`` before it is payable; a click counts for ``attribution_days``. ``tiers`` are in
    ascending order of volume. ``payout_methods`` are pairs of asset and network; ``None``: all that there are. The
    address of a payout rests ``cooling_days`` when it is another than before.
    """

    since: datetime
    enabled: bool = True
    rate_bps: int = 1000
    waiting_days: int = 0
    discount_enabled: bool = False
    discount_bps: int = 0
    custom_links_need_approval: bool = False
    self_enrolment: SelfEnrolment = SelfEnrolment.APPROVAL
    attribution_days: int = 30
    tiers: tuple[Tier, ...] = ()
    minimum_payout_minor: int = 0
    payout_methods: tuple[tuple[str, str], ...] | None = None
    two_person_approval: bool = False
    cooling_days: int = 0
    conversion_bonus_bps: int = 0

    @property
    def discount(self) -> int:
        """What customers save by a link, in basis points."""
        return self.discount_bps if self.discount_enabled else 0

    @property
    def window(self) -> timedelta:
        """How long a click counts."""
        return timedelta(days=self.attribution_days)

    @property
    def cools(self) -> timedelta:
        """How long a payout to another address than before waits for its approval."""
        return timedelta(days=self.cooling_days)


@dataclass(frozen=True, slots=True)
class OwnTerms:
    """What is agreed with one affiliate from ``since`` on. ``None``: as the program has it."""

    since: datetime
    rate_bps: int | None = None
    waiting_days: int | None = None


class RateFrom(StrEnum):
    """What decided a rate."""

    PROGRAM = "program"
    TIER = "tier"
    AFFILIATE = "affiliate"


@dataclass(frozen=True, slots=True)
class Deal:
    """What one order earns: its rate, where that is from, and how long the commission waits."""

    rate_bps: int
    rate_from: RateFrom
    waits: timedelta


DEFAULT = Terms(datetime.min.replace(tzinfo=UTC))
_AS_THE_PROGRAM = OwnTerms(DEFAULT.since)
_INSTANT = timedelta(microseconds=1)

T = TypeVar("T", Terms, OwnTerms)


def at(history: Iterable[Terms], moment: datetime) -> Terms:
    """The terms in force at a moment; ``history`` in any order."""
    return max((terms for terms in history if terms.since <= moment), key=lambda terms: terms.since, default=DEFAULT)


def own_at(history: Iterable[OwnTerms], moment: datetime) -> OwnTerms:
    """What was agreed with an affiliate at a moment; ``history`` in any order."""
    return latest_own(own for own in history if own.since <= moment)


def latest_own(history: Iterable[OwnTerms]) -> OwnTerms:
    """What was agreed with an affiliate last; ``history`` in any order."""
    return max(history, key=lambda own: own.since, default=_AS_THE_PROGRAM)


def revised(terms: T, changes: Mapping[str, Any], now: datetime) -> T:
    """The terms with these fields changed, from now on; the same ones where nothing changes.

    They begin after those before them, also when the clock was put back.
    """
    new = replace(terms, **changes)
    return terms if new == terms else replace(new, since=max(now, terms.since + _INSTANT))


def deal(terms: Terms, own: OwnTerms, volume_minor: int) -> Deal:
    """What an order earns: an affiliate's own rate goes before that of their tier, and that before the program's.

    ``volume_minor`` is what the affiliate's links have sold for until now.
    """
    waits = timedelta(days=terms.waiting_days if own.waiting_days is None else own.waiting_days)
    if own.rate_bps is not None:
        return Deal(own.rate_bps, RateFrom.AFFILIATE, waits)
    reached = [tier for tier in terms.tiers if tier.from_minor <= volume_minor]
    if reached:
        return Deal(reached[-1].rate_bps, RateFrom.TIER, waits)
    return Deal(terms.rate_bps, RateFrom.PROGRAM, waits)


def ascending(tiers: Sequence[Tier]) -> bool:
    """Whether each tier begins above the one before."""
    return all(one.from_minor < other.from_minor for one, other in pairwise(tiers))


def changed(store_id: str, terms: Terms, currency: str) -> ProgramChanged:
    """What is told of new terms."""
    return ProgramChanged(
        store_id=store_id,
        since=terms.since,
        revenue_share_enabled=terms.enabled,
        rate_bps=terms.rate_bps,
        discount_enabled=terms.discount_enabled,
        discount_bps=terms.discount_bps,
        waiting_days=terms.waiting_days,
        attribution_days=terms.attribution_days,
        minimum_payout_minor=terms.minimum_payout_minor,
        currency=currency,
    )


def bps(percent: Decimal) -> int:
    """A percentage of at most two decimals in basis points: 12.5 → 1250."""
    return int(percent * 100)


def percent(bps: int) -> int | float:
    """Basis points as a percentage: 1250 → 12.5, 1000 → 10."""
    whole, rest = divmod(bps, 100)
    return bps / 100 if rest else whole
