"""Ask and wait: an answer over Kafka behind a synchronous API (design §4).

The asker keeps its request and sends it again until it is answered, so nothing is lost while the other side is away
for longer than a topic keeps. Whoever waits over HTTP holds no connection meanwhile.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

import asyncpg
import structlog

from chassis import tracing
from chassis.db import Conn
from chassis.outbox import add
from chassis.reply import Reply
from contracts.event import Event

log = structlog.get_logger()

CHANNEL = "answer"
WAIT = 5.0

_POLL = 0.25
_FIRST_AGAIN = timedelta(seconds=30)
_SLICE = 500

Render = Callable[[Conn, str], Awaitable[Reply]]
F = TypeVar("F", bound=Callable[..., Any])


def answered_by(render: Render) -> Callable[[F], F]:
    """Mark an ask-and-wait endpoint: it returns ``Asked``, and ``render`` tells the stored outcome of its request."""

    def mark(endpoint: F) -> F:
        endpoint.__render__ = render  # type: ignore[attr-defined]  # a function carries it
        return endpoint

    return mark


async def ask(conn: Conn, request_id: str, request: Event) -> None:
    """Send a request event, and again after 30 s and ever longer, until ``answered``. A repeat changes nothing."""
    fresh = await conn.execute(
        """
        INSERT INTO ask (request_id, type, store_id, payload, traceparent, ask_again_at)
        VALUES ($1, $2, $3, $4, $5, now() + $6::interval)
        ON CONFLICT DO NOTHING
        """,
        request_id,
        request.TYPE,
        request.store_id,
        request.body(),
        tracing.current.get(),
        _FIRST_AGAIN,
    )
    if fresh:
        add(conn, request)


async def answered(conn: Conn, request_ids: str | Sequence[str], request: type[Event], *others: type[Event]) -> None:
    """The request was answered, or all of these were: it is not sent again. Call it under the lock of their root.

    ``others`` are types in which the same may have been asked.
    """
    asked = [request_ids] if isinstance(request_ids, str) else sorted(request_ids)
    await conn.execute(
        "DELETE FROM ask WHERE request_id = ANY($1) AND type = ANY($2)", asked, [one.TYPE for one in (request, *others)]
    )


async def unanswered(conn: Conn, requests: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of the requests, by store and id, that another service was asked under this id and has not answered."""
    rows = await conn.rows(
        """
        SELECT DISTINCT store_id, request_id
        FROM unnest($1::text[], $2::text[]) AS k (store_id, request_id) JOIN ask USING (store_id, request_id)
        """,
        [store_id for store_id, _ in requests],
        [request_id for _, request_id in requests],
    )
    return {(row["store_id"], row["request_id"]) for row in rows}


async def answer(conn: Conn, request_ids: str | Sequence[str]) -> None:
    """Wake the HTTP callers that wait for a request, or for any of these; its figures are on the business row by now."""
    given = [request_ids] if isinstance(request_ids, str) else sorted(request_ids)
    await conn.execute("INSERT INTO answer (request_id) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING", given)
    conn.wakes.add(CHANNEL)


async def ask_again(conn: Conn, _now: datetime) -> int:
    """Send what waits too long for its answer again: the same request, a new event. Goes by real time.

    The row goes straight to the outbox; its topic and key are those of the first sending.
    """
    due = await conn.rows(
        """
        UPDATE ask SET attempts = attempts + 1,
               ask_again_at = now() + least($1::interval * 2 ^ least(attempts, 10), interval '15 minutes')
        WHERE (request_id, type) IN (
            SELECT request_id, type FROM ask WHERE ask_again_at <= now()
            ORDER BY ask_again_at LIMIT $2 FOR UPDATE SKIP LOCKED
        )
        RETURNING type, store_id, payload, traceparent
        """,
        _FIRST_AGAIN,
        _SLICE,
    )
    for row in due:
        request = _event_class(row["type"]).parse(row["store_id"], row["payload"], row["traceparent"])
        add(conn, request, because=request)
    return len(due)


def _event_class(event_type: str) -> type[Event]:
    return next(cls for cls in Event.__subclasses__() if event_type == cls.TYPE)


class Waiters:
    """Who in this process waits for which answer: one connection, one query for all of them."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self._look = asyncio.Event()

    async def wait(self, request_id: str, seconds: float = WAIT) -> bool:
        """Wait until ``request_id`` is answered; whether it was in time."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(request_id, set()).add(future)
        self._look.set()
        try:
            await asyncio.wait_for(future, seconds)
        except TimeoutError:
            return False
        finally:
            waiting = self._waiting.get(request_id, set())
            waiting.discard(future)
            if not waiting:
                self._waiting.pop(request_id, None)
        return True

    async def run(self) -> None:
        """Serve the waiters for ever; connect again when the connection is lost."""
        while True:
            try:
                await self._listen()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
                log.warning("waiters_reconnect", error=type(error).__name__)
                await asyncio.sleep(0.5)

    async def _listen(self) -> None:
        conn = await asyncpg.connect(self._url, command_timeout=10)
        try:
            await conn.add_listener(CHANNEL, lambda *_: self._look.set())
            while True:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._look.wait(), _POLL if self._waiting else None)
                self._look.clear()
                if self._waiting:
                    await self._resolve(conn)
        finally:
            conn.terminate()

    async def _resolve(self, conn: asyncpg.Connection) -> None:
        rows = await conn.fetch("SELECT request_id FROM answer WHERE request_id = ANY($1)", list(self._waiting))
        for row in rows:
            for future in self._waiting.get(row["request_id"], ()):
                if not future.done():
                    future.set_result(None)
