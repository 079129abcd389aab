"""Events straight onto their topic, as a relay would send them, and how far it and who reads it have come."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from chassis import ids
from contracts.event import Event
from contracts.topics import Topic
from regulars.trouble import Trouble

Offsets = Mapping[TopicPartition, int]

_LOOK = 0.05
_PATIENCE = 240.0
_AT_ONCE = 1_000
_COUNTS_FROM = 0.1  # of the way: by then a process has started and joined its group


def places(topic: Topic) -> list[TopicPartition]:
    """The partitions of a topic."""
    return [TopicPartition(topic.name, number) for number in range(topic.partitions)]


async def send(bootstrap: str, source: str, events: Iterable[Event]) -> None:
    """Put events on their topics, key by key, with the headers of a relay."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=5, max_batch_size=131_072) as producer:
        acks = []
        for event in events:
            headers = [
                ("ce_specversion", b"1.0"),
                ("ce_id", str(ids.new_uuid()).encode()),
                ("ce_type", event.TYPE.encode()),
                ("ce_source", f"/regulars/{source}".encode()),
                ("ce_time", datetime.now(UTC).isoformat().encode()),
                ("content-type", b"application/json"),
                ("store_id", event.store_id.encode()),
            ]
            acks.append(await producer.send(event.TOPIC.name, event.body(), key=event.key.encode(), headers=headers))
            if len(acks) >= _AT_ONCE:
                await asyncio.gather(*acks)
                acks.clear()
        await asyncio.gather(*acks)


async def ends(bootstrap: str, topic: Topic) -> Offsets:
    """Where a topic ends now."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(places(topic))  # else it learns of the topic a second later
        found: Offsets = await consumer.end_offsets(places(topic))
        return found
    finally:
        await consumer.stop()


async def skip(bootstrap: str, group: str, topic: Topic) -> None:
    """Have a group that nobody is in go on from where a topic ends now."""
    end = await ends(bootstrap, topic)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(list(end))
        await consumer.commit(dict(end))
    finally:
        await consumer.stop()


async def rate(bootstrap: str, group: str, begin: Offsets, end: Offsets) -> float:
    """Events a second that a consumer group commits on the way from ``begin`` to ``end``, its first tenth left out.

    Raises:
        Trouble: it does not come to the end in time.
    """
    async with _admin(bootstrap) as admin:

        async def done() -> int:
            offsets = await admin.list_consumer_group_offsets(group)
            return sum(max(0, offsets[place].offset - begin[place]) for place in begin if place in offsets)

        return await _rate(done, sum(end.values()) - sum(begin.values()), f"{group} handled")


async def growth(bootstrap: str, topic: Topic, begin: Offsets, total: int) -> float:
    """Events a second that come onto a topic until it has so many more than at ``begin``, the first tenth left out.

    Raises:
        Trouble: they do not come in time.
    """
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False) as consumer:

        async def done() -> int:
            now: Offsets = await consumer.end_offsets(places(topic))
            return sum(now.values()) - sum(begin.values())

        return await _rate(done, total, f"the topic {topic.name} got")


async def _rate(done: Callable[[], Awaitable[int]], total: int, who: str) -> float:
    seen: list[tuple[float, int]] = []
    deadline = time.monotonic() + _PATIENCE
    while not seen or seen[-1][1] < total:
        if time.monotonic() > deadline:
            raise Trouble(f"{who} {seen[-1][1]} of {total} events within {_PATIENCE:.0f} s.")
        now = await done()
        if not seen or now > seen[-1][1]:
            seen.append((time.perf_counter(), now))
        await asyncio.sleep(_LOOK)
    first = next(look for look in seen if look[1] >= total * _COUNTS_FROM)
    (began, before), (ended, after) = first if first is not seen[-1] else seen[0], seen[-1]
    return (after - before) / (ended - began)


@contextlib.asynccontextmanager
async def _admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()
