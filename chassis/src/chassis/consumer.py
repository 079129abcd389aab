"""The two consumers of a service's process: facts, and requests with their answers.

FastStream polls, and commits what ``Inbox.process`` has done; all verdicts are the inbox'. Before they start, a
database with a new epoch reads ``stores`` and ``customers`` from their beginning. A group that does not get on though
it has work and a broker is left and joined again.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from itertools import chain
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import KafkaAckableMessage
from faststream.kafka.subscriber.usecase import BatchSubscriber

from chassis import rewind
from chassis.db import Database
from chassis.handlers import Group, Router
from chassis.inbox import Inbox
from chassis.progress import Progress, Waiting, position, waiting
from chassis.verdicts import is_transient, place_of

log = structlog.get_logger()

BATCH = 500

_WAIT = 200  # milliseconds of one poll, ended by the first record
_GATHER = 0.03  # seconds
_BULK = 16  # records of others' conversations, which are then taken in fewer polls
_PING = 3.0  # seconds; a question to the broker queues behind the poll on its connection
_SMALL = 50  # records of facts while conversations go on
_TALK = 0.5  # seconds that a conversation counts as going on
_LONGEST_PAUSE = 0.1
_JOIN = 60.0  # seconds to join both groups
_GRACE = 15.0  # seconds that a running batch gets at the end
_LOOK = 5.0  # seconds between two looks at how the groups get on


class Consumer:
    """Consumes for one process of a service, ``run`` for ever; ``stop`` finishes the batches at hand."""

    def __init__(self, service: str, router: Router, database: Database, bootstrap: str) -> None:
        self._service = service
        self._router = router
        self._database = database
        self._bootstrap = bootstrap
        self._inbox = Inbox(service, router, database)
        self._groups = [group for group in Group if router.topics(group)]
        self._joined: set[Group] = set()
        self._rebalancing: set[Group] = set()
        self._progress: dict[Group, Progress] = {}
        self._talked_at = -_TALK
        self._broker: KafkaBroker | None = None
        self._subscribers: dict[Group, Any] = {}

    async def run(self) -> None:
        """Consume for ever; leave and join again when a group has work and a broker, and does not get on."""
        while True:
            try:
                await self.start()
                while not (stuck := [group for group, progress in self._progress.items() if progress.stuck]):
                    await asyncio.sleep(_LOOK)
                    await self._look()
                log.error("consumer_stuck", groups=[group.of(self._service) for group in stuck])
                await self._drop()
            except Exception as error:  # noqa: BLE001  (an ill client may raise anything, and must not end the watch)
                log.error("consumer_begins_anew", error=type(error).__name__, place=place_of(error))  # noqa: TRY400
                await self._drop()
                await asyncio.sleep(1)

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
                for consumer in self._consumers().values():
                    await consumer.end_offsets(consumer.assignment())
        except Exception:  # noqa: BLE001  (an ill client may raise anything)
            return ["Kafka does not answer"]
        return []

    async def waiting(self) -> Waiting:
        """What of our partitions is not handled yet. Raises when the broker does not answer in time."""
        async with asyncio.timeout(2 * _PING):
            positions = [await position(consumer) for consumer in self._consumers().values()]
            return await waiting(self._bootstrap, positions)

    async def _look(self) -> None:
        """See how far each group is, and, where its client says nothing, whether the broker is to blame."""
        silent = []
        for group, consumer in self._consumers().items():
            try:
                async with asyncio.timeout(_PING):
                    seen = await position(consumer)
            except Exception:  # noqa: BLE001  (an ill client may raise anything)
                silent.append(group)
            else:
                self._progress[group].saw(None if group in self._rebalancing else seen)
        if silent:
            answers = await _answers(self._bootstrap)
            for group in silent:
                self._progress[group].saw(None)
                if not answers:
                    self._progress[group].fine()

    def _consumers(self) -> dict[Group, AIOKafkaConsumer]:
        return {group: one.consumer for group, one in self._subscribers.items() if one.consumer is not None}

    async def _start(self) -> None:
        broker = self._broker = KafkaBroker(
            self._bootstrap,
            client_id=self._service,
            graceful_timeout=_GRACE,
            consumer_only=True,
            logger=None,  # it would log exceptions with the values in them
        )
        self._progress = {group: Progress() for group in self._groups}
        self._subscribers = {
            group: broker.subscriber(
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
                decoder=lambda message: message.raw_message,
                listener=_Membership(group, self._joined, self._rebalancing),
            )
            for group in self._groups
        }
        for group, subscriber in self._subscribers.items():
            subscriber.__class__ = _Gathering if group is Group.FACTS else _Prompt
            subscriber(self._handler(group, self._progress[group]), parser=subscriber.carry)
        async with asyncio.timeout(_JOIN):
            await broker.start()
        for progress in self._progress.values():
            progress.fine()

    def _handler(self, group: Group, progress: Progress) -> Callable[[Any], Awaitable[None]]:
        async def on_batch(records: Any) -> None:
            began = time.monotonic()
            try:
                with progress.handling():
                    ours = await self._inbox.process(group, records)
                await self._give_way(group, len(records), ours, time.monotonic() - began)
            except Exception as error:
                log.error("batch_handed_back", error=type(error).__name__, place=place_of(error))  # noqa: TRY400
                await asyncio.sleep(0.5)  # FastStream hands it out again at once
                raise

        return on_batch

    async def _give_way(self, group: Group, records: int, ours: int, took: float) -> None:
        """Facts share the processor with conversations: while these go on, small batches, and a pause after each."""
        now = time.monotonic()
        if group is Group.ASK and ours:
            self._talked_at = now
        elif group is Group.ASK:
            await asyncio.sleep(_GATHER if records >= _BULK else 0)
        elif group in self._subscribers:
            talking = now - self._talked_at < _TALK
            self._subscribers[group].max_records = _SMALL if talking else BATCH
            if talking:
                await asyncio.sleep(min(took, _LONGEST_PAUSE))

    async def _drop(self) -> None:
        broker, self._broker = self._broker, None
        consumers = self._consumers()
        self._joined.clear()
        self._rebalancing.clear()
        self._subscribers = {}
        if broker is None:
            return
        stopping = asyncio.ensure_future(broker.stop())
        at_hand = any(progress.at_hand for progress in self._progress.values())
        await asyncio.wait({stopping}, timeout=_PING + (_GRACE if at_hand else 0))
        if not stopping.done() or stopping.exception() is not None:  # what stops badly has not closed its client
            log.error("consumer_leaves_by_force")
            ends = [asyncio.wait_for(_end(consumer), _PING) for consumer in consumers.values()]
            await asyncio.gather(*ends, return_exceptions=True)
            await asyncio.wait({stopping}, timeout=_PING)
        if stopping.done() and not stopping.cancelled() and (error := stopping.exception()) is not None:
            log.warning("consumer_left_badly", error=type(error).__name__, place=place_of(error))


class _Prompt(BatchSubscriber):
    """Polls again at once. FastStream's own sleeps as long as it polled after each empty poll, and records wait."""

    __slots__ = ()

    async def get_msg(self, consumer: AIOKafkaConsumer) -> tuple[ConsumerRecord[Any, Any], ...]:
        """The next records, none when the wait is over."""
        batches = await consumer.getmany(timeout_ms=self.batch_timeout_ms, max_records=self.max_records)
        return tuple(chain.from_iterable(batches.values()))

    async def carry(self, records: tuple[ConsumerRecord[Any, Any], ...]) -> KafkaAckableMessage:
        """The records as they are. FastStream would read every header, and lose the poll over one that is no text."""
        return KafkaAckableMessage(records, b"", consumer=self.consumer)


