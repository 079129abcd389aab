"""What a delivery of orders changes, decided from everything that was read for it. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime

from affiliates import commissions, program
from affiliates.attribution import Referral, attribute, codes
from affiliates.commissions import Commission, Referrer
from affiliates.program import OwnTerms, Terms
from contracts.carts import OrderCompleted

Key = tuple[str, str]
Change = tuple[Commission | None, Commission, OrderCompleted]


@dataclass(frozen=True, slots=True)
class Grounds:
    """What is known when orders are decided.

    By store and order: ``known`` commissions and ``suspects``. By store and code: ``referrals``. By affiliate:
    ``referrers``. By store and affiliate: what was ``agreed`` with them, and what their links have sold for.
    By store: its ``terms`` and its currency. What decides an order is read of those that are new.
    """

    known: Mapping[Key, Commission]
    suspects: AbstractSet[Key]
    referrals: Mapping[Key, Referral]
    referrers: Mapping[str, Referrer]
    agreed: Mapping[Key, Sequence[OwnTerms]]
    volumes: Mapping[Key, int]
    terms: Mapping[str, Sequence[Terms]]
    currencies: Mapping[str, str]


def latest(orders: Iterable[OrderCompleted]) -> dict[Key, OrderCompleted]:
    """The highest version of each order that came with a code, by store and order."""
    found: dict[Key, OrderCompleted] = {}
    for order in orders:
        key = order.store_id, order.order_id
        if (key not in found or order.version > found[key].version) and was_brought(order):
            found[key] = order
    return found


def was_brought(order: OrderCompleted) -> bool:
    """Whether an order came with anything that can be a code. Most do not."""
    return (order.affiliate_code is not None or bool(order.touches)) and bool(codes(order))


def since_when(orders: Mapping[Key, OrderCompleted]) -> dict[str, datetime]:
    """The moment of the oldest of these orders, by store: nothing that was over by then decides any of them."""
    oldest: dict[str, datetime] = {}
    for (store_id, _), order in orders.items():
        moment = commissions.earned_at(order)
        oldest[store_id] = min(moment, oldest.get(store_id, moment))
    return oldest


def codes_of(orders: Mapping[Key, OrderCompleted]) -> set[Key]:
    """All that may earn by these orders, by store and code."""
    return {(order.store_id, code) for order in orders.values() for code in codes(order)}


def buyers_of(bought: Iterable[OrderCompleted | Commission]) -> set[Key]:
    """Who bought these orders, or what these commissions are for, by store and customer."""
    return {
        (its.store_id, buyer)
        for its in bought
        for buyer in (its.customer_id, its.current_customer_id)
        if buyer is not None
    }


def elsewhere(
    orders: Mapping[Key, OrderCompleted],
    known: Mapping[Key, Commission],
    referrals: Mapping[Key, Referral],
    locked: AbstractSet[Key],
) -> list[OrderCompleted]:
    """Those of the orders that concern an affiliate who is not locked."""
    others = {key for key, its in known.items() if its.affiliate_id and (key[0], its.affiliate_id) not in locked}
    codes_of_others = {key for key, its in referrals.items() if (key[0], its.affiliate_id) not in locked}
    if not others and not codes_of_others:
        return []
    return [
        order
        for key, order in orders.items()
        if key in others or any((order.store_id, code) in codes_of_others for code in codes(order))
    ]


def changes(
    orders: Mapping[Key, OrderCompleted], grounds: Grounds, now: datetime, new_id: Callable[[], str]
) -> list[Change]:
    """What becomes of each order's commission, as it was and as it is, where it changes."""
    volumes = dict(grounds.volumes)
    found: list[Change] = []
    for key, order in orders.items():
        before = grounds.known.get(key)
        decided = before or _decided(order, grounds, volumes, new_id)
        if decided is None:
            continue
        referrer = grounds.referrers.get(decided.affiliate_id or "")
        after = commissions.fold(decided, order, referrer, now, suspect=key in grounds.suspects)
        if after is decided:
            continue
        found.append((before, after, order))
        if before is None and after.takes_money:
            seller = order.store_id, after.affiliate_id or ""
            volumes[seller] = volumes.get(seller, 0) + (after.revenue_minor or 0)
    return found


def _decided(
    order: OrderCompleted, grounds: Grounds, volumes: Mapping[Key, int], new_id: Callable[[], str]
) -> Commission | None:
    moment = commissions.earned_at(order)
    terms = program.at(grounds.terms[order.store_id], moment)
    attribution = attribute(order, grounds.referrals, window=terms.window, moment=moment)
    if attribution is None:
        return None
    referral = grounds.referrals.get((order.store_id, attribution.decisive.code))
    seller = order.store_id, "" if referral is None else referral.affiliate_id
    own = program.own_at(grounds.agreed.get(seller, ()), moment)
    return commissions.decide(
        order,
        attribution,
        grounds.referrers.get(seller[1]),
        terms,
        program.deal(terms, own, volumes.get(seller, 0)),
        currency=grounds.currencies[order.store_id],
        commission_id=new_id(),
    )
