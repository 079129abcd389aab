"""A database with a new epoch hears again who its stores and customers are.

What a group has committed belongs to the database that was there before. So before it consumes, a process reads the
partitions of ``stores`` and ``customers`` that this database has not read yet from their beginning to their present
end, through the same inbox, and only then notes the partition. Dying in between means reading again, which the inbox
knows. A reader of its own, not a seek of the group: a seek inside a rebalance can be undone by a batch that is handed
back at that moment, and whoever starts the group first would park all that waits for a customer.
"""

import contextlib
from collections.abc import AsyncIterator

from aiokafka import AIOKafkaConsumer, TopicPartition

from chassis.db import Database
from chassis.handlers import Router
from chassis.inbox import Inbox
from contracts.topics import CUSTOMERS, STORES

_BATCH = 500


async def to_beginning(bootstrap: str, router: Router, inbox: Inbox, database: Database) -> None:
    """Read what this epoch has not read. Raises when the broker or the database is away: call it again."""
    topics = [topic for topic in (STORES, CUSTOMERS) if router.group_of(topic.name) is not None]
    wanted = {TopicPartition(topic.name, number) for topic in topics for number in range(topic.partitions)}
    async with database.transaction() as conn:
        rows = await conn.rows("SELECT topic, partition FROM rewound")
    wanted -= {TopicPartition(row["topic"], row["partition"]) for row in rows}
    if not wanted:
        return
    async with _reader(bootstrap) as reader:
        reader.assign(wanted)
        ends = await reader.end_offsets(wanted)
        await reader.seek_to_beginning(*wanted)
        while behind := [partition for partition in wanted if await reader.position(partition) < ends[partition]]:
            for partition, records in (await reader.getmany(*behind, timeout_ms=1000, max_records=_BATCH)).items():
                group = router.group_of(partition.topic)
                assert group is not None, "only topics that a group reads are wanted"
                await inbox.process(group, records)
    async with database.transaction() as conn:
        await conn.executemany(
            "INSERT INTO rewound (topic, partition) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            [tuple(partition) for partition in sorted(wanted)],
        )


@contextlib.asynccontextmanager
async def _reader(bootstrap: str) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of no group: it commits nothing."""
    reader = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest")
    try:
        await reader.start()
        yield reader
    finally:
        await reader.stop()
