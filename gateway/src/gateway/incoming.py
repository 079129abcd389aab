"""A request as it arrives, and its body: bounded in size and time."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Self

from starlette.types import Receive, Scope

from chassis import ids
from chassis.problems import Problem, TooLarge
from gateway import headers, routes
from gateway.headers import Raw
from gateway.refusals import TooSlow

# What is too large is read all the same, up to this and thrown away: a client that is still sending when the
# connection ends sees a reset and not our answer.
_READ_TO_REFUSE = 16_000_000
_LONGEST_LENGTH = 18
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Gone(Exception):  # noqa: N818  (nothing went wrong)
    """The caller hung up before the request was complete."""


class MethodUnknown(Problem):
    """A method that no path has, so there is no path whose methods could be named instead."""

    status = 501
    code = "method_not_implemented"
    title = "Nothing here has this method"


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request whose line and headers are in order. ``path`` and ``query`` are as they were sent."""

    method: str
    path: str
    query: str
    headers: Raw
    peer: str

    @classmethod
    def of(cls, scope: Scope) -> Self:
        """Raises a problem for what no honest client sends."""
        sent: Raw = scope["headers"]
        headers.check(sent)
        path, query = routes.checked(scope["raw_path"], scope["query_string"])
        if scope["method"] not in _METHODS:
            raise MethodUnknown
        client = scope.get("client")
        return cls(scope["method"], path, query, sent, client[0] if client else "")


def request_id_of(sent: Raw) -> str:
    """The caller's own request id if it is one, else a new one."""
    return headers.request_id(sent) or str(ids.new_uuid())


def ends_connection(scope: Scope) -> bool:
    """Whether nothing more may be read from this connection.

    granian drops the Content-Length of a request that also has a Transfer-Encoding, so the pair cannot be seen here;
    what follows such a request may be smuggled, and is never read if every chunked request is its connection's last.
    """
    return scope["http_version"].startswith("1") and any(name == b"transfer-encoding" for name, _ in scope["headers"])


async def body_of(scope: Scope, receive: Receive, *, most: int, seconds: float) -> bytes:
    """The whole body. Raises ``TooLarge``, ``TooSlow``, and ``Gone`` when the caller hangs up."""
    refused = _too_large(headers.one(scope["headers"], b"content-length"), most)
    if refused and headers.one(scope["headers"], b"expect"):
        raise TooLarge(f"a body may have {most} bytes")
    body, size = bytearray(), 0
    try:
        async with asyncio.timeout(seconds):
            async for part in _parts(receive):
                size += len(part)
                refused = refused or size > most
                if not refused:
                    body += part
                elif size > _READ_TO_REFUSE:
                    break
    except TimeoutError as error:
        raise TooSlow(f"a body must arrive within {seconds:g} s") from error
    if refused:
        raise TooLarge(f"a body may have {most} bytes")
    return bytes(body)


def _too_large(declared: str, most: int) -> bool:
    return len(declared) > _LONGEST_LENGTH or (declared.isdecimal() and int(declared) > most)


async def _parts(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        yield message.get("body", b"")
        if not message.get("more_body", False):
            return
