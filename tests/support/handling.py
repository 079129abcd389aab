"""Handling events in the test's own process: a service's database under both roles, and events as the broker gives them."""

import asyncio
from typing import NamedTuple

import pytest

from chassis import ids
from chassis.db import Database

WAITING = """
    SELECT count(DISTINCT pid) FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE NOT granted AND datname = current_database()
"""


class Record(NamedTuple):
    """What the broker hands over."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: list


def records(*events) -> list[Record]:
    """The events as they come over the wire, each in a delivery of its own."""
    return [
        Record(event.TOPIC.name, 0, offset, event.key.encode(), event.body(), _headers(event))
        for offset, event in enumerate(events)
    ]


def _headers(event):
    given = {"ce_id": str(ids.new_uuid()), "ce_type": event.TYPE, "store_id": event.store_id}
    return [(name, value.encode()) for name, value in given.items()]


async def somebody_waits(database: Database, several: int = 1) -> None:
    """Return once a transaction in this database waits for another one's lock, or several do."""
    async with asyncio.timeout(20):
        while True:
            async with database.transaction() as conn:
                if await conn.value(WAITING) >= several:
                    return
            await asyncio.sleep(0.01)


def slowly(read):
    """Decisions take their time, so that those which should wait for each other would overlap if they did not."""

    async def read_slowly(*args):
        found = await read(*args)
        await asyncio.sleep(0.01)
        return found

    return read_slowly


@pytest.fixture(scope="module")
async def database(request, clone):
    """A database of the service that the tests' folder is named after."""
    return await clone(request.path.parent.name)


@pytest.fixture(scope="module")
async def api(database):
    """The database as requests see it: one store at a time."""
    opened = await Database.open(database.api_url, size=8, name="test")
    yield opened
    await opened.close()


@pytest.fixture(scope="module")
async def worker(database):
    """The database as handlers see it."""
    opened = await Database.open(database.worker_url, size=10, name="test")
    yield opened
    await opened.close()
