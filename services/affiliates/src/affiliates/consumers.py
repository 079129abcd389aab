"""What affiliates does when it hears of something."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from affiliates import claims, commissions, program, store, store_claims, store_commissions, store_journal
from affiliates.claims import Claim
from affiliates.commissions import Commission
from chassis import clock, ids, outbox, replies, stores
from chassis.db import Conn
from chassis.inbox import Router
from contracts.affiliates import ClaimConverted
from contracts.carts import OrderCompleted
from contracts.event import Event
from contracts.ids import COMMISSION
from contracts.wallet import CreditRefused, EntryType, WalletPosted

router = Router()

Key = tuple[str, str]
Change = tuple[Commission | None, Commission, OrderCompleted]

_CLAIM = "claim"


@router.on(OrderCompleted)
async def on_orders_completed(orders: Sequence[OrderCompleted], conn: Conn) -> None:
    """Owe the referring affiliates their share of the orders."""
    latest = commissions.latest(orders)
    if not latest:
        return
    now = clock.now()
    changes = await _changes(conn, latest, now)
    if not changes:
        return
    saved = await store_commissions.save_commissions(conn, [after for _, after, _ in changes])
    changes = [change for change in changes if change[1].key in saved]
    moved = [commissions.moved(before, after, now) for before, after, _ in changes]
    await store_journal.post(conn, [posting for posting in moved if posting is not None])
    await store.add_sales(conn, commissions.sales((before, after) for before, after, _ in changes))
    for before, after, order in changes:
        event = commissions.announced(before, after)
        if event is not None:
            outbox.add(conn, event, because=order)


async def _changes(conn: Conn, latest: Mapping[Key, tuple[str, OrderCompleted]], now: datetime) -> list[Change]:
    """What becomes of each order's commission, as it was and as it is, where it changes. Locks the affiliates."""
    codes = {(order.store_id, code) for code, order in latest.values()}
    referrers = await store_commissions.lock_referrers(conn, codes, latest)
    owners = await store_commissions.owners_of(conn, codes)
    known = await store_commissions.commissions_of(conn, latest)
    terms = await store.terms_of(conn, {store_id for store_id, _ in latest})
    changes: list[Change] = []
    for key, (code, order) in latest.items():
        before = known.get(key)
        owner = owners.get((order.store_id, code)) if before is None else before.affiliate_id
        referrer = referrers.get(owner or "")
        decided = before or commissions.decide(
            order,
            code,
            referrer,
            program.at(terms[order.store_id], commissions.earned_at(order)),
            currency=await stores.currency(conn, order.store_id),
            commission_id=ids.new(COMMISSION),
        )
        after = commissions.fold(decided, order, referrer, now)
        if after is not decided:
            changes.append((before, after, order))
    return changes


def _credits_a_claim(entry: WalletPosted) -> bool:
    return entry.cause.kind == _CLAIM and entry.type is EntryType.CREDIT


def _balance(entry: WalletPosted) -> int:
    """The store balance when the credit had paid what the customer owed there."""
    settled = entry.settled_balance_minor
    return entry.balance_after_minor if settled is None else settled


@router.on_ask(WalletPosted, where=_credits_a_claim)
async def on_wallet_posted(entries: Sequence[WalletPosted], conn: Conn) -> None:
    """Complete the claims that the wallet has credited. Most entries have other causes."""
    credits_ = {(entry.store_id, entry.cause.id): entry for entry in entries if _credits_a_claim(entry)}
    if not credits_:
        return
    now = clock.now()
    found = await _locked(conn, credits_)
    ended = [
        (found[key], claims.complete(found[key], entry.entry_id, _balance(entry), now), entry)
        for key, entry in credits_.items()
    ]
    await _end(conn, [(after, entry) for before, after, entry in ended if after is not before])


@router.on_ask(CreditRefused)
async def on_credit_refused(refused: CreditRefused, conn: Conn) -> None:
    """Fail the claim that the wallet would not credit: its money is available again."""
    if refused.cause.kind != _CLAIM:
        return
    key = refused.store_id, refused.cause.id
    claim = (await _locked(conn, {key: refused}))[key]
    failed = claims.fail(claim, refused.reason, clock.now())
    if failed is not claim:
        await _end(conn, [(failed, refused)])


async def _locked(conn: Conn, answers: Mapping[Key, Event]) -> dict[Key, Claim]:
    """The claims these answer. One that is not here was credited for nobody: that must not pass in silence."""
    found = await store_claims.lock_claims(conn, answers)
    unknown = answers.keys() - found.keys()
    if unknown:
        raise LookupError(f"the wallet answered claims that are not here: {sorted(unknown)}")
    return found


async def _end(conn: Conn, ended: Sequence[tuple[Claim, Event]]) -> None:
    """Write how claims ended, tell it, and wake who waits for it."""
    if not ended:
        return
    await store_claims.end_claims(conn, [claim for claim, _ in ended])
    await store_journal.post(conn, [claims.moved(claim, claim.ended_at or clock.now()) for claim, _ in ended])
    claim_ids = [claim.claim_id for claim, _ in ended]
    await replies.answered(conn, claim_ids, ClaimConverted)
    await replies.answer(conn, claim_ids)
    for claim, answer in ended:
        outbox.add(conn, claims.outcome(claim), because=answer)
