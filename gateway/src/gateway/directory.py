"""The stores, held in memory and read again every second, so that a redirect never waits for a database.

Only a slug or host that nobody has waits: for the next reading, shared, and at most five of them a second.
"""

import asyncio
import time

import structlog

from chassis.db import Database
from chassis.problems import NotFound, Unavailable
from gateway import store
from gateway.identity import DATABASE_AWAY
from gateway.store import Store

log = structlog.get_logger()

_READ_EVERY = 1.0
_READ_AT_MOST_EVERY = 0.2
_READ_WITHIN = 2.0


class Directory:
    """Where each store is found."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._by_slug: dict[str, Store] = {}
        self._by_host: dict[str, Store] = {}
        self._read_at = float("-inf")
        self._next: asyncio.Task[None] | None = None

    async def by_slug(self, slug: str) -> Store:
        """The store of a slug. Raises ``NotFound``, and ``Unavailable`` if that cannot be told."""
        if slug not in self._by_slug:
            await self._read_again()
        found = self._by_slug.get(slug)
        if found is None:
            raise NotFound("there is no such store")
        return found

    async def by_host(self, host: str) -> Store:
        """The store of a ``Host`` header; the only store, if there is but one. Raises as ``by_slug`` does."""
        name = host.partition(":")[0].lower()
        if name not in self._by_host:
            if len(self._by_slug) != 1:
                await self._read_again()
            if len(self._by_slug) == 1:
                return next(iter(self._by_slug.values()))
        found = self._by_host.get(name)
        if found is None:
            raise NotFound("there is no such store")
        return found

    async def keep_fresh(self) -> None:
        """Read the stores again every second; for ever."""
        while True:
            try:
                await self._read()
            except DATABASE_AWAY as error:
                log.warning("stores_not_read", error=type(error).__name__)
            await asyncio.sleep(_READ_EVERY)

    async def _read_again(self) -> None:
        """Wait for a reading that has not begun yet, so that it sees all that is there now."""
        if self._next is None:
            self._next = asyncio.create_task(self._read_soon())
        try:
            await asyncio.shield(self._next)
        except DATABASE_AWAY as error:
            raise Unavailable from error

    async def _read_soon(self) -> None:
        await asyncio.sleep(self._read_at + _READ_AT_MOST_EVERY - time.monotonic())
        self._next = None
        await self._read()

    async def _read(self) -> None:
        self._read_at = time.monotonic()
        async with asyncio.timeout(_READ_WITHIN), self._database.transaction() as conn:
            stores = await store.every_store(conn)
        self._by_slug = {each.slug: each for each in stores}
        self._by_host = {each.host: each for each in stores if each.host is not None}
