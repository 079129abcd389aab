"""Consumes one batch, says so after the database has it, and never tells the broker. Run to be killed."""

import asyncio
import sys

from chassis import db
from chassis.consumer import Consumer
from chassis.inbox import Router
from contracts.event import Event
from contracts.topics import Topic


async def main(url: str, bootstrap: str, service: str, topic: str) -> None:
    class Added(Event, type="thing.added", topic=Topic(topic), key="subject"):
        subject: str
        number: int

    router = Router()

    @router.on(Added)
    async def on_added(event: Added, conn: db.Conn) -> None:
        await conn.execute(
            "INSERT INTO tally VALUES ($1, 1) ON CONFLICT (store_id) DO UPDATE SET times = tally.times + 1",
            event.store_id,
        )

    database = await db.Database.open(url, size=2, name="dying")
    consumer = Consumer(service, router, database, bootstrap)
    process = consumer._inbox.process

    async def process_and_hang(group, records) -> None:
        await process(group, records)
        print("committed", flush=True)  # noqa: T201
        await asyncio.Event().wait()

    consumer._inbox.process = process_and_hang  # type: ignore[method-assign]
    await consumer.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
