"""The gateway on a port of its own, before services that are real servers and do as they are told."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import aiohttp
import pytest
from serving import _KEY, JWKS, free_port, on_port, serving, settings_for

from chassis.db import Database
from chassis.tokens import Caller, Verifier
from gateway import scopes, store
from gateway.main import service

PEPPER = "a pepper of the tests"
PRIVATE_JWK = json.dumps(_KEY.as_dict(private=True))


@dataclass(frozen=True)
class Seen:
    """A request as a service got it."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    def caller(self, service: str) -> Caller | None:
        """Who the gateway says is calling."""
        return Verifier(JWKS, service).verify(self.headers["authorization"].removeprefix("Bearer "))


@dataclass
class Origin:
    """A service that answers ``body`` with ``status``, or does as ``do`` says, its own or the query's."""

    port: int = field(default_factory=free_port)
    seen: list[Seen] = field(default_factory=list)
    status: int = 200
    body: bytes = b'{"data": {}}'
    do: str = "answer"
    pause: float = 10

    async def __call__(self, scope, receive, send):
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        seen = Seen(scope["method"], scope["raw_path"].decode(), scope["query_string"].decode(), headers, body)
        if seen.path == "/readyz":
            await _answer(send, 200, [], b"{}")
            return
        self.seen.append(seen)
        do = parse_qs(seen.query).get("do", [self.do])[0]
        await getattr(self, f"_{do}")(send)

    async def _answer(self, send):
        await _answer(send, self.status, [(b"content-type", b"application/json")], self.body)

    async def _redirect(self, send):
        await _answer(send, 303, [(b"location", b"/sandbox/elsewhere")], b"")

    async def _accept(self, send):
        await _answer(send, 202, [(b"location", b"/dev/v1/orders/x")], b"{}")

    async def _internals(self, send):
        names = (b"x-regulars-secret", b"keep-alive", b"x-request-id", b"x-other")
        await _answer(
            send, 200, [*((name, b"of the service") for name in names), (b"cache-control", b"max-age=5")], b"{}"
        )

    async def _refuse_method(self, send):
        await _answer(send, 405, [(b"allow", b"GET, HEAD")], b"{}")

    async def _slow(self, send):
        await asyncio.sleep(self.pause)
        await _answer(send, 200, [], b"late")

    async def _cut(self, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})

    async def _cut_stream(self, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        await asyncio.sleep(0.1)

    async def _stream(self, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in range(20):
            await send({"type": "http.response.body", "body": bytes([part]) * 50_000, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _answer(send, status, headers, body):
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


@contextlib.asynccontextmanager
async def listening(origin: Origin) -> AsyncIterator[Origin]:
    async with on_port(origin, origin.port):
        yield origin


class HangsUp:
    """Reads a request and closes the connection: it may have done the work."""

    def __init__(self) -> None:
        self.port = free_port()
        self.requests = 0

    async def serve(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        await reader.readexactly(int(length[1]) if length else 0)
        self.requests += 1
        writer.close()


@dataclass
class Reply:
    status: int
    headers: Any
    body: bytes

    @property
    def code(self) -> str:
        """The code of a problem document, which this must be."""
        assert self.headers["content-type"] == "application/problem+json", (self.status, self.body)
        problem = json.loads(self.body)
        assert problem["status"] == self.status
        assert problem["request_id"] == self.headers["x-request-id"]
        return problem["code"]


@dataclass
class World:
    """The gateway, the services behind it, and a store with its keys."""

    port: int
    session: aiohttp.ClientSession
    worker: Database
    database: Any
    runtime: Any
    carts: Origin | None = None
    affiliates: Origin | None = None
    wallet: HangsUp | None = None
    store_id: str = ""
    secret: str = ""
    publishable: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def call(
        self, method: str, path: str, *, key: str | None = "", body: bytes | None = None, **headers
    ) -> Reply:
        """Ask the gateway; with the store's secret key unless told. Underscores in header names are dashes."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            sent.setdefault("authorization", f"Bearer {key or self.secret}")
        url = aiohttp.client.URL(self.url + path, encoded=True)
        async with self.session.request(method, url, data=body, headers=sent, allow_redirects=False) as reply:
            return Reply(reply.status, reply.headers, await reply.read())

    async def raw(self, request: bytes) -> bytes:
        """Exact bytes, and all that comes back until the gateway closes or, having spoken, falls silent for a second."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        answered = b""
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            while part := await asyncio.wait_for(reader.read(65536), 1 if answered else 20):
                answered += part
        writer.close()
        return answered

    async def open_store(self, slug: str, **more) -> store.Store:
        given = {"currency": "EUR", "locale": "en", "url": "https://shop.example"} | more
        async with self.worker.transaction() as conn:
            return await store.create_store(conn, slug=slug, **given)

    async def new_key(self, store_id: str, kind="secret", allowed=None, **more) -> str:
        allowed = allowed or (scopes.EVERY if kind == "secret" else scopes.STOREFRONT)
        async with self.worker.transaction() as conn:
            return (await store.create_key(conn, store_id, kind, allowed, pepper=PEPPER, **more)).text


@contextlib.asynccontextmanager
async def standing(database, ports: dict[str, int]) -> AsyncIterator[World]:
    """The gateway before services on these ports."""
    async with contextlib.AsyncExitStack() as stack:
        settings = settings_for(
            service,
            database.api_url,
            database.worker_url,
            token_private_jwk=PRIVATE_JWK,
            key_pepper=PEPPER,
            visitor_pepper="another",
            upstreams={name: f"http://127.0.0.1:{port}" for name, port in ports.items()},
            public_url="http://gateway.example",
            upstream_seconds=3.0,
            body_seconds=3.0,
        )
        client = await stack.enter_async_context(serving(service, settings))
        worker = await Database.open(database.worker_url, size=2, name="test")
        stack.push_async_callback(worker.close)
        session = await stack.enter_async_context(aiohttp.ClientSession(auto_decompress=False))
        yield World(settings.port, session, worker, database, client.runtime)


@pytest.fixture(scope="module")
async def world(clone) -> AsyncIterator[World]:
    database, wallet = await clone("gateway"), HangsUp()
    async with contextlib.AsyncExitStack() as stack:
        carts, affiliates = [await stack.enter_async_context(listening(Origin())) for _ in range(2)]
        await stack.enter_async_context(await asyncio.start_server(wallet.serve, "127.0.0.1", wallet.port))
        ports = {
            "carts": carts.port,
            "customers": carts.port,
            "affiliates": affiliates.port,
            "wallet": wallet.port,
            "fraud-block": free_port(),
        }
        made = await stack.enter_async_context(standing(database, ports))
        made.carts, made.affiliates, made.wallet = carts, affiliates, wallet
        made.store_id = (await made.open_store("demo")).store_id
        made.secret = await made.new_key(made.store_id)
        made.publishable = await made.new_key(made.store_id, "publishable")
        yield made


@pytest.fixture(scope="session")
def gateway_before():
    return standing


@pytest.fixture
def unused_port() -> int:
    return free_port()


@pytest.fixture
def origin_on():
    return lambda port, **does: listening(Origin(port, **does))
