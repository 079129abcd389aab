"""What happens because time passes."""

from datetime import datetime, timedelta

from affiliates import commissions, store_clicks, store_commissions, store_journal
from chassis.db import Conn
from chassis.timers import Timer

_SLICE = 500
_BATCHES_KEPT = timedelta(days=14)


async def mature(conn: Conn, now: datetime) -> int:
    """Let commissions be taken whose waiting time is over."""
    due = await store_commissions.lock_due(conn, now, _SLICE)
    ripe = [after for before in due if (after := commissions.mature(before, now)) is not before]
    if ripe:
        await store_commissions.make_payable(conn, ripe)
        await store_journal.post(conn, [commissions.matured(each, now) for each in ripe if each.owed_minor])
    return len(ripe)


async def forget_batches(conn: Conn, now: datetime) -> int:
    """Forget batches of clicks that are too old to be sent again."""
    return await store_clicks.forget_batches(conn, now - _BATCHES_KEPT)


ALL = (
    Timer("mature commissions", timedelta(seconds=5), mature, _SLICE),
    Timer("forget click batches", timedelta(minutes=10), forget_batches, _SLICE),
)