class _Gathering(_Prompt):
    """Lets company come before it takes facts: nobody waits for these, and a batch costs one commit at any size."""

    __slots__ = ()

    async def get_msg(self, consumer: AIOKafkaConsumer) -> tuple[ConsumerRecord[Any, Any], ...]:
        """What comes within a moment of the first record, as far as it fits."""
        first = await super().get_msg(consumer)
        most = self.max_records or BATCH
        if not first or len(first) >= most:
            return first
        await asyncio.sleep(_GATHER)
        try:
            batches = await consumer.getmany(timeout_ms=0, max_records=most - len(first))
        except KafkaError:  # what we have is past the consumer's position: it would be lost with the error
            return first
        return (*first, *chain.from_iterable(batches.values()))


class _Membership(ConsumerRebalanceListener):  # type: ignore[misc]
    """Notes when a group has been joined, with partitions or without, and when they are being given out anew."""

    def __init__(self, group: Group, joined: set[Group], rebalancing: set[Group]) -> None:
        self._group = group
        self._joined = joined
        self._rebalancing = rebalancing

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:  # noqa: ARG002
        """A rebalance is short, and the inbox knows what two consumers both get."""
        self._rebalancing.add(self._group)

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:  # noqa: ARG002
        """We are a member now."""
        self._rebalancing.discard(self._group)
        self._joined.add(self._group)


async def _answers(bootstrap: str) -> bool:
    """Whether the broker answers a client that has just come."""
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        async with asyncio.timeout(_PING):
            await client.start()
            await client.list_topics()
    except Exception:  # noqa: BLE001  (whatever it is, it is no answer)
        return False
    finally:
        with contextlib.suppress(Exception):
            await client.close()
    return True


async def _end(consumer: AIOKafkaConsumer) -> None:
    """End a client that cannot even leave its group: as a member that says nothing it is out of it in 6 s."""
    coordinator = consumer._coordinator  # noqa: SLF001
    for task in (coordinator._coordination_task, coordinator._heartbeat_task):  # noqa: SLF001
        if task is not None:
            task.cancel()
    await consumer._fetcher.close()  # noqa: SLF001
    await consumer._client.close()  # noqa: SLF001
