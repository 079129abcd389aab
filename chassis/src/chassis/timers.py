"""What happens because time passes: slices of work, each one transaction, one process at a time."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from chassis import clock
from chassis.db import Conn, Database
from chassis.verdicts import is_transient, place_of

log = structlog.get_logger()

_LONGEST_BACK_OFF = 60.0


@dataclass(frozen=True, slots=True)
class Timer:
    """Work that is due now and then. ``run(conn, now)`` handles up to ``slice`` rows and says how many it did."""

    name: str
    every: timedelta
    run: Callable[[Conn, datetime], Awaitable[int]]
    slice: int = 500

    async def loop(self, database: Database) -> None:
        """Run for ever, each beat until a slice comes back that is not full."""
        every, failures = self.every.total_seconds(), 0
        while True:
            try:
                while await one_slice(database, self) >= self.slice:
                    pass
                failures = 0
            except Exception as error:  # noqa: BLE001  (a timer that fails once is tried again)
                failures += 1
                report = log.warning if is_transient(error) else log.error
                report("timer_failed", timer=self.name, error=type(error).__name__, place=place_of(error))
            pause = min(2.0 ** (failures - 1), _LONGEST_BACK_OFF) if failures else every
            await asyncio.sleep(pause * random.uniform(0.9, 1.1))  # noqa: S311


async def one_slice(database: Database, timer: Timer) -> int:
    """One slice; the rows handled, 0 when another process is at it."""
    async with database.transaction() as conn:
        if not await conn.value("SELECT pg_try_advisory_xact_lock(hashtextextended('timer ' || $1, 0))", timer.name):
            return 0
        return await timer.run(conn, clock.now())


async def _forget_received(conn: Conn, _: datetime) -> int:
    return await conn.execute(
        """
        DELETE FROM inbox WHERE event_id IN (
            SELECT event_id FROM inbox WHERE received_at < now() - interval '14 days' LIMIT 5000
        )
        """
    )


async def _forget_answered(conn: Conn, _: datetime) -> int:
    return await conn.execute(
        """
        DELETE FROM answer WHERE request_id IN (
            SELECT request_id FROM answer WHERE at < now() - interval '1 day' LIMIT 5000
        )
        """
    )


OWN = (
    Timer("forget received events", timedelta(minutes=10), _forget_received, slice=5000),
    Timer("forget given answers", timedelta(minutes=10), _forget_answered, slice=5000),
)
