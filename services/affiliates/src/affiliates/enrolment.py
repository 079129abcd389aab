"""Affiliates: customers who refer others (features A1), how they become so and stop, and what is told of it. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from affiliates.journal import NOTHING, Balances
from affiliates.links import Link
from affiliates.links import State as LinkState
from affiliates.program import SelfEnrolment
from contracts.affiliates import (
    AffiliateEnrolled,
    AffiliateRequested,
    AffiliateSuspended,
    LinkAdded,
    LinkRejected,
    LinkRemoved,
    LinkRequested,
)


class State(StrEnum):
    """Where an affiliate stands: only an active one earns and takes."""

    PENDING = "pending"
    ACTIVE = "active"
    SUSPENDED = "suspended"


class Standing(NamedTuple):
    """Where an affiliate stood from ``since`` on."""

    since: datetime
    state: State


def by_moment(written: Iterable[Standing]) -> list[Standing]:
    """Standings in order, as they were written: each decides from its moment on, also when the clock was put back."""
    history: list[Standing] = []
    for standing in written:
        while history and history[-1].since >= standing.since:
            history.pop()
        history.append(standing)
    return history


def handed_on(history: Sequence[Standing], until: datetime, heirs: Sequence[Standing]) -> list[Standing]:
    """Where whose a link was stood: by its ``history`` until it became another's, and as that one from then on."""
    at_first = [*heirs[:1], *(its for its in heirs if its.since <= until)][-1]
    since = [its for its in heirs if its.since > until]
    return [*(its for its in history if its.since < until), Standing(until, at_first.state), *since]


def was_active(history: Sequence[Standing], moment: datetime, early: timedelta) -> bool:
    """Whether an affiliate was active at a moment, or became so not later than ``early`` after it.

    ``history`` is in order. Before it they stood as at its beginning, where a clock was ahead then: each link says by
    itself from when it earns.
    """
    for standing, then in pairwise([*history, None]):
        if standing is None or standing.state is not State.ACTIVE or (then is not None and then.since <= moment):
            continue
        if standing is history[0] or standing.since - early <= moment:
            return True
    return False


@dataclass(frozen=True, slots=True)
class Affiliate:
    """A customer who refers others, and where their money is."""

    store_id: str
    affiliate_id: str
    customer_id: str
    state: State
    enrolled_at: datetime
    balances: Balances = NOTHING


_BY_THEMSELVES = {SelfEnrolment.OPEN: State.ACTIVE, SelfEnrolment.APPROVAL: State.PENDING}


def by_themselves(self_enrolment: SelfEnrolment) -> State | None:
    """Where customers stand who enrol themselves; ``None``: they may not."""
    return _BY_THEMSELVES.get(self_enrolment)


def approve(affiliate: Affiliate) -> Affiliate | None:
    """A pending affiliate as an active one; the same if they are; ``None`` if they are neither."""
    return _step(affiliate, {State.PENDING}, State.ACTIVE)


def suspend(affiliate: Affiliate) -> Affiliate | None:
    """An affiliate who neither earns nor takes until further notice; the same if they are suspended already."""
    return _step(affiliate, {State.PENDING, State.ACTIVE}, State.SUSPENDED)


def reactivate(affiliate: Affiliate) -> Affiliate | None:
    """A suspended affiliate as an active one; the same if they are; ``None`` if they are neither."""
    return _step(affiliate, {State.SUSPENDED}, State.ACTIVE)


def _step(affiliate: Affiliate, sources: AbstractSet[State], target: State) -> Affiliate | None:
    if affiliate.state is target:
        return affiliate
    return replace(affiliate, state=target) if affiliate.state in sources else None


LinkTold = LinkAdded | LinkRequested
Told = AffiliateEnrolled | AffiliateRequested | AffiliateSuspended | LinkTold


def announced(affiliate: Affiliate, links: Sequence[Link], discount_bps: int, now: datetime) -> Iterator[Told]:
    """What is told of an affiliate who came to where they stand, and of their links."""
    if affiliate.state is State.SUSPENDED:
        yield AffiliateSuspended(
            store_id=affiliate.store_id,
            affiliate_id=affiliate.affiliate_id,
            customer_id=affiliate.customer_id,
            suspended_at=now,
        )
    active = [link for link in links if link.state is LinkState.ACTIVE]
    if affiliate.state is State.ACTIVE and active:
        yield AffiliateEnrolled(
            store_id=affiliate.store_id,
            affiliate_id=affiliate.affiliate_id,
            customer_id=affiliate.customer_id,
            code=active[0].code,
            enrolled_at=affiliate.enrolled_at,
        )
    if affiliate.state is State.PENDING and active:
        yield AffiliateRequested(
            store_id=affiliate.store_id,
            affiliate_id=affiliate.affiliate_id,
            customer_id=affiliate.customer_id,
            code=active[0].code,
            requested_at=affiliate.enrolled_at,
        )
    for link in links:
        yield from added(affiliate, link, discount_bps)


def added(affiliate: Affiliate, link: Link, discount_bps: int) -> Iterator[LinkTold]:
    """What is told of a link that is asked for, or became active: the latter not until its affiliate is."""
    if affiliate.state is not State.SUSPENDED and link.state is LinkState.REQUESTED:
        yield LinkRequested(
            store_id=affiliate.store_id,
            affiliate_id=affiliate.affiliate_id,
            customer_id=affiliate.customer_id,
            code=link.code,
            requested_at=link.added_at,
        )
    if affiliate.state is State.ACTIVE and link.state is LinkState.ACTIVE and link.active_from is not None:
        yield LinkAdded(
            store_id=affiliate.store_id,
            affiliate_id=affiliate.affiliate_id,
            customer_id=affiliate.customer_id,
            code=link.code,
            discount_bps=discount_bps,
            added_at=link.active_from,
        )


def rejected(affiliate: Affiliate, link: Link, now: datetime) -> LinkRejected:
    """What is told of a link that was asked for in vain."""
    return LinkRejected(
        store_id=affiliate.store_id,
        affiliate_id=affiliate.affiliate_id,
        customer_id=affiliate.customer_id,
        code=link.code,
        rejected_at=now,
    )


def removed(affiliate: Affiliate, link: Link, now: datetime) -> LinkRemoved:
    """What is told of a link that earns no longer, or is asked for no longer."""
    return LinkRemoved(
        store_id=affiliate.store_id,
        affiliate_id=affiliate.affiliate_id,
        customer_id=affiliate.customer_id,
        code=link.code,
        removed_at=now,
    )
