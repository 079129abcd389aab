"""Serving one service in the test's own process: its real application on a real port, and a client with tokens."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
import structlog
from granian.constants import Interfaces
from granian.server.embed import Server
from joserfc.jwk import OKPKey

from chassis import ids, known_customers, logs, replies
from chassis.runtime import Runtime
from chassis.service import Service
from chassis.settings import Settings
from chassis.tokens import Caller, Signer
from contracts.ids import STORE
from regulars import ports

_KEY = OKPKey.generate_key("Ed25519", {"kid": "test"}, auto_kid=False)
SIGNER = Signer(json.dumps(_KEY.as_dict(private=True)))
JWKS = json.dumps({"keys": [_KEY.as_dict(private=False)]})

SCOPES = frozenset(
    f"{noun}.{verb}"
    for noun in (
        "customers",
        "orders",
        "carts",
        "subscriptions",
        "wallet",
        "affiliates",
        "fraud",
        "catalog",
        "invoices",
    )
    for verb in ("read", "write")
) | {"internal"}


def new_store() -> str:
    return ids.new(STORE)


def merchant(store_id: str, scopes: Iterable[str] = SCOPES) -> Caller:
    """An API key of a store, with all scopes unless told."""
    return Caller(store_id, "merchant", "key_test", frozenset(scopes))


def storefront(store_id: str, scopes: Iterable[str] = SCOPES) -> Caller:
    return Caller(store_id, "storefront", "key_test", frozenset(scopes))


def customer(store_id: str, customer_id: str, scopes: Iterable[str] = SCOPES) -> Caller:
    return Caller(store_id, "customer", customer_id, frozenset(scopes))


@dataclass(frozen=True)
class Response:
    """A reply, read whole. ``data`` is what a single object or a list has under ``data``."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def data(self) -> Any:
        return self.json["data"]

    @property
    def code(self) -> str:
        """The code of a problem document."""
        assert self.headers["content-type"] == "application/problem+json", self.body
        problem = self.json
        assert problem["status"] == self.status
        assert problem["request_id"] == self.headers["x-request-id"] or self.headers.get("idempotent-replayed")
        return problem["code"]


@dataclass
class Client:
    """Calls one served service as a given caller; ``as_`` gives the same for another."""

    url: str
    service: str
    runtime: Runtime
    session: aiohttp.ClientSession
    caller: Caller | None = None
    sent: dict[str, str] = field(default_factory=dict)

    def as_(self, caller: Caller | None) -> "Client":
        return Client(self.url, self.service, self.runtime, self.session, caller)

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        raw: bytes | None = None,
        **headers: str,
    ) -> Response:
        """Send JSON (``body``) or exact bytes (``raw``); underscores in header names become dashes."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.caller is not None:
            sent.setdefault("authorization", f"Bearer {SIGNER.sign(self.caller, self.service)}")
        if key is not None:
            sent["idempotency-key"] = key
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        if data is not None:
            sent.setdefault("content-type", "application/json")
        async with self.session.request(
            method, self.url + path, data=data, headers=sent, allow_redirects=False
        ) as reply:
            return Response(reply.status, reply.headers, await reply.read())

    async def get(self, path: str, **options: Any) -> Response:
        return await self.call("GET", path, **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> Response:
        return await self.call("POST", path, body, **options)

    async def put(self, path: str, body: Any = None, **options: Any) -> Response:
        return await self.call("PUT", path, body, **options)

    async def delete(self, path: str, **options: Any) -> Response:
        return await self.call("DELETE", path, **options)


Serve = Callable[..., Awaitable[Client]]


def settings_for(service: Service, api_url: str, worker_url: str, **more: Any) -> Settings:
    given = {"kafka": "127.0.0.1:1", "port": free_port(), "token_jwks": JWKS} | more
    return service.settings(api_database_url=api_url, worker_database_url=worker_url, **given)


# Below what Linux lends to outgoing connections, which would take a port between here and its server; apart from stacks'.
_PORTS = iter(random.sample(range(10_000, 15_000), 5_000))


def free_port() -> int:
    """A port that nobody listens on, and that this process has not had before."""
    return next(port for port in _PORTS if not ports.in_use(port))


@asynccontextmanager
async def on_port(app: Any, port: int) -> AsyncIterator[None]:
    """An application that accepts connections on this port."""
    server = Server(app, ports.HOST, port, interface=Interfaces.ASGINL, log_enabled=False)
    task = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(30):
            while not task.done():
                with suppress(OSError):
                    _, writer = await asyncio.open_connection(ports.HOST, port)
                    writer.close()
                    break
                await asyncio.sleep(0.002)
        yield
    finally:
        server.stop()
        await task


# As services log: structlog's own traceback prints every local of every frame, which takes a minute on a busy machine.
PLAIN = [structlog.stdlib.add_log_level, logs._without_values, structlog.dev.ConsoleRenderer(colors=False)]


@asynccontextmanager
async def serving(service: Service, settings: Settings, kind: str = "api") -> AsyncIterator[Client]:
    """The service as a process of this kind runs it, on its port."""
    structlog.configure(processors=PLAIN)
    async with (
        service.running(settings, kind) as (runtime, app),
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True)  # a refused body ends its connection
        ) as session,
        on_port(app, settings.port),
    ):
        yield Client(f"http://127.0.0.1:{settings.port}", service.name, runtime, session)


@pytest.fixture(scope="module")
async def serve() -> AsyncIterator[Serve]:
    """`client = await serve(service, database)`: served until the module ends; ``kind`` and settings by keyword."""
    ends: list[Any] = []

    async def start(service: Service, database: Any, *, kind: str = "api", **more: Any) -> Client:
        settings = settings_for(service, database.api_url, database.worker_url, **more)
        context = serving(service, settings, kind)
        client = await context.__aenter__()
        ends.append(context)
        return client.as_(merchant(new_store()))

    yield start
    for context in reversed(ends):
        await context.__aexit__(None, None, None)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP waits a quarter of a second for another service's answer, not five; for an unknown customer, not two."""
    monkeypatch.setattr(replies.Waiters.wait, "__defaults__", (0.25,))
    monkeypatch.setattr(known_customers, "_PATIENCE", 0.25)
