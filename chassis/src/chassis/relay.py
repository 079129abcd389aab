"""Publishing: one leader per database reads the outbox in order, sends, awaits the acks, deletes.

The order holds because ids are drawn while every lock of the transaction is held, and because deletion, not a
position, marks progress: a late commit is never skipped. Losing the session is losing the leadership. A leader that
was given up for dead may still send what it has read; its successor starts with the same rows, so of each key the
first appearance of every event is in order, and the rest are repeats that the inbox knows.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import asyncpg
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTopicError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)
from opentelemetry.trace import Span

from chassis import outbox, telemetry
from chassis.verdicts import is_transient, place_of

log = structlog.get_logger()

BATCH = 1000

_LOCK = 7_201_989  # any number, the same for all relays; one database, one leader
_BUSY = 16  # rows at once: then more are coming, and each round costs the broker and all who listen
_GATHER = 0.015  # seconds; a sixth more postings on a full machine (measured), nothing for those who come alone
_POLL = 0.25
_TIDY = 15.0  # seconds between two looks at the size of an outbox that is empty
_TIDY_SELDOM = 600.0  # where it does not help, since somebody holds an old snapshot
_LARGE = 4_000_000  # bytes
_ACKS = 30.0  # seconds; an idempotent producer alone would wait for ever, and we would not notice a lost leadership
_LARGEST = 1_000_000  # bytes of a record, below the broker's 1,048,588 so that we refuse before it does
_NEVER = (MessageSizeTooLargeError, RecordListTooLargeError, InvalidTopicError)

_SESSION = {
    # Whoever loses a delete publishes again, which the inboxes know: no reason to wait for the disk.
    "synchronous_commit": "off",
    "statement_timeout": "30s",
    # A leader whose host is gone frees the lock within 25 s.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "25000",
}

Rows = Sequence[asyncpg.Record]
Outcome = tuple[list[int], dict[int, str]]  # acked, and refused for ever with the reason; by seq


class Relay:
    """Publishes a service's outbox; ``run`` it in any number of processes, one leads."""

    def __init__(self, url: str, bootstrap: str, service: str) -> None:
        self._url = url
        self._bootstrap = bootstrap
        self._service = service
        self._source = f"/regulars/{service}".encode()
        self._one_by_one = False  # after a row was refused by the broker: find out which of its batch it was

    async def run(self) -> None:
        """Lead, or stand by, for ever."""
        while True:
            try:
                await self._term()
            except Exception as error:  # noqa: BLE001  (the relay outlives whatever ends a term)
                report = log.warning if is_transient(error) else log.error
                report("relay_term_ended", error=type(error).__name__, place=place_of(error))
                await asyncio.sleep(0.5)

    async def _term(self) -> None:
        """Lead until the session, the producer or a row fails; the lock ends with the session."""
        conn = await asyncpg.connect(
            self._url,
            command_timeout=35,
            server_settings=_SESSION | {"application_name": f"{self._service}-relay"},
        )
        try:
            while not await conn.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):  # noqa: ASYNC110
                await asyncio.sleep(0.5)
            await self._lead(conn)
        finally:
            conn.terminate()

    async def _lead(self, conn: asyncpg.Connection) -> None:
        wake = asyncio.Event()
        await conn.add_listener(outbox.CHANNEL, lambda *_: wake.set())
        conn.add_termination_listener(lambda *_: wake.set())
        select = await conn.prepare(
            """
            SELECT seq, event_id, topic, key, type, store_id, payload, traceparent, created_at
            FROM outbox ORDER BY seq LIMIT $1
            """
        )
        delete = await conn.prepare("DELETE FROM outbox WHERE seq = ANY($1::bigint[])")
        tidied, pause = time.monotonic(), _TIDY
        async with self._producer() as producer:
            while True:
                wake.clear()
                rows = await select.fetch(BATCH)
                if not rows:
                    if time.monotonic() - tidied > pause:
                        pause = _TIDY if await _tidy(conn) else min(2 * pause, _TIDY_SELDOM)
                        tidied = time.monotonic()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(wake.wait(), _POLL)
                    continue
                async with asyncio.timeout(2 * _ACKS):  # also where the client itself would wait for ever
                    acked, refused = await self._publish(producer, rows)
                await delete.fetch(acked)
                if refused:
                    await _set_aside(conn, refused)
                if _BUSY <= len(rows) < BATCH:
                    await asyncio.sleep(_GATHER)
                if self._one_by_one:  # done with, and the producer may have a gap in its sequence
                    self._one_by_one = False
                    return

    @contextlib.asynccontextmanager
    async def _producer(self) -> Any:
        """A producer for one term. After an error it is dropped with all it has not sent: the next term sends that."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            client_id=f"{self._service}-relay",
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=131_072,
            max_request_size=_LARGEST,
        )
        try:
            await asyncio.wait_for(producer.start(), _ACKS)
            yield producer
        finally:
            await _drop(producer)

    async def _publish(self, producer: AIOKafkaProducer, rows: Rows) -> Outcome:
        """Send rows in order. Raises what keeps any of them from being acked, unless it is never to be sent."""
        if self._one_by_one:
            return await self._publish_singly(producer, rows)
        refused: dict[int, str] = {}
        acks = {}
        for row in rows:
            try:
                acks[row["seq"]] = await self._send(producer, row)
            except _NEVER as error:  # ours, before it was sent: no gap
                refused[row["seq"]] = type(error).__name__
        results = await asyncio.wait_for(asyncio.gather(*acks.values(), return_exceptions=True), _ACKS)
        failures = [result for result in results if isinstance(result, BaseException)]
        if failures:
            self._one_by_one = any(isinstance(failure, _NEVER) for failure in failures)
            raise failures[0]
        return list(acks), refused

    async def _publish_singly(self, producer: AIOKafkaProducer, rows: Rows) -> Outcome:
        """Send rows up to the first that is refused: behind it this producer has a gap that the broker notices."""
        acked: list[int] = []
        for row in rows:
            try:
                await asyncio.wait_for(await self._send(producer, row), _ACKS)
            except _NEVER as error:
                return acked, {row["seq"]: type(error).__name__}
            acked.append(row["seq"])
        return acked, {}

    async def _send(self, producer: AIOKafkaProducer, row: asyncpg.Record) -> asyncio.Future[Any]:
        traceparent, span = telemetry.sent(
            row["topic"], row["key"], str(row["event_id"]), row["traceparent"], row["created_at"]
        )
        ack: asyncio.Future[Any] = await producer.send(
            row["topic"], row["payload"], key=row["key"].encode(), headers=self._headers(row, traceparent)
        )
        ack.add_done_callback(partial(_seen, span))
        return ack

    def _headers(self, row: asyncpg.Record, traceparent: str | None) -> list[tuple[str, bytes]]:
        headers = [
            ("ce_specversion", b"1.0"),
            ("ce_id", str(row["event_id"]).encode()),
            ("ce_type", row["type"].encode()),
            ("ce_source", self._source),
            ("ce_time", row["created_at"].isoformat().encode()),
            ("content-type", b"application/json"),
            ("store_id", row["store_id"].encode()),
        ]
        if traceparent is not None:
            headers.append(("traceparent", traceparent.encode()))
        return headers


async def _drop(producer: AIOKafkaProducer) -> None:
    """End a producer with what it has not sent.

    ``stop()`` would send that first, perhaps behind a gap, and wait for a broker that is away.
    """
    producer._closed = True  # noqa: SLF001
    with contextlib.suppress(Exception):
        await asyncio.wait_for(producer._sender.close(), 2)  # noqa: SLF001
    await producer.client.close()


async def _tidy(conn: asyncpg.Connection) -> bool:
    """Give back the pages of an empty outbox; whether it is small. Autovacuum counts dead rows, and may not come again."""
    if await conn.fetchval("SELECT pg_relation_size('outbox')") > _LARGE:
        with contextlib.suppress(asyncpg.QueryCanceledError):  # nobody's events wait longer for this
            await conn.execute("SET statement_timeout = '2s'")
            await conn.execute("VACUUM (SKIP_LOCKED) outbox")
        await conn.execute(f"SET statement_timeout = '{_SESSION['statement_timeout']}'")
    return bool(await conn.fetchval("SELECT pg_relation_size('outbox')") <= _LARGE)


def _seen(span: Span, ack: asyncio.Future[Any]) -> None:
    """Whoever ended a term awaits no more acks; asyncio need not complain of each."""
    telemetry.acked(span, asyncio.CancelledError() if ack.cancelled() else ack.exception())


async def _set_aside(conn: asyncpg.Connection, refused: dict[int, str]) -> None:
    log.error("events_unsendable", count=len(refused), errors=sorted(set(refused.values())))
    await conn.execute(
        """
        WITH refused AS (SELECT * FROM unnest($1::bigint[], $2::text[]) AS r (seq, error)),
             gone AS (DELETE FROM outbox USING refused WHERE outbox.seq = refused.seq RETURNING outbox.*)
        INSERT INTO outbox_unsendable
               (seq, event_id, topic, key, type, store_id, payload, traceparent, created_at, error)
        SELECT gone.seq, event_id, topic, key, type, store_id, payload, traceparent, created_at, error
        FROM gone JOIN refused USING (seq)
        """,
        list(refused),
        list(refused.values()),
    )
