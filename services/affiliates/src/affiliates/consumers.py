"""What affiliates does when it hears of something."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from affiliates import (
    claims,
    decisions,
    earnings,
    store,
    store_claims,
    store_commissions,
    store_journal,
    store_people,
    store_program,
    store_referrals,
    store_verdicts,
)
from affiliates.claims import Claim
from affiliates.decisions import Grounds
from chassis import clock, ids, outbox, replies, stores
from chassis.db import Conn
from chassis.inbox import NotYet, Router
from contracts.affiliates import ClaimConverted
from contracts.carts import OrderCompleted
from contracts.event import Event
from contracts.fraud import Decision, ScreeningDecided
from contracts.ids import COMMISSION, ORDER
from contracts.wallet import CreditRefused, EntryType, WalletPosted

router = Router()

Key = tuple[str, str]
Answer = TypeVar("Answer", bound=WalletPosted | CreditRefused)

_CLAIM = "claim"


@router.on(OrderCompleted, where=decisions.was_brought)
async def on_orders_completed(orders: Sequence[OrderCompleted], conn: Conn) -> None:
    """Owe the referring affiliates their share of the orders."""
    latest = decisions.latest(orders)
    if not latest:
        return
    now = clock.now()
    changes = decisions.changes(latest, await _grounds(conn, latest), now, lambda: ids.new(COMMISSION))
    if not changes:
        return
    saved = await store_commissions.save_commissions(conn, [after for _, after, _ in changes])
    changes = [change for change in changes if change[1].key in saved]
    await store_journal.post(
        conn, [move for before, after, _ in changes for move in earnings.moved(before, after, now)]
    )
    await store.add_sales(conn, earnings.sales((before, after) for before, after, _ in changes))
    for before, after, order in changes:
        for event in earnings.announced(before, after):
            outbox.add(conn, event, because=order)


async def _grounds(conn: Conn, orders: Mapping[Key, OrderCompleted]) -> Grounds:
    """All that decides these orders. Locks the affiliates first. Raises ``NotYet`` where they are others by now."""
    locked = await store_referrals.lock_referrers(conn, decisions.codes_of(orders), orders)
    known = await store_commissions.commissions_of(conn, orders)
    new = {key: order for key, order in orders.items() if key not in known}
    since = decisions.since_when(new)
    referrals = await store_referrals.referrals_of(conn, decisions.codes_of(new), since)
    terms = await store_program.terms_of(conn, since)
    elsewhere = decisions.elsewhere(orders, known, referrals, locked)
    if elsewhere:
        raise NotYet("commissions or codes have just become another affiliate's", elsewhere)
    buyers = decisions.buyers_of([*orders.values(), *known.values()])
    sellers = {(store_id, referral.affiliate_id) for (store_id, _), referral in referrals.items()}
    tiered = {seller for seller in sellers if any(each.tiers for each in terms[seller[0]])}
    return Grounds(
        known=known,
        suspects=await store_verdicts.suspects_among(conn, orders),
        referrals=referrals,
        referrers=await store_people.referrers_of(conn, locked, buyers),
        agreed=await store_referrals.own_terms_of(conn, sellers, since),
        volumes=await store_referrals.volumes_of(conn, tiered) if tiered else {},
        terms=terms,
        currencies={store_id: await _currency(conn, store_id, orders) for store_id in since},
    )


async def _currency(conn: Conn, store_id: str, orders: Mapping[Key, OrderCompleted]) -> str:
    """A store's currency. Raises ``NotYet`` for its orders alone where it has not been heard of."""
    try:
        return await stores.currency(conn, store_id)
    except NotYet as early:
        raise NotYet(early.reason, [order for order in orders.values() if order.store_id == store_id]) from None


def _doubts_an_order(verdict: ScreeningDecided) -> bool:
    return verdict.decision is not Decision.ALLOW and verdict.subject.startswith(f"{ORDER}_")


@router.on(ScreeningDecided, where=_doubts_an_order)
async def on_screening_decided(verdict: ScreeningDecided, conn: Conn) -> None:
    """Remember orders that fraud-block was not content with; a timer holds what they have earned by then."""
    await store_verdicts.add_verdict(conn, verdict, clock.now())


def _credits_a_claim(entry: WalletPosted) -> bool:
    return entry.cause.kind == _CLAIM and entry.type is EntryType.CREDIT


def _balance(entry: WalletPosted) -> int:
    """The store balance when the credit had paid what the customer owed there."""
    settled = entry.settled_balance_minor
    return entry.balance_after_minor if settled is None else settled


@router.on_ask(WalletPosted, where=_credits_a_claim)
async def on_wallet_posted(entries: Sequence[WalletPosted], conn: Conn) -> None:
    """Complete the claims that the wallet has credited. Most entries have other causes."""
    now = clock.now()
    await _end(conn, entries, lambda claim, entry: claims.complete(claim, entry.entry_id, _balance(entry), now))


def _would_have_credited_a_claim(refused: CreditRefused) -> bool:
    return refused.cause.kind == _CLAIM


@router.on_ask(CreditRefused, where=_would_have_credited_a_claim)
async def on_credits_refused(refusals: Sequence[CreditRefused], conn: Conn) -> None:
    """Fail the claims that the wallet would not credit: their money is available again."""
    now = clock.now()
    await _end(conn, refusals, lambda claim, refused: claims.fail(claim, refused.reason, now))


async def _end(conn: Conn, answers: Sequence[Answer], ended_by: Callable[[Claim, Answer], Claim]) -> None:
    """Write how the claims ended that were answered, tell it, and wake who waits for it."""
    by_claim = {(answer.store_id, answer.cause.id): answer for answer in answers}
    found = await _locked(conn, by_claim)
    ended = [(found[key], ended_by(found[key], answer), answer) for key, answer in by_claim.items()]
    ended = [(before, after, answer) for before, after, answer in ended if after is not before]
    if not ended:
        return
    await store_claims.save_claims(conn, [after for _, after, _ in ended])
    await store_journal.post(conn, [move for before, after, _ in ended for move in claims.moved(before, after)])
    claim_ids = [claim.claim_id for _, claim, _ in ended]
    await replies.answered(conn, claim_ids, ClaimConverted)
    await replies.answer(conn, claim_ids)
    for _, claim, answer in ended:
        if (event := claims.announced(claim)) is not None:
            outbox.add(conn, event, because=answer)


async def _locked(conn: Conn, answers: Mapping[Key, Event]) -> dict[Key, Claim]:
    """The claims these answer. One that is not here was credited for nobody: that must not pass in silence."""
    found = await store_claims.lock_claims(conn, answers)
    unknown = answers.keys() - found.keys()
    if unknown:
        raise LookupError(f"the wallet answered claims that are not here: {sorted(unknown)}")
    return found
