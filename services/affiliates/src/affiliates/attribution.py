"""Who brought an order: the code given with it, else the last link followed within the window (features A3). Pure.

Every touch that could have won is kept with the commission, with why it won or lost and under which rule.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from affiliates.enrolment import Standing, was_active
from affiliates.enrolment import State as AffiliateState
from affiliates.links import State as LinkState
from affiliates.links import canonical
from contracts.carts import OrderCompleted

RULE = "last_click.v1"

_MOST_TOUCHES = 20
# carts says when an order was completed, affiliates when a link or an affiliate became active. Who enrols and sells at
# once must not lose it because one clock is behind the other. What ends, ends at once.
_CLOCKS_DIFFER = timedelta(minutes=1)


class Kind(StrEnum):
    """How a code came with an order."""

    ORDER = "order"
    CLICK = "click"
    STAFF = "staff"


class Outcome(StrEnum):
    """What became of a touch."""

    WON = "won"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    UNKNOWN_CODE = "unknown_code"
    LINK_INACTIVE = "link_inactive"
    NOT_ACTIVE = "not_active"


@dataclass(frozen=True, slots=True)
class Touch:
    """A code that an order came with. ``at`` is when its link was followed; ``None`` when it was given."""

    code: str
    kind: Kind
    at: datetime | None
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Referral:
    """Whom a code belongs to, and whether it earns: now, and by its dates at any moment.

    ``active``: from and until when its link was; ``standings``: where whose it was has stood, in order.
    """

    affiliate_id: str
    affiliate_state: AffiliateState
    link_state: LinkState
    active: Sequence[tuple[datetime, datetime | None]]
    standings: Sequence[Standing]


@dataclass(frozen=True, slots=True)
class Attribution:
    """The touch an order is attributed to, and all of them, the decisive one first. One that did not win says why."""

    decisive: Touch
    touches: tuple[Touch, ...]


def codes(order: OrderCompleted) -> set[str]:
    """All codes that an order came with, as they are kept."""
    return {code for code, _, _ in _given(order)}


def attribute(
    order: OrderCompleted, referrals: Mapping[tuple[str, str], Referral], *, window: timedelta, moment: datetime
) -> Attribution | None:
    """Who brought an order that was completed at ``moment``; ``None`` where it came with no code.

    ``referrals`` are those of any stores, by store and code.
    """
    since = order.placed_at - window
    touches = [
        Touch(code, kind, at, _outcome(at, referrals.get((order.store_id, code)), since, moment))
        for code, kind, at in _given(order)
    ]
    if not touches:
        return None
    decisive = next((touch for touch in touches if touch.outcome is Outcome.WON), touches[0])
    return Attribution(decisive, (decisive, *superseded(touch for touch in touches if touch is not decisive)))


def superseded(touches: Iterable[Touch]) -> Iterable[Touch]:
    """Touches beside one that won: none of them did."""
    for touch in touches:
        yield replace(touch, outcome=Outcome.SUPERSEDED) if touch.outcome is Outcome.WON else touch


def _given(order: OrderCompleted) -> Iterator[tuple[str, Kind, datetime | None]]:
    """What came with an order, what counts most first; what cannot be a code is left out.

    carts tells the newest touches first, so of several at one moment the first one counts.
    """
    if order.affiliate_code is not None and (code := canonical(order.affiliate_code)) is not None:
        yield code, Kind.ORDER, None
    for touch in sorted(order.touches, key=lambda touch: touch.at, reverse=True)[:_MOST_TOUCHES]:
        if (code := canonical(touch.code)) is not None:
            yield code, Kind.CLICK, touch.at


def _outcome(at: datetime | None, referral: Referral | None, since: datetime, moment: datetime) -> Outcome:
    if referral is None:
        return Outcome.UNKNOWN_CODE
    if not any(begin - _CLOCKS_DIFFER <= moment and (end is None or moment < end) for begin, end in referral.active):
        return Outcome.LINK_INACTIVE
    if not was_active(referral.standings, moment, _CLOCKS_DIFFER):
        return Outcome.NOT_ACTIVE
    return Outcome.EXPIRED if at is not None and at < since else Outcome.WON
