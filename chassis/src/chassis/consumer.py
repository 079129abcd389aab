"""The two consumers of a service's process: facts, and requests with their answers.

FastStream polls, and commits what ``Inbox.process`` has done; all verdicts are the inbox'. Before they start, a
database with a new epoch reads ``stores`` and ``customers`` from their beginning.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import chain
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.subscriber.usecase import BatchSubscriber

from chassis import rewind
from chassis.db import Database
from chassis.handlers import Group, Router
from chassis.inbox import Inbox
from chassis.verdicts import is_transient, place_of

log = structlog.get_logger()

BATCH = 500

_WAIT = 200  # milliseconds of one poll, ended by the first record
_GATHER = 0.03  # seconds
_PING = 3.0  # seconds; a question to the broker queues behind the poll on its connection
_GRACE = 15.0  # seconds that a running batch gets at the end


class Consumer:
    """Consumes for one process of a service. ``start`` returns when both groups run; ``stop`` finishes their batches."""

    def __init__(self, service: str, router: Router, database: Database, bootstrap: str) -> None:
        self._service = service
        self._router = router
        self._database = database
        self._bootstrap = bootstrap
        self._inbox = Inbox(service, router, database)
        self._groups = [group for group in Group if router.topics(group)]
        self._joined: set[Group] = set()
        self._broker: KafkaBroker | None = None
        self._subscribers: list[Any] = []

    async def start(self) -> None:
        """Start consuming, however long the broker or the database takes to come."""
        pause = 0.1
        while True:
            try:
                await rewind.to_beginning(self._bootstrap, self._router, self._inbox, self._database)
                await self._start()
            except Exception as error:  # noqa: BLE001  (readiness says why it does not start)
                report = log.warning if is_transient(error) else log.error
                report("consumer_waits", error=type(error).__name__, place=place_of(error))
                await self._drop()
                await asyncio.sleep(pause)
                pause = min(pause * 2, 5)
            else:
                return

    async def stop(self) -> None:
        """Take no more, finish the running batches, commit, leave the groups."""
        self._inbox.close()
        await self._drop()

    async def reasons(self) -> list[str]:
        """Why this process does not consume."""
        outside = [
            f"consumer group {group.of(self._service)} has not been joined"
            for group in self._groups
            if group not in self._joined
        ]
        if outside:
            return outside
        try:
            async with asyncio.timeout(_PING):
                await self._ends()
        except (KafkaError, TimeoutError):
            return ["Kafka does not answer"]
        return []

    async def lag(self) -> int:
        """How many records of our partitions are not handled yet. Raises ``KafkaError`` when the broker is away."""
        behind = 0
        for consumer, ends in await self._ends():
            done = await asyncio.gather(*(consumer.committed(partition) for partition in ends))
            starts = await consumer.beginning_offsets(list(ends))
            for (partition, end), at in zip(ends.items(), done, strict=True):
                behind += end - (starts[partition] if at is None else max(at, starts[partition]))
        return behind

    async def _ends(self) -> list[tuple[AIOKafkaConsumer, dict[TopicPartition, int]]]:
        """Where our partitions end."""
        consumers = [subscriber.consumer for subscriber in self._subscribers if subscriber.consumer is not None]
        return [(one, await one.end_offsets(mine)) for one in consumers if (mine := one.assignment())]

    async def _start(self) -> None:
        broker = self._broker = KafkaBroker(
            self._bootstrap,
            client_id=self._service,
            graceful_timeout=_GRACE,
            consumer_only=True,
            logger=None,  # it would log exceptions with the values in them
        )
        self._subscribers = [
            broker.subscriber(
                *self._router.topics(group),
                group_id=group.of(self._service),
                batch=True,
                max_records=BATCH,
                batch_timeout_ms=_WAIT,
                fetch_max_wait_ms=_WAIT,
                session_timeout_ms=6000,  # the broker's least: so long a killed process keeps its partitions
                heartbeat_interval_ms=2000,
                auto_offset_reset="earliest",
                ack_policy=AckPolicy.NACK_ON_ERROR,
                decoder=_raw_records,
                listener=_Joined(partial(self._joined.add, group)),
            )
            for group in self._groups
        ]
        for group, subscriber in zip(self._groups, self._subscribers, strict=True):
            subscriber.__class__ = _Gathering if group is Group.FACTS else _Prompt
            subscriber(self._handler(group))
        await broker.start()

    def _handler(self, group: Group) -> Callable[[Any], Awaitable[None]]:
        async def on_batch(records: Any) -> None:
            try:
                await self._inbox.process(group, records)
            except Exception as error:
                log.error("batch_handed_back", error=type(error).__name__, place=place_of(error))  # noqa: TRY400
                await asyncio.sleep(0.5)  # FastStream hands it out again at once
                raise

        return on_batch

    async def _drop(self) -> None:
        broker, self._broker = self._broker, None
        self._joined.clear()
        if broker is not None:
            await broker.stop()
        self._subscribers = []


class _Prompt(BatchSubscriber):
    """Polls again at once. FastStream's own sleeps as long as it polled after each empty poll, and records wait."""

    __slots__ = ()

    async def get_msg(self, consumer: AIOKafkaConsumer) -> tuple[ConsumerRecord[Any, Any], ...]:
        """The next records, none when the wait is over."""
        batches = await consumer.getmany(timeout_ms=self.batch_timeout_ms, max_records=self.max_records)
        return tuple(chain.from_iterable(batches.values()))


class _Gathering(_Prompt):
    """Lets company come before it takes facts: nobody waits for these, and a batch costs one commit at any size."""

    __slots__ = ()

    async def get_msg(self, consumer: AIOKafkaConsumer) -> tuple[ConsumerRecord[Any, Any], ...]:
        """What comes within a moment of the first record, as far as it fits."""
        first = await super().get_msg(consumer)
        if not first or len(first) >= BATCH:
            return first
        await asyncio.sleep(_GATHER)
        try:
            batches = await consumer.getmany(timeout_ms=0, max_records=BATCH - len(first))
        except KafkaError:  # what we have is past the consumer's position: it would be lost with the error
            return first
        return (*first, *chain.from_iterable(batches.values()))


class _Joined(ConsumerRebalanceListener):  # type: ignore[misc]
    """Says when a group has been joined, with partitions or without."""

    def __init__(self, joined: Callable[[], None]) -> None:
        self._joined = joined

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """A rebalance is short, and the inbox knows what two consumers both get."""

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:  # noqa: ARG002
        """We are a member now."""
        self._joined()


async def _raw_records(message: Any) -> Any:
    """The records as they are: decoding is the inbox', where it cannot stop the partition."""
    return message.raw_message
