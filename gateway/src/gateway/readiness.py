"""``/readyz`` of the gateway: ready when it is itself; which services are not is told, and is theirs to answer for.

A gateway that called itself unready for one service would take the others away as well.
"""

import asyncio
import json
from collections.abc import Mapping

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.proxy import Upstream
from gateway.recent import Recent

_ASKED_EVERY = 1.0


class Readiness:
    """The chassis' answer, and the services that are not ready. Asks each at most once a second."""

    def __init__(self, own: ASGIApp, upstreams: Mapping[str, Upstream]) -> None:
        self._own = own
        self._upstreams = upstreams
        self._told: Recent[str, list[str]] = Recent(_ASKED_EVERY)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["method"] not in {"GET", "HEAD"}:
            await self._own(scope, receive, send)
            return
        status, body = 503, bytearray()

        async def hear(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            body.extend(message.get("body", b""))

        await self._own(scope, receive, hear)
        answer = json.loads(bytes(body) or b"{}") | {"upstreams_not_ready": await self._not_ready()}
        await JSONResponse(answer, status)(scope, receive, send)

    async def _not_ready(self) -> list[str]:
        told = self._told.get("")
        if told is None:
            ready = await asyncio.gather(*(upstream.is_ready() for upstream in self._upstreams.values()))
            told = [name for name, is_ready in zip(self._upstreams, ready, strict=True) if not is_ready]
            self._told.put("", told)
        return told
