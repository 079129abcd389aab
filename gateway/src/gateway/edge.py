"""The application the world talks to: links, the services behind us, and a few paths of our own."""

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from http import HTTPStatus

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis import clock, metrics, telemetry
from chassis.problems import MEDIA_TYPE, Forbidden, Internal, NotFound, Problem
from chassis.runtime import Runtime
from chassis.tokens import Caller
from gateway import contacts, headers, incoming, landing, pages, proxy, redirects, touches
from gateway.contacts import Contacts
from gateway.directory import Directory
from gateway.identity import Keyring, Tokens
from gateway.incoming import Gone, Incoming
from gateway.proxy import Outgoing, Upstream
from gateway.readiness import Readiness
from gateway.redirects import Links
from gateway.refusals import MalformedRequest, OnlyPosted
from gateway.routes import Map, Route, Takes
from gateway.settings import Settings

log = structlog.get_logger()

_OWN = frozenset({b"/livez", b"/metrics"})
_LINK = "/r/"
_READS = frozenset({"GET", "HEAD"})  # of a HEAD the server keeps the body back
_CARTS = "/storefront/v1/carts"
_CLICK_BYTES = 1_000
_CLICKS_NEED = "carts.write"  # who may open a cart may say by which link its visitor came


class Edge:
    """Takes every request, decides whose it is, and is the only one to refuse it in the gateway's name."""

    def __init__(
        self,
        own: ASGIApp,
        runtime: Runtime,
        settings: Settings,
        *,
        upstreams: Mapping[str, Upstream],
        keyring: Keyring,
        tokens: Tokens,
        directory: Directory,
        links: Links,
        contacts: Contacts,
    ) -> None:
        self._own = own
        self._runtime = runtime
        self._settings = settings
        self._upstreams = upstreams
        self._keyring = keyring
        self._tokens = tokens
        self._directory = directory
        self._links = links
        self._contacts = contacts
        self._readiness = Readiness(own, upstreams)
        self._map = Map()
        self._pages = pages.own()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        if scope["raw_path"] in _OWN:
            await self._own(scope, receive, send)
        elif scope["raw_path"] == b"/readyz":
            await self._readiness(scope, receive, send)
        else:
            self._runtime.in_flight += 1
            try:
                with telemetry.serving(scope["method"], headers.one(scope["headers"], b"traceparent")):
                    await self._timed(scope, receive, send)
            finally:
                self._runtime.in_flight -= 1

    async def _timed(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, status = time.perf_counter(), 0

        async def noted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._guarded(scope, receive, noted)
        finally:
            seconds = time.perf_counter() - began
            metrics.answered(self._runtime.service, scope["method"], self._pattern(scope["path"]), status, seconds)

    def _pattern(self, path: str) -> str:
        if path in self._pages or path == redirects.CLICKS:
            return path
        route = self._map.find(path)
        return route.path if route is not None else _LINK if path.startswith(_LINK) else ""

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, whatever happens; what has begun and fails is left unfinished."""
        request_id = incoming.request_id_of(scope["headers"])
        ours = [(b"x-request-id", request_id.encode())]
        if incoming.ends_connection(scope):
            ours.append((b"connection", b"close"))
        began = False

        async def watched(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            await self._answer(scope, receive, watched, ours, request_id)
        except Gone:  # nobody hears it if the caller left; a body cut into wrong chunks looks the same from here
            if not began:
                await _refuse(send, MalformedRequest(), request_id, ours)
        except Problem as problem:
            await _refuse(send, problem, request_id, ours)
        except Exception:
            log.exception("request_failed", request_id=request_id)
            if not began:
                await _refuse(send, Internal(), request_id, ours)

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, ours: list[tuple[bytes, bytes]], request_id: str
    ) -> None:
        request = Incoming.of(scope)
        if (page := self._pages.get(request.path)) is not None:
            await page.send(request.method, request.headers, send, ours)
            return
        client_ip = headers.client_ip(request.peer, request.headers, self._settings.trusted_proxies)
        if request.path.startswith(_LINK):
            found = await self._links.follow(request, client_ip)
            await _say(send, HTTPStatus.FOUND, [*found, *ours])
            return
        if request.path == redirects.CLICKS:
            taken = await self._click(request, scope, receive, client_ip)
            await _say(send, HTTPStatus.NO_CONTENT, [*taken, *ours])
            return
        route = self._map.find(request.path)
        if route is None:
            raise NotFound("there is no such path")
        caller = await self._caller(route, request)
        most = max(route.body_bytes, self._settings.max_body_bytes)
        body = await incoming.body_of(scope, receive, most=most, seconds=self._settings.body_seconds)
        told = [
            ("authorization", f"Bearer {self._tokens.token(caller, route.service)}"),
            ("x-request-id", request_id),
            (headers.CLIENT_IP, client_ip),
        ]
        if route.path == _CARTS and request.method == "POST":
            told += touches.told(request.headers, caller.store_id, clock.now())
        sent = headers.for_service(request.headers, told)
        outgoing = Outgoing(caller.store_id, request.method, request.path, request.query, sent, body)
        upstream = self._upstreams[route.service]
        if request.path in contacts.LISTS and request.method in _READS:
            added = partial(self._contacts.added, caller=caller, request_id=request_id)
            await proxy.relay_changed(upstream, replace(outgoing, method="GET"), added, send, ours)
        else:
            await proxy.relay(upstream, outgoing, send, ours)

    async def _click(
        self, request: Incoming, scope: Scope, receive: Receive, client_ip: str
    ) -> list[tuple[bytes, bytes]]:
        """Take a click that a storefront tells of; the headers of the answer."""
        if request.method != "POST":
            raise OnlyPosted
        principal = await self._keyring.principal(headers.one(request.headers, b"authorization"))
        if _CLICKS_NEED not in principal.caller.scopes:
            raise Forbidden(f"this needs the scope {_CLICKS_NEED}")
        body = await incoming.body_of(scope, receive, most=_CLICK_BYTES, seconds=self._settings.body_seconds)
        code = redirects.code_in(request, body)
        cookie = self._links.click(principal.caller.store_id, code, request.headers, client_ip)
        return [cookie, (b"cache-control", b"no-store")]

    async def _caller(self, route: Route, request: Incoming) -> Caller:
        """Who comes by this route. Raises a problem for those who may not."""
        if route.takes is Takes.VISITOR:
            slug = request.path.split("/")[2]
            if not landing.SLUG.fullmatch(slug):
                raise NotFound("there is no such store")
            return Caller((await self._directory.by_slug(slug)).store_id, "storefront", "visitor")
        principal = await self._keyring.principal(headers.one(request.headers, b"authorization"))
        if route.takes is Takes.SECRET_KEY and principal.kind != "secret":
            raise Forbidden("this path takes a secret key")
        return principal.caller


async def _say(send: Send, status: HTTPStatus, said: list[tuple[bytes, bytes]]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": said})
    await send({"type": "http.response.body", "body": b""})


async def _refuse(send: Send, problem: Problem, request_id: str, ours: list[tuple[bytes, bytes]]) -> None:
    body = problem.body(request_id)
    said = [(name.encode(), value.encode()) for name, value in problem.headers.items()]
    await send(
        {
            "type": "http.response.start",
            "status": problem.status,
            "headers": [
                (b"content-type", MEDIA_TYPE.encode()),
                (b"content-length", str(len(body)).encode()),
                (b"cache-control", b"no-store"),
                *ours,
                *said,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})
