"""Completed orders straight onto their topic, as the relay of carts would send them, and how far a service is with them."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from chassis import ids
from contracts.carts import OrderCompleted, OrderLine, OrderStatus
from contracts.ids import ORDER, PRODUCT
from contracts.topics import ORDERS
from regulars.trouble import Trouble

Offsets = dict[TopicPartition, int]

PLACES = [TopicPartition(ORDERS.name, number) for number in range(ORDERS.partitions)]

_LOOK = 0.05
_PATIENCE = 240.0
_AT_ONCE = 1_000
_COUNTS_FROM = 0.1  # of the way: by then the process has started and joined its group


@dataclass(frozen=True)
class Orders:
    """Whose orders they are and by whose codes: each in turn."""

    store_id: str
    customers: Sequence[str]
    codes: Sequence[str]

    def made(self, count: int) -> Iterator[OrderCompleted]:
        """So many orders of 10.00, each completed a moment ago."""
        now, product = datetime.now(UTC), ids.new(PRODUCT)
        customers, codes = itertools.cycle(self.customers), itertools.cycle(self.codes)
        for number in range(count):
            customer_id = next(customers)
            yield OrderCompleted(
                store_id=self.store_id,
                order_id=ids.new(ORDER),
                number=f"B{number}",
                version=2,
                customer_id=customer_id,
                current_customer_id=customer_id,
                status=OrderStatus.COMPLETED,
                currency="EUR",
                gross_minor=1_000,
                commission_base_minor=1_000,
                base_remaining_minor=1_000,
                placed_at=now,
                first_completed_at=now,
                lines=(OrderLine(product_id=product, sku="bench", quantity=1, amount_minor=1_000),),
                gateway="sandbox",
                affiliate_code=next(codes),
            )

    async def send(self, bootstrap: str, count: int) -> None:
        """Put so many on the topic, key by key, with the headers of the relay."""
        async with AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=5, max_batch_size=131_072) as producer:
            acks = []
            for event in self.made(count):
                headers = [
                    ("ce_specversion", b"1.0"),
                    ("ce_id", str(ids.new_uuid()).encode()),
                    ("ce_type", event.TYPE.encode()),
                    ("ce_source", b"/regulars/carts"),
                    ("ce_time", event.placed_at.isoformat().encode()),
                    ("content-type", b"application/json"),
                    ("store_id", event.store_id.encode()),
                ]
                acks.append(await producer.send(ORDERS.name, event.body(), key=event.key.encode(), headers=headers))
                if len(acks) >= _AT_ONCE:
                    await asyncio.gather(*acks)
                    acks.clear()
            await asyncio.gather(*acks)


async def ends(bootstrap: str) -> Offsets:
    """Where the topic ends now."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        found: Offsets = await consumer.end_offsets(PLACES)
        return found
    finally:
        await consumer.stop()


async def rate(bootstrap: str, group: str, begin: Offsets, end: Offsets) -> float:
    """Events a second that a consumer group commits on the way from ``begin`` to ``end``, its first tenth left out.

    Raises:
        Trouble: it does not come to the end in time.
    """
    total = sum(end.values()) - sum(begin.values())
    seen: list[tuple[float, int]] = []
    deadline = time.monotonic() + _PATIENCE
    async with _admin(bootstrap) as admin:
        while not seen or seen[-1][1] < total:
            if time.monotonic() > deadline:
                raise Trouble(f"{group} handled {seen[-1][1]} of {total} orders within {_PATIENCE:.0f} s.")
            offsets = await admin.list_consumer_group_offsets(group)
            done = sum(max(0, offsets[place].offset - begin[place]) for place in PLACES if place in offsets)
            if not seen or done > seen[-1][1]:
                seen.append((time.perf_counter(), done))
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
