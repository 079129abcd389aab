"""Puts the edge together around the chassis' application, with what it needs running."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.types import ASGIApp

from chassis import ids
from chassis.problems import Problem
from chassis.runtime import Runtime
from chassis.tokens import Signer
from gateway.clicks import Clicks
from gateway.contacts import Contacts
from gateway.directory import Directory
from gateway.edge import Edge
from gateway.identity import Keyring, Tokens
from gateway.proxy import Outgoing, Upstream
from gateway.redirects import Links
from gateway.routes import TABLE
from gateway.settings import Settings

_AFFILIATES, _CUSTOMERS = "affiliates", "customers"


@asynccontextmanager
async def at_the_edge(own: ASGIApp, runtime: Runtime) -> AsyncIterator[ASGIApp]:
    """The edge around the chassis' application, and what it needs running."""
    settings = runtime.settings
    if not isinstance(settings, Settings):
        raise TypeError("the gateway runs on its own settings")
    missing = {route.service for route in TABLE} - settings.upstreams.keys()
    if missing:
        raise ValueError(f"REGULARS_UPSTREAMS lacks {', '.join(sorted(missing))}")
    async with AsyncExitStack() as stack:
        upstreams = {
            name: await stack.enter_async_context(
                Upstream.open(name, url, connections=settings.upstream_connections, seconds=settings.upstream_seconds)
            )
            for name, url in settings.upstreams.items()
        }
        tokens = Tokens(Signer(settings.token_private_jwk.get_secret_value()))
        keyring = Keyring(runtime.api, settings.key_pepper.get_secret_value())
        directory = Directory(runtime.api)
        clicks = _clicks(upstreams[_AFFILIATES], tokens)
        links = Links(
            directory,
            clicks,
            visitor_pepper=settings.visitor_pepper.get_secret_value(),
            secure=settings.public_url.startswith("https://"),
        )
        tasks = [asyncio.create_task(work) for work in (directory.keep_fresh(), keyring.note_uses())]
        try:
            yield Edge(
                own,
                runtime,
                settings,
                upstreams=upstreams,
                keyring=keyring,
                tokens=tokens,
                directory=directory,
                links=links,
                contacts=Contacts(upstreams[_CUSTOMERS], tokens),
            )
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await clicks.close()
            await keyring.note_uses_now()


def _clicks(affiliates: Upstream, tokens: Tokens) -> Clicks:
    async def send(store_id: str, body: bytes) -> int:
        told = [
            ("authorization", f"Bearer {tokens.own_token(store_id, affiliates.name)}"),
            ("content-type", "application/json"),
            ("x-request-id", str(ids.new_uuid())),
        ]
        try:
            async with affiliates.answer_to(
                Outgoing(store_id, "POST", "/internal/v1/clicks", "", told, body)
            ) as response:
                await response.read()
                return response.status
        except Problem:
            return 0

    return Clicks(send)
