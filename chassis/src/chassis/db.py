"""A service's database: two pools under two roles, and one transaction at a time per connection.

The ``api`` role sees one store, named by ``app.store_id`` (row-level security); the ``worker`` role sees all and its
SQL states the store itself. Whatever a transaction announced with ``outbox.add`` is inserted as its last statement.
"""

import re
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from chassis import outbox
from chassis.notifier import Notifier
from contracts.ids import STORE, SUFFIX

_STORE_ID = re.compile(f"{STORE}_{SUFFIX}")

_SESSION = {
    "lock_timeout": "5s",
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "60s",
    "timezone": "UTC",
}


Raw = asyncpg.Connection | PoolConnectionProxy


class Conn:
    """One open transaction. What it announces is published, and who it wakes is woken, only if it commits."""

    __slots__ = ("announced", "raw", "wakes")

    def __init__(self, raw: Raw) -> None:
        self.raw = raw
        self.announced: list[outbox.Announced] = []
        self.wakes: set[str] = set()

    async def rows(self, sql: str, *args: object) -> list[asyncpg.Record]:
        """Every row of a query."""
        found: list[asyncpg.Record] = await self.raw.fetch(sql, *args)
        return found

    async def row(self, sql: str, *args: object) -> asyncpg.Record | None:
        """The first row of a query, if any."""
        return await self.raw.fetchrow(sql, *args)

    async def value(self, sql: str, *args: object) -> Any:
        """The first column of the first row, ``None`` without one."""
        return await self.raw.fetchval(sql, *args)

    async def execute(self, sql: str, *args: object) -> int:
        """Run a statement; the number of rows it touched."""
        status: str = await self.raw.execute(sql, *args)
        count = status.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    async def executemany(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Run a statement once for each row of arguments, in one round trip."""
        await self.raw.executemany(sql, rows)

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Undo what happens inside, announcements included, if it raises."""
        announced = len(self.announced)
        await self.raw.execute("SAVEPOINT inside")
        try:
            yield
        except BaseException:
            await self.raw.execute("ROLLBACK TO SAVEPOINT inside; RELEASE SAVEPOINT inside")
            del self.announced[announced:]
            raise
        await self.raw.execute("RELEASE SAVEPOINT inside")


async def _keep_as_is(_: asyncpg.Connection) -> None:
    """Nothing to reset: all we set is local to a transaction."""


class Database:
    """A pool of connections of one role."""

    def __init__(self, pool: asyncpg.Pool, notifier: Notifier | None = None) -> None:
        self.pool = pool
        self._notifier = notifier

    @classmethod
    async def open(cls, url: str, *, size: int, name: str, notifier: Notifier | None = None) -> Self:
        """Make the pool; it connects when first used."""
        pool = await asyncpg.create_pool(
            url,
            min_size=0,
            max_size=size,
            command_timeout=60,
            reset=_keep_as_is,
            server_settings=_SESSION | {"application_name": name},
        )
        return cls(pool, notifier)

    @property
    def in_use(self) -> int:
        """Connections at work."""
        return self.pool.get_size() - self.pool.get_idle_size()

    async def close(self) -> None:
        """Wait for what runs, then disconnect."""
        await self.pool.close()

    @asynccontextmanager
    async def transaction(self, store_id: str | None = None) -> AsyncIterator[Conn]:
        """One transaction, for one store under the api role. Commits unless the body raises."""
        if store_id is not None and not _STORE_ID.fullmatch(store_id):
            raise ValueError("not a store id")
        begin = "BEGIN" if store_id is None else f"BEGIN; SET LOCAL app.store_id = '{store_id}'"
        async with self.pool.acquire() as raw:
            conn = Conn(raw)
            try:
                await raw.execute(begin)
                yield conn
                await outbox.insert(raw, conn.announced)
                await raw.execute("COMMIT")
            except BaseException:
                await _roll_back(raw)
                raise
        if self._notifier is not None:
            if conn.announced:
                self._notifier.notify(outbox.CHANNEL)
            for channel in conn.wakes:
                self._notifier.notify(channel)


async def _roll_back(raw: Raw) -> None:
    """End a failed transaction; a connection that cannot even do that is thrown away."""
    try:
        if not raw.is_closed():
            await raw.execute("ROLLBACK")
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
        with suppress(asyncpg.InterfaceError):  # lost and back in the pool already: what lost it is the error to see
            raw.terminate()
