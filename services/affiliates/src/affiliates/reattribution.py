"""Staff give a commission to whom it is due, or to another code of theirs (features A3, §2.3). Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import pairwise

from affiliates import commissions, program
from affiliates.attribution import Referral
from affiliates.commissions import Commission, Reason, Referrer, State
from affiliates.enrolment import State as AffiliateState
from affiliates.journal import Kind as Move
from affiliates.journal import Posting
from affiliates.links import State as LinkState
from affiliates.program import Deal, OwnTerms, Terms


class Objection(StrEnum):
    """Why a commission stays where it is."""

    DENIED = "commission_denied"
    TAKEN = "commission_taken"
    NOT_ACTIVE = "not_active"
    LINK_INACTIVE = "link_inactive"
    PROGRAM_OFF = "program_off"
    OWN_PURCHASE = "own_purchase"


@dataclass(frozen=True, slots=True)
class Grounds:
    """What is known when a commission is given to whom ``code`` belongs, as it is under the locks of both.

    ``settled_minor`` is what its affiliate has available, below zero owes; ``history`` what moved its money. ``terms``
    are those the program had at its moment and after, ``agreed`` what was agreed with the new one, ``volume_minor``
    what their links had sold for before the order. ``suspect``: fraud-block was not content with the order.
    """

    commission: Commission
    settled_minor: int
    history: Sequence[Posting]
    suspect: bool
    code: str
    referral: Referral
    referrer: Referrer
    terms: Sequence[Terms]
    agreed: Sequence[OwnTerms]
    volume_minor: int


def decide(grounds: Grounds, now: datetime) -> Commission | Objection:
    """The commission as it is from now on; the same one where it is theirs by this code already."""
    commission = grounds.commission
    is_so = _is_theirs(grounds) and commission.code == grounds.code
    if is_so and commission.state not in {State.DECLINED, State.DENIED}:
        return commission
    against = _against(grounds)
    if against is not None:
        return against
    moved = commissions.reattribute(
        commission, grounds.code, grounds.referrer, _deal(grounds), now, suspect=grounds.suspect
    )
    return Objection.OWN_PURCHASE if moved.reason is Reason.OWN_PURCHASE else moved


def refused_by(grounds: Grounds, against: Objection) -> str | None:
    """Whose money or state stands against it, if anybody's: what another half of theirs may change."""
    if against is Objection.TAKEN:
        return grounds.commission.affiliate_id
    return grounds.referral.affiliate_id if against is Objection.NOT_ACTIVE else None


def _is_theirs(grounds: Grounds) -> bool:
    return grounds.commission.affiliate_id == grounds.referral.affiliate_id


def _against(grounds: Grounds) -> Objection | None:
    if grounds.commission.state is State.DENIED:
        return Objection.DENIED
    if grounds.referral.affiliate_state is not AffiliateState.ACTIVE:
        return Objection.NOT_ACTIVE
    if grounds.referral.link_state is not LinkState.ACTIVE:
        return Objection.LINK_INACTIVE
    if not program.at(grounds.terms, grounds.commission.earned_at).enabled:
        return Objection.PROGRAM_OFF
    return Objection.TAKEN if not _is_theirs(grounds) and _is_taken(grounds) else None


def _is_taken(grounds: Grounds) -> bool:
    """Whether the money is gone: converted, requested or paid, or it has paid what its affiliate owed.

    What was held once it was available counts as if it were available still.
    """
    commission, owed_minor = grounds.commission, grounds.commission.owed_minor
    if not owed_minor:
        return False
    if commission.state is State.PAYABLE:
        return grounds.settled_minor < owed_minor
    was_available = _last_shift(grounds.history) is Move.HELD
    return commission.state is State.HELD and was_available and grounds.settled_minor < 0


def _last_shift(history: Sequence[Posting]) -> Move | None:
    """How the money last went between waiting and available, since it was given to whom it belongs.

    By a merge, too, it comes to stand with another affiliate, but that is no turn of the commission.
    """
    last = None
    for before, move in pairwise([None, *history]):
        if before and move and before.turn == move.turn and before.affiliate_id != move.affiliate_id:
            last = None
        elif move and move.kind in {Move.HELD, Move.MATURED}:
            last = move.kind
    return last


def _deal(grounds: Grounds) -> Deal:
    """What the order earns whom it is given to, by the terms of its moment; what was decided for them stays."""
    commission = grounds.commission
    if _is_theirs(grounds):
        return Deal(commission.rate_bps, commission.rate_from, commission.payable_at - commission.earned_at)
    terms = program.at(grounds.terms, commission.earned_at)
    return program.deal(terms, program.own_at(grounds.agreed, commission.earned_at), grounds.volume_minor)
