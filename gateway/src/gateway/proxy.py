"""One service behind the gateway: its connections, its deadline, and what its failures mean to a caller.

A request is sent again only if its connection could not be made, so not a byte of it was sent, and only if it may
come twice: by its method, or by its idempotency key. aiohttp would also repeat some that were sent; that is off.
"""

import asyncio
import io
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Self

import aiohttp
import structlog
from aiohttp import ClientResponse, ClientTimeout
from prometheus_client import Counter
from starlette.types import Send
from yarl import URL

from chassis import telemetry
from chassis.problems import Problem
from gateway import headers
from gateway.refusals import BadUpstream, TooManyAtOnce, UpstreamAway, UpstreamBusy, UpstreamTooSlow
from gateway.turns import Turns

log = structlog.get_logger()

FAILURES = Counter("regulars_upstream_failures", "Requests a service did not answer", ["service", "why"])

_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_CONNECT = 1.0
_PAUSE = 0.05
_PATIENCE = 7.0  # more than the 5 s for which a service waits for another
_READ_WHOLE = 262_144
_WRITTEN_AT_ONCE = 2**20  # aiohttp warns of more: nothing else happens meanwhile
_IDLE = 3.0  # below the 5 s after which a service ends a connection that says nothing


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request of a store as a service gets it, to be answered ``within`` so many seconds if the service's own are more.

    ``path`` and ``query`` are as they were sent.
    """

    store_id: str
    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes
    within: float = math.inf

    @property
    def may_come_twice(self) -> bool:
        """Whether a second arrival changes nothing."""
        return self.method in _REPEATABLE or any(name == "idempotency-key" and value for name, value in self.headers)


class Upstream:
    """A service. ``connections`` at once, taken in turns; a wait for one's turn counts against its time."""

    def __init__(
        self, name: str, session: aiohttp.ClientSession, url: str, *, connections: int, seconds: float
    ) -> None:
        self.name = name
        self._session = session
        self._url = URL(url)
        self._turns = Turns(connections)
        self._seconds = seconds

    @classmethod
    @asynccontextmanager
    async def open(cls, name: str, url: str, *, connections: int, seconds: float) -> AsyncIterator[Self]:
        """Connections to a service, made when they are needed."""
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE, ttl_dns_cache=5)
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("accept", "accept-encoding", "content-type", "user-agent"),
            timeout=ClientTimeout(total=seconds, connect=_CONNECT),
            trust_env=False,
        ) as session:
            session._retry_connection = False  # noqa: SLF001  (there is no other way; a test guards it)
            yield cls(name, session, url, connections=connections, seconds=seconds)

    @asynccontextmanager
    async def answer_to(self, request: Outgoing) -> AsyncIterator[ClientResponse]:
        """The answer, its body still on the way. Raises the refusals that tell of an upstream, and ``TooManyAtOnce``."""
        seconds = min(request.within, self._seconds)
        until = time.monotonic() + seconds
        try:
            await self._turns.take(request.store_id, min(seconds, _PATIENCE))
        except (TooManyAtOnce, UpstreamBusy) as refusal:
            raise self._failure(refusal, "busy") from None
        try:
            async with await self._connected(request, until) as response:
                yield response
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise self._failure(UpstreamAway(), "away") from error
        except TimeoutError as error:
            raise self._failure(UpstreamTooSlow(), "slow") from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._failure(BadUpstream(), "broke_off") from error
        finally:
            self._turns.give_back(request.store_id)

    async def _connected(self, request: Outgoing, until: float) -> ClientResponse:
        try:
            return await self._send(request, until)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            if not request.may_come_twice:
                raise
        await asyncio.sleep(_PAUSE)
        return await self._send(request, until)

    async def _send(self, request: Outgoing, until: float) -> ClientResponse:
        seconds = until - time.monotonic()
        if seconds <= 0:  # aiohttp would take it for no limit
            raise TimeoutError
        url = URL.build(
            scheme=self._url.scheme,
            host=self._url.host or "",
            port=self._url.port,
            path=request.path,
            query_string=request.query,
            encoded=True,
        )
        body = io.BytesIO(request.body) if len(request.body) > _WRITTEN_AT_ONCE else request.body
        with telemetry.calling(self.name, request.method) as traceparent:
            ours = [("traceparent", traceparent), (headers.TIME_LEFT, str(math.ceil(seconds * 1000)))]
            return await self._session.request(
                request.method,
                url,
                headers=[*request.headers, *ours],
                data=body or None,
                allow_redirects=False,
                timeout=ClientTimeout(total=seconds, connect=_CONNECT),
            )

    def _failure(self, problem: Problem, why: str) -> Problem:
        FAILURES.labels(self.name, why).inc()
        log.warning("upstream_failed", upstream=self.name, why=why)
        return problem

    async def is_ready(self) -> bool:
        """Whether the service says that it is ready, within a second."""
        try:
            async with self._session.get(self._url / "readyz", timeout=ClientTimeout(total=1)) as response:
                return response.status == HTTPStatus.OK
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False


async def relay(upstream: Upstream, request: Outgoing, send: Send, ours: list[tuple[bytes, bytes]]) -> int:
    """Ask a service and pass its answer on; returns its status.

    Small answers are read whole first, so that one that breaks off is a 502. Of a large one the caller has the start
    by then: the response is left unfinished, and the server cuts the connection, which no client takes for the end.
    """
    began = False
    try:
        async with upstream.answer_to(request) as response:
            start = {
                "type": "http.response.start",
                "status": response.status,
                "headers": headers.for_caller(response.raw_headers, ours),
            }
            if _is_small(response):
                body = await response.read()
                began = True
                await send(start)
                await send({"type": "http.response.body", "body": body})
                return response.status
            began = True
            await send(start)
            async for chunk in response.content.iter_any():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
            return response.status
    except (BadUpstream, UpstreamTooSlow):
        if not began:
            raise
        return HTTPStatus.BAD_GATEWAY


async def relay_changed(
    upstream: Upstream,
    request: Outgoing,
    change: Callable[[bytes], Awaitable[bytes]],
    send: Send,
    ours: list[tuple[bytes, bytes]],
) -> None:
    """Ask a service and pass its answer on, its body changed; what is no 200 passes as it came."""
    async with upstream.answer_to(request) as response:
        body = await response.read()
    said = headers.for_caller(response.raw_headers, ours)
    if response.status == HTTPStatus.OK:
        body = await change(body)
        length = (b"content-length", str(len(body)).encode())
        said = [*(header for header in said if header[0] != length[0]), length]
    await send({"type": "http.response.start", "status": response.status, "headers": said})
    await send({"type": "http.response.body", "body": body})


def _is_small(response: ClientResponse) -> bool:
    empty = response.method == "HEAD" or response.status in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
    return empty or (response.content_length is not None and response.content_length <= _READ_WHOLE)
