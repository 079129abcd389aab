"""Batches of requests: what queued while the previous batch committed becomes the next one (design §4).

No artificial delay, one store per batch, at most 200 members, one commit. A database error reruns the members one by
one, so that one bad member never fails its neighbours.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import asyncpg

from chassis import idempotency, metrics, telemetry, tracing
from chassis.db import Conn, Database
from chassis.idempotency import Claimed, Key
from chassis.problems import IdempotencyKeyReused, InFlight, Problem
from chassis.reply import Rendered, Reply, render

LARGEST = 200


class Queued(NamedTuple):
    """A command in a batch, and the trace of the request that brought it."""

    value: Any
    traceparent: str | None


Write = Callable[[Conn, str, Sequence[Queued]], Awaitable[Sequence[Reply | Problem]]]
F = TypeVar("F", bound=Callable[..., Any])


def coalesced(write: Write) -> Callable[[F], F]:
    """Mark an endpoint that returns ``Command``: ``write(conn, store_id, queued)`` does many in one transaction.

    Result i of ``write`` belongs to member i; a refusal is a result, and has written nothing.
    """

    def mark(endpoint: F) -> F:
        endpoint.__write__ = write  # type: ignore[attr-defined]  # a function carries it
        return endpoint

    return mark


@dataclass(slots=True)
class Member:
    """One request of a batch."""

    queued: Queued
    key: Key | None
    fingerprint: bytes
    request_id: str
    done: asyncio.Future[tuple[Rendered, bool]]


class Coalescer:
    """The queues of one writer, one per store."""

    def __init__(self, service: str, database: Database, write: Write) -> None:
        self._sizes = metrics.BATCHES.labels(service, "requests")
        self._database = database
        self._write = write
        self._queues: dict[str, deque[Member]] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def submit(
        self, store_id: str, command: Any, key: Key | None, fingerprint: bytes, request_id: str
    ) -> tuple[Rendered, bool]:
        """Have a command done with the next batch; its reply, and whether that is a replay."""
        queued = Queued(command, tracing.current.get())
        member = Member(queued, key, fingerprint, request_id, asyncio.get_running_loop().create_future())
        queue = self._queues.get(store_id)
        if queue is None:
            queue = self._queues[store_id] = deque()
            task = asyncio.create_task(self._drain(store_id, queue), context=contextvars.Context())  # nobody's trace
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        queue.append(member)
        return await asyncio.shield(member.done)

    async def _drain(self, store_id: str, queue: deque[Member]) -> None:
        while queue:
            members = [queue.popleft() for _ in range(min(len(queue), LARGEST))]
            await self._run(store_id, members)
        del self._queues[store_id]

    async def _run(self, store_id: str, members: list[Member]) -> None:
        try:
            await self._commit(store_id, members)
        except asyncpg.LockNotAvailableError:
            await self._one_by_one(store_id, members, InFlight())
        except Exception as error:  # noqa: BLE001  (each member is told on its own)
            await self._one_by_one(store_id, members, error)

    async def _one_by_one(self, store_id: str, members: list[Member], error: BaseException) -> None:
        if len(members) == 1:
            if not members[0].done.done():
                members[0].done.set_exception(error)
            return
        for member in members:
            await self._run(store_id, [member])

    async def _commit(self, store_id: str, members: list[Member]) -> None:
        outcomes: list[tuple[Member, Rendered, bool]] = []
        self._sizes.observe(len(members))
        traces = (member.queued.traceparent for member in members)
        with telemetry.batch("requests", traces):
            await self._transact(store_id, members, outcomes)
        for member, reply, replayed in outcomes:
            if not member.done.done():
                member.done.set_result((reply, replayed))

    async def _transact(
        self, store_id: str, members: list[Member], outcomes: list[tuple[Member, Rendered, bool]]
    ) -> None:
        async with self._database.transaction(store_id) as conn:
            claims = await _claim(conn, members)
            leaders, followers = _sort_out(members, claims, outcomes)
            results = await self._write(conn, store_id, [member.queued for member in leaders]) if leaders else []
            rendered = [render(result, member.request_id) for member, result in zip(leaders, results, strict=True)]
            await _settle(conn, leaders, results, rendered)
        outcomes += [(member, reply, False) for member, reply in zip(leaders, rendered, strict=True)]
        of_key = {member.key: reply for member, reply in zip(leaders, rendered, strict=True)}
        outcomes += [(member, of_key[member.key], True) for member in followers]


async def _claim(conn: Conn, members: Sequence[Member]) -> dict[Key, Claimed]:
    wanted: dict[Key, bytes] = {}
    for member in members:
        if member.key is not None:
            wanted.setdefault(member.key, member.fingerprint)
    keys = sorted(wanted)
    return await idempotency.claim(conn, keys, [wanted[key] for key in keys]) if keys else {}


def _sort_out(
    members: Sequence[Member], claims: dict[Key, Claimed], outcomes: list[tuple[Member, Rendered, bool]]
) -> tuple[list[Member], list[Member]]:
    """Who writes, and who shares the reply of one with the same key; all others have their outcome already."""
    leaders, followers, led = [], [], set()
    for member in members:
        claim = claims[member.key] if member.key is not None else None
        if claim is not None and claim.fingerprint != member.fingerprint:
            outcomes.append((member, render(IdempotencyKeyReused(), member.request_id), False))
        elif claim is not None and claim.reply is not None:
            outcomes.append((member, claim.reply, True))
        elif member.key is not None and member.key in led:
            followers.append(member)
        else:
            led.add(member.key)
            leaders.append(member)
    return leaders, followers


async def _settle(
    conn: Conn, leaders: Sequence[Member], results: Sequence[Reply | Problem], rendered: Sequence[Rendered]
) -> None:
    pinned, freed = [], []
    for member, result, reply in zip(leaders, results, rendered, strict=True):
        if member.key is None:
            continue
        if isinstance(result, Reply) or result.pinned:
            pinned.append((member.key, reply))
        else:
            freed.append(member.key)
    if pinned:
        await idempotency.keep(conn, pinned)
    if freed:
        await idempotency.forget(conn, freed)
