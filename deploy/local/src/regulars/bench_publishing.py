"""Publishing while somebody holds an old snapshot: the rows the relay deletes cannot be removed, and lie in its way."""

import asyncio
import secrets
import time
from dataclasses import dataclass

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from regulars import programs, waiting
from regulars.bench_postings import Samples, settle
from regulars.stack import Stack
from regulars.trouble import Trouble

_SERVICE = "fraud-block"  # any would do; its outbox is quiet
_AT_ONCE = 1_000
_AHEAD = 5_000  # rows that wait at the most
_LAST = 40_000  # the rate is that of these, with all others dead in the way
_PATIENCE = 300.0
_SMALL = 1_000_000  # bytes
_ADD = """
    INSERT INTO outbox (event_id, topic, key, type, store_id, payload)
    SELECT uuidv7(), $2, 'key-' || n, 'bench.told', 'store_00000000000000000000000000',
           convert_to(repeat('x', 300), 'UTF8')
    FROM generate_series(1, $1::int) AS n
"""


@dataclass(frozen=True)
class Publishing:
    """Works in the outbox of one service, onto a topic of its own that nobody reads."""

    stack: Stack

    def measure(self, rows: int) -> Samples:
        """One round: publish some freely, then ``rows`` under a held snapshot and more; let go, and see the table shrink."""
        settle(self.stack)
        return waiting.run(self._measure(rows))

    async def _measure(self, rows: int) -> Samples:
        topic = f"bench-{secrets.token_hex(4)}"
        admin = AIOKafkaAdminClient(bootstrap_servers=self.stack.kafka_bootstrap)
        await admin.start()
        url = self.stack.admin_database_url(programs.database(_SERVICE))
        holder, conn = await asyncpg.connect(url), await asyncpg.connect(url)
        last = min(_LAST, rows)
        try:
            await admin.create_topics([NewTopic(topic, 6, 1)])
            free = await _publish(conn, topic, last)
            held = holder.transaction(isolation="repeatable_read")
            await held.start()
            await holder.fetchval("SELECT count(*) FROM outbox")
            await _publish(conn, topic, rows)
            rate = await _publish(conn, topic, last)
            size = await conn.fetchval("SELECT pg_table_size('outbox')")
            await held.rollback()
            return {
                "publish_free_rate": free,
                "publish_held_rate": rate,
                "publish_dead_mb": size / 1e6,
                "publish_shrunk_seconds": await _shrunk(conn),
            }
        finally:
            await holder.close()
            await conn.execute("DELETE FROM outbox WHERE topic = $1", topic)  # without its topic a row would block all
            await conn.close()
            await admin.delete_topics([topic])
            await admin.close()


async def _publish(conn: asyncpg.Connection, topic: str, rows: int) -> float:
    """Add rows as fast as the relay takes them; how many a second it published.

    Raises:
        Trouble: it does not get through.
    """
    began, added = time.perf_counter(), 0
    while added < rows or await _waiting(conn):
        if time.perf_counter() - began > _PATIENCE:
            raise Trouble(f"The relay of {_SERVICE} did not publish {rows} rows within {_PATIENCE:.0f} s.")
        if added < rows and await _waiting(conn) < _AHEAD:
            await conn.execute(_ADD, min(_AT_ONCE, rows - added), topic)
            added += _AT_ONCE
        else:
            await asyncio.sleep(0.005)
    return rows / (time.perf_counter() - began)


async def _waiting(conn: asyncpg.Connection) -> int:
    """How many rows wait, told by their ends: a count would wade through the dead ones."""
    return int(
        await conn.fetchval(
            """
            SELECT coalesce((SELECT seq FROM outbox ORDER BY seq DESC LIMIT 1)
                          - (SELECT seq FROM outbox ORDER BY seq LIMIT 1) + 1, 0)
            """
        )
    )


async def _shrunk(conn: asyncpg.Connection) -> float:
    """Seconds until the table is small again, now that nothing holds its dead rows."""
    began = time.perf_counter()
    while await conn.fetchval("SELECT pg_table_size('outbox')") > _SMALL:
        if time.perf_counter() - began > _PATIENCE:
            raise Trouble(f"The outbox of {_SERVICE} did not shrink within {_PATIENCE:.0f} s.")
        await asyncio.sleep(0.2)
    return time.perf_counter() - began
