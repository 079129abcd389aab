"""What happens because time passes: credit expires, customers are warned before, forgotten holds end, merges follow."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from chassis import outbox
from chassis.db import Conn
from chassis.timers import Timer
from wallet import mails, store_due
from wallet.postings import Expire, Lapse, Posting, Transfer
from wallet.store import append_batch

_SLICE = 500


async def expire(conn: Conn, now: datetime) -> int:
    """Post EXPIRED entries for credit whose date has come."""
    due = await store_due.lock_expiring(conn, now, _SLICE)
    return await _append(conn, [(store_id, Expire(customer_id)) for store_id, customer_id in due])


async def lapse(conn: Conn, now: datetime) -> int:
    """End the holds that nobody ended in time."""
    due = await store_due.lock_lapsing(conn, now, _SLICE)
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
)
