"""Trying parked events again: the head of each key, with back-off, until it is done or given up.

Only the head of a key is ever taken, and it is deleted in the transaction that does it. Whoever comes while that runs
still sees the row: the consumer queues its next event of the key, another worker skips the locked row.
"""

import asyncio
from datetime import timedelta

import asyncpg
import structlog

from chassis.db import Conn, Database
from chassis.handlers import Router
from chassis.inbox import Inbox
from chassis.received import Dead, Received, bury, dead
from chassis.verdicts import NotYet, is_transient, place_of

log = structlog.get_logger()

PATIENCE = timedelta(hours=24)

_POLL = 0.25
_SOONEST = timedelta(milliseconds=50)  # most of what is parked waits for a topic that is milliseconds behind
_LATEST = timedelta(minutes=5)
_FAILURES = 4


class Parked:
    """Retries what a service's consumers have parked; any number of processes may."""

    def __init__(self, service: str, router: Router, database: Database) -> None:
        self._router = router
        self._database = database
        self._inbox = Inbox(service, router, database)

    async def run(self) -> None:
        """Retry for ever."""
        while True:
            try:
                if not await self.one():
                    await asyncio.sleep(await self._pause())
            except Exception as error:  # noqa: BLE001  (the loop outlives whatever a retry runs into)
                report = log.warning if is_transient(error) else log.error
                report("parked_again", error=type(error).__name__, place=place_of(error))
                await asyncio.sleep(1)

    async def one(self) -> bool:
        """Retry one event that is due; ``False`` when none is."""
        row = None
        try:
            async with self._database.transaction() as conn:
                row = await _due_head(conn)
                if row is None:
                    return False
                await self._inbox.retry(conn, self._item(row))
                await conn.execute("DELETE FROM parked WHERE seq = $1", row["seq"])
        except NotYet as verdict:
            await self._later(row, verdict)
        except Exception as error:
            if row is None or is_transient(error):
                raise
            await self._failed(row, error)
        return True

    def _item(self, row: asyncpg.Record) -> Received:
        """The event as it was received. Raises ``LookupError`` or ``ValueError`` if today's code cannot read it."""
        handler = self._router.handler(row["topic"], row["type"])
        if handler is None:
            raise LookupError("no handler")
        event = handler.event.parse(row["store_id"], row["payload"], row["traceparent"])
        place = row["partition"], row["offset"]
        return Received(row["event_id"], event, handler, row["key"], row["payload"], *place)

    async def _later(self, row: asyncpg.Record | None, verdict: NotYet) -> None:
        assert row is not None, "NotYet comes from the handler"
        async with self._database.transaction() as conn:
            waited_enough = await conn.value(
                """
                UPDATE parked SET attempts = attempts + 1, reason = $2,
                       retry_at = clock_timestamp() + least($3::interval * 2 ^ least(attempts, 20), $4::interval)
                WHERE seq = $1
                RETURNING parked_at < now() - $5::interval
                """,
                row["seq"],
                verdict.reason,
                _SOONEST,
                _LATEST,
                PATIENCE,
            )
            if waited_enough:
                await self._give_up(conn, row, verdict)

    async def _failed(self, row: asyncpg.Record, error: Exception) -> None:
        async with self._database.transaction() as conn:
            failures = await conn.value(
                """
                UPDATE parked SET failures = failures + 1,
                       retry_at = clock_timestamp() + least(interval '200 milliseconds' * 2 ^ failures, $2::interval)
                WHERE seq = $1 RETURNING failures
                """,
                row["seq"],
                _LATEST,
            )
            if failures is not None and failures >= _FAILURES:
                await self._give_up(conn, row, error)

    async def _give_up(self, conn: Conn, row: asyncpg.Record, error: Exception) -> None:
        """Move the event to ``dead_letter``: the next of its key is the head now."""
        if await conn.execute("DELETE FROM parked WHERE seq = $1", row["seq"]):
            log.error("event_given_up", event_id=str(row["event_id"]), type=row["type"], error=type(error).__name__)
            await bury(conn, row["consumer_group"], [self._dead(row, error)])

    def _dead(self, row: asyncpg.Record, error: Exception) -> Dead:
        try:
            given_up = dead(self._item(row), error)
        except (LookupError, ValueError):
            headers = {"ce_id": str(row["event_id"]), "ce_type": row["type"], "store_id": row["store_id"]}
            place = row["partition"], row["offset"]
            given_up = Dead(row["topic"], *place, row["key"], headers, row["payload"], "", place_of(error))
        reason = error.reason if isinstance(error, NotYet) else given_up.error
        return given_up._replace(error_class=type(error).__name__, error=reason)

    async def _pause(self) -> float:
        """Until the next retry is due, at most one poll."""
        async with self._database.transaction() as conn:
            due_in = await conn.value(
                "SELECT extract(epoch FROM min(retry_at) - clock_timestamp())::float8 FROM parked"
            )
        return _POLL if due_in is None else min(max(due_in, 0.01), _POLL)


async def _due_head(conn: Conn) -> asyncpg.Record | None:
    return await conn.row(
        """
        SELECT * FROM parked
        WHERE retry_at <= clock_timestamp() AND NOT EXISTS (
            SELECT FROM parked AS ahead
            WHERE ahead.consumer_group = parked.consumer_group AND ahead.topic = parked.topic
              AND ahead.key = parked.key AND ahead.seq < parked.seq
        )
        ORDER BY retry_at
        LIMIT 1
        FOR UPDATE SKIP LOCKED
        """
    )
