"""What happens because time passes."""

from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from affiliates import (
    commissions,
    enrolment,
    merging,
    store,
    store_clicks,
    store_commissions,
    store_journal,
    store_links,
    store_merges,
    store_people,
    store_program,
    store_verdicts,
)
from affiliates.changes import keep_commissions
from affiliates.clicks import REMEMBERED
from affiliates.commissions import Reason
from affiliates.enrolment import Affiliate, State
from chassis import outbox
from chassis.db import Conn
from chassis.timers import Timer
from chassis.verdicts import is_transient, place_of

log = structlog.get_logger()

_SLICE = 500
# An order decided without a verdict is kept by then: no transaction lasts as long, and each that begins later sees it.
_DECIDED = timedelta(hours=1)


async def mature(conn: Conn, now: datetime) -> int:
    """Let commissions be taken whose waiting time is over, but for what turns out to be one's own purchase."""
    due = await store_commissions.lock_due(conn, now, _SLICE)
    referrers = await store_people.owners_of(conn, due)
    matured = [(its, commissions.mature(its, referrers.get(its.affiliate_id or ""), now)) for its in due]
    return await keep_commissions(conn, matured, now)


async def hold_suspects(conn: Conn, now: datetime) -> int:
    """Hold what an order had earned before fraud-block's verdict was heard. Later ones are held from the beginning."""
    suspects = await store_commissions.lock_suspects(conn, _SLICE)
    held = [(before, commissions.hold(before, Reason.FRAUD)) for before in suspects]
    return max(
        await keep_commissions(conn, held, now), await store_verdicts.close_verdicts(conn, now - _DECIDED, _SLICE)
    )


async def forget_clicks(conn: Conn, now: datetime) -> int:
    """Forget batches and visitors that are too old to come again."""
    before = now - REMEMBERED
    batches = await store_clicks.forget_batches(conn, before)
    return max(batches, await store_clicks.forget_visitors(conn, before.date()))


async def follow_merges(conn: Conn, now: datetime) -> int:
    """Look at one affiliate of whom there is something new to know who they are; merges that were heard come first.

    One who cannot be looked at is put off, so that nobody waits for them.
    """
    heard = await store_merges.note_merges(conn, _SLICE)
    due = None if heard else await store_merges.next_due(conn)
    if due is None:
        return heard
    try:
        async with conn.savepoint():
            affiliate = await _followed(conn, due, now)
            await _decline_own_purchases(conn, due, affiliate, now)
    except ConnectionError:
        raise
    except Exception as error:  # noqa: BLE001  (whatever it is, the next one must not wait for it)
        report = log.warning if is_transient(error) else log.error
        report("look_put_off", error=type(error).__name__, place=place_of(error), tries=due.tries + 1)
        await store_merges.look_later(conn, due)
    return 1


async def _followed(conn: Conn, due: store_merges.Due, now: datetime) -> Affiliate:
    """The affiliate, locked, once they have followed their customer: as that one, or into the affiliate that one is."""
    found = await store.affiliate_by(conn, due.store_id, due.affiliate_id)
    key = found.store_id, found.customer_id
    customer_id = (await store_people.acting_of(conn, [key]))[key]
    both = await store_merges.lock_all(conn, found, customer_id)
    old = next(its for its in both if its.affiliate_id == found.affiliate_id)
    if customer_id == old.customer_id:
        return old
    survivor = next((its for its in both if its is not old), None)
    if survivor is None:
        its = replace(old, customer_id=customer_id)
        await store_merges.save_customer(conn, its)
    else:
        its = replace(survivor, state=merging.state_of(old.state, survivor.state))
        await store_journal.post(conn, list(merging.moved(old, survivor, now)))
        await store_merges.absorb(conn, old, survivor, now)
        await store.save_state(conn, its, now)
        for told in enrolment.announced(replace(old, state=State.SUSPENDED), [], 0, now):
            outbox.add(conn, told)
    links, terms = await store_links.links_of(conn, its), await store_program.terms_now(conn, its.store_id)
    for told in enrolment.announced(its, links, terms.discount, now):
        outbox.add(conn, told)
    return its


async def _decline_own_purchases(conn: Conn, due: store_merges.Due, affiliate: Affiliate, now: datetime) -> None:
    """Take back a slice of what an affiliate earned by those who turn out to be the same person."""
    orders = await store_people.own_purchases_of(conn, affiliate, _SLICE)
    found = list((await store_commissions.commissions_of(conn, orders)).values()) if orders else []
    referrers = await store_people.owners_of(conn, found)
    declined = [(its, commissions.decline_own(its, referrers.get(its.affiliate_id or ""))) for its in found]
    changed = await keep_commissions(conn, declined, now)
    if changed and len(orders) == _SLICE:
        await store_merges.looked_in_part(conn, due)
    else:
        await store_merges.looked(conn, due)
    if due.spreads:
        await store_people.look_at_sharers_of(conn, affiliate)


ALL = (
    Timer("mature commissions", timedelta(seconds=5), mature, _SLICE),
    Timer("hold suspects", timedelta(seconds=5), hold_suspects, _SLICE),
    Timer("follow merges", timedelta(seconds=1), follow_merges, slice=1),  # on with the next one
    Timer("forget clicks", timedelta(minutes=10), forget_clicks, _SLICE),
)
