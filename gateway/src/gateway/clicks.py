"""Clicks on affiliates' links: held in memory for a moment, then handed to affiliates in batches.

A store has one batch under way at a time, sent again with the same id and bytes until it is answered; meanwhile its
clicks gather, so an outage makes few large batches and not many small ones. What is held is bounded: clicks past it
are counted and lost. A killed process loses what it held: the clicks of the last 100 ms, and what is not answered yet,
or waits where more than 64 stores have clicks at once. Money hangs on the order's code, never on a click.
"""

import asyncio
import hashlib
import hmac
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple

import crawleruseragents  # type: ignore[import-untyped]
import structlog
from prometheus_client import Counter
from pydantic_core import to_json

from chassis import ids

log = structlog.get_logger()

LOST = Counter("regulars_clicks_lost", "Clicks that never reached affiliates", ["why"])

Send = Callable[[str, bytes], Awaitable[int]]  # a store and a body; the status of the answer, 0 without one

_BATCH = 500
_LATEST = 0.1  # seconds after its oldest click a batch goes, unless one is under way
_PAUSE = 0.2
_LONGEST_PAUSE = 5.0
_AT_ONCE = 64
_LAST_CHANCE = 3.0
# An answer that is about the moment, or about our token, and not about the batch.
_AGAIN = frozenset({0, 401, 403, 404, 408, 425, 429})
_USER_AGENT_READ = 400


class Click(NamedTuple):
    """One click. ``visitor`` is a keyed hash that changes every day; ``at`` is business time."""

    code: str
    visitor: str
    bot: bool
    at: datetime


def visitor(pepper: str, store_id: str, client_ip: str, user_agent: str, at: datetime) -> str:
    """The same for a person on a day in a store, and of no use to find the person."""
    told = "\n".join((store_id, client_ip, user_agent, at.date().isoformat()))
    return hmac.digest(pepper.encode(), told.encode(), hashlib.sha256).hex()[:32]


def is_bot(user_agent: str) -> bool:
    """Whether a machine says it is one: a crawler, a link preview, a script. No browser says nothing."""
    return not user_agent or _is_crawler(user_agent[:_USER_AGENT_READ])


@lru_cache(maxsize=4096)
def _is_crawler(user_agent: str) -> bool:
    known: bool = crawleruseragents.is_crawler(user_agent)
    return known


@dataclass(slots=True)
class _Waiting:
    """The clicks of a store that have not gone yet; ``since`` is when the oldest came."""

    clicks: list[Click] = field(default_factory=list)
    since: float = 0.0
    full: asyncio.Event = field(default_factory=asyncio.Event)


class Clicks:
    """The clicks on their way. ``most`` bounds all that is held, for all stores."""

    def __init__(self, send: Send, *, most: int = 20_000) -> None:
        self._send = send
        self._most = most
        self._held = 0
        self._waiting: dict[str, _Waiting] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._closing = asyncio.Event()

    @property
    def held(self) -> int:
        """How many clicks are not yet handed over."""
        return self._held

    def add(self, store_id: str, click: Click) -> None:
        """Take a click. Never waits, never fails."""
        if self._held >= self._most:
            LOST.labels("overflow").inc()
            return
        self._held += 1
        waiting = self._waiting.get(store_id)
        if waiting is None:
            waiting = self._waiting[store_id] = _Waiting()
            task = asyncio.create_task(self._hand_over(store_id, waiting))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if not waiting.clicks:
            waiting.since = time.monotonic()
        waiting.clicks.append(click)
        if len(waiting.clicks) >= _BATCH:
            waiting.full.set()

    async def close(self) -> None:
        """Hand over what is held, for 3 s at most."""
        self._closing.set()
        for waiting in self._waiting.values():
            waiting.full.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_LAST_CHANCE)
        for task in self._tasks:
            task.cancel()
        if self._held:
            LOST.labels("shutdown").inc(self._held)
            log.warning("clicks_lost", clicks=self._held)

    async def _hand_over(self, store_id: str, waiting: _Waiting) -> None:
        while waiting.clicks:
            if not self._closing.is_set():
                await _within(waiting.full, waiting.since + _LATEST - time.monotonic())
            batch, waiting.clicks = waiting.clicks[:_BATCH], waiting.clicks[_BATCH:]
            if len(waiting.clicks) < _BATCH:
                waiting.full.clear()
            await self._deliver(store_id, batch)
            self._held -= len(batch)
        del self._waiting[store_id]

    async def _deliver(self, store_id: str, batch: list[Click]) -> None:
        """Send one batch until it is answered."""
        body = to_json({"batch_id": str(ids.new_uuid()), "clicks": [click._asdict() for click in batch]})
        pause = _PAUSE
        while True:
            status = await self._sent(store_id, body)
            if status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _AGAIN:
                break
            log.info("clicks_wait", status=status, clicks=self._held)
            if self._closing.is_set():
                await asyncio.sleep(_PAUSE)
            else:
                await _within(self._closing, pause * random.uniform(0.5, 1))  # noqa: S311  (spreads, hides nothing)
            pause = min(pause * 2, _LONGEST_PAUSE)
        if status >= HTTPStatus.MULTIPLE_CHOICES:
            LOST.labels("refused").inc(len(batch))
            log.error("clicks_refused", status=status, clicks=len(batch))

    async def _sent(self, store_id: str, body: bytes) -> int:
        """The status of the answer. A fault of ours is none: it may pass, and the store's later clicks wait behind it."""
        async with self._turns:
            try:
                return await self._send(store_id, body)
            except Exception:
                log.exception("clicks_not_sent")
                return 0


async def _within(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, but no longer."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
