"""What happens because time passes: credit expires, customers are warned before, forgotten holds end, merges follow.

Promotions reach their customers, some at a time.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from chassis import ids, known_customers, outbox
from chassis.db import Conn
from chassis.timers import Timer
from wallet import mails, promotions, store_due, store_gift_codes, store_promotions
from wallet.postings import Expire, Lapse, Posted, Posting, Transfer
from wallet.store import append_batch

_SLICE = 500
_MOST_WAITING = 5  # promotions that are looked at in vain at a time
_PATIENCE = 3600.0  # seconds: of an older customer we would have heard


async def expire(conn: Conn, now: datetime) -> int:
    """Post EXPIRED entries for credit whose date has come."""
    due = await store_due.lock_expiring(conn, now, _SLICE)
    return await _append(conn, [(store_id, Expire(customer_id)) for store_id, customer_id in due])


async def lapse(conn: Conn, now: datetime) -> int:
    """End the holds that nobody ended in time."""
    due = await store_due.lapsing(conn, now, _SLICE)
    return await _append(conn, [(store_id, Lapse(hold_id, customer_id)) for store_id, customer_id, hold_id in due])


async def follow_merges(conn: Conn, _now: datetime) -> int:
    """Move the credit and debt of customers who were merged."""
    due = await store_due.merged(conn, _SLICE)
    return await _append(conn, [(store_id, Transfer(customer_id, into)) for store_id, customer_id, into in due])


async def remind(conn: Conn, now: datetime) -> int:
    """Tell of credit that will soon be gone, once for each grant."""
    expiring = await store_due.remind(conn, now, _SLICE)
    for grant in expiring:
        outbox.add(conn, grant)
        mails.expiring(conn, grant)
    return len(expiring)


async def promote(conn: Conn, now: datetime) -> int:
    """Give a promotion to the next on its list; one that can only wait lets others go first."""
    if await store_promotions.much_is_unpublished(conn):
        return 0
    waiting: list[str] = []
    while len(waiting) < _MOST_WAITING:
        promotion = await store_promotions.lock_next(conn, waiting)
        if promotion is None:
            break
        if done := await _give(conn, promotion, now):
            return done
        waiting.append(promotion.promotion_id)
    return 0


async def _give(conn: Conn, promotion: promotions.Promotion, now: datetime) -> int:
    """Give a locked promotion to some; locks their accounts.

    Entries and what is recorded of them commit together, so whoever is pending has none. Customers of whom we have not
    heard yet, but may, stay pending.
    """
    pending = await store_promotions.pending(conn, promotion, _SLICE + 1)
    people = await _next(conn, promotion, pending[:_SLICE])
    given = await _already_given(conn, promotion, people.values())
    posts, done = promotions.sort_out(promotion, people, given)
    outcomes = await append_batch(conn, promotion.store_id, list(posts.values()))
    done += [promotions.outcome_of(*pair) for pair in zip(posts, outcomes, strict=True)]
    if promotion.notify:
        for outcome in outcomes:
            if isinstance(outcome, Posted):
                mails.changed(conn, promotion.store_id, outcome)
    is_over = len(done) == len(pending)
    await store_promotions.record(conn, promotions.progressed(promotion, done, now if is_over else None), done, now)
    return len(done)


async def _next(conn: Conn, promotion: promotions.Promotion, first: Sequence[str]) -> dict[str, str | None]:
    """Whose turn it is, with who acts for them: the first who are pending, or if some of those wait, whom we know."""
    people = await _people(conn, promotion.store_id, first)
    if len(people) == len(first):
        return people
    known = await store_promotions.pending_known(conn, promotion, _SLICE)
    return await _people(conn, promotion.store_id, known) or people


async def _people(conn: Conn, store_id: str, customer_ids: Sequence[str]) -> dict[str, str | None]:
    """Who acts for each; ``None``: nobody does, nor will. Those who are waited for are left out."""
    known = await known_customers.acting(conn, [(store_id, customer_id) for customer_id in customer_ids])
    people: dict[str, str | None] = {}
    for customer_id in customer_ids:
        its = known.get((store_id, customer_id))
        if its is not None:
            people[customer_id] = None if its.erased else its.acting_id
        elif not _is_waited_for(customer_id):
            people[customer_id] = None
    return people


def _is_waited_for(customer_id: str) -> bool:
    """Whether an id was minted so lately, by whichever clock, that its event may be on its way still."""
    age = ids.age_seconds(customer_id)
    return age is not None and abs(age) < _PATIENCE


async def _already_given(conn: Conn, promotion: promotions.Promotion, acting_ids: Iterable[str | None]) -> set[str]:
    """Who has got it, by the ids that act for them now."""
    wanted = sorted({acting_id for acting_id in acting_ids if acting_id is not None})
    given = await store_promotions.already_given(conn, promotion, wanted)
    known = await known_customers.acting(conn, [(promotion.store_id, customer_id) for customer_id in given])
    return {its.acting_id for its in known.values()}


async def forget_attempts(conn: Conn, _now: datetime) -> int:
    """Drop what is too long ago to count against a customer. Goes by real time."""
    return await store_gift_codes.forget_attempts(conn, _SLICE)


async def _append(conn: Conn, due: Sequence[tuple[str, Posting]]) -> int:
    by_store: dict[str, list[Posting]] = {}
    for store_id, posting in due:
        by_store.setdefault(store_id, []).append(posting)
    for store_id, postings in sorted(by_store.items()):
        await append_batch(conn, store_id, postings)
    return len(due)


ALL = (
    Timer("expire credit", timedelta(seconds=1), expire, _SLICE),
    Timer("end forgotten holds", timedelta(seconds=5), lapse, _SLICE),
    Timer("follow merges", timedelta(seconds=5), follow_merges, _SLICE),
    Timer("warn of expiry", timedelta(seconds=30), remind, _SLICE),
    Timer("promotions", timedelta(seconds=1), promote, slice=1),  # on with the next one, be this one short
    Timer("forget attempts at gift codes", timedelta(minutes=1), forget_attempts, _SLICE),
)
