"""A small service of the tests' own, on the real broker and in a database of its own: topics and tables per test."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from patience import until

from chassis import db, ids, inbox, outbox, repair
from chassis.consumer import Consumer
from chassis.inbox import NotYet, Router
from chassis.parked import Parked
from chassis.relay import Relay
from chassis.set_aside import ANY, Choice
from contracts.event import Event
from contracts.ids import STORE, CustomerId
from contracts.topics import Topic

TABLES = (
    "CREATE TABLE done (store_id text NOT NULL, subject text NOT NULL, number int NOT NULL, PRIMARY KEY (store_id, subject, number))",
    "CREATE TABLE seen (seq bigint GENERATED ALWAYS AS IDENTITY, store_id text, subject text, number int, customer_id text)",
    "CREATE TABLE tally (store_id text PRIMARY KEY, times int NOT NULL)",
    "CREATE TABLE thing (store_id text, subject text, present boolean NOT NULL, PRIMARY KEY (store_id, subject))",
)
EMPTIED = "done, seen, tally, thing, outbox, outbox_unsendable, inbox, parked, dead_letter, rewound, answer, known_customer, store"
numbers = itertools.count(1)


@dataclass(frozen=True)
class Contract:
    """Two events of one topic."""

    topic: Topic
    added: type[Event]
    removed: type[Event]


@dataclass
class World:
    """What a test of messaging has at hand. ``service`` names consumer groups; the database is a clone of the wallet's."""

    url: str
    api: db.Database
    admin: asyncpg.Connection
    database: db.Database
    bootstrap: str
    producer: AIOKafkaProducer
    service: str
    store_id: str = field(default_factory=lambda: ids.new(STORE))

    async def contract(self, *, kept=None, partitions: int = 1, config: dict[str, str] | None = None) -> Contract:
        """A new topic with two events keyed by ``subject``."""
        topic = Topic(f"{self.service}-{next(numbers)}", kept=kept, partitions=partitions)
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(topic.name, partitions, 1, topic_configs=config or {})])
        finally:
            await admin.close()

        class Added(Event, type="thing.added", topic=topic, key="subject"):
            subject: str
            number: int = 0
            customer_id: CustomerId | None = None
            filler: str = ""

        class Removed(Event, type="thing.removed", topic=topic, key="subject"):
            subject: str
            number: int = 0

        return Contract(topic, Added, Removed)

    async def send(self, *events: Event, event_ids: Iterable[UUID] | None = None, traceparent: str = "") -> list[UUID]:
        """Put events on the wire as the relay does."""
        sent = list(event_ids) if event_ids is not None else [ids.new_uuid() for _ in events]
        for event, event_id in zip(events, sent, strict=True):
            headers = {"ce_id": str(event_id), "ce_type": event.TYPE, "store_id": event.store_id}
            if traceparent:
                headers["traceparent"] = traceparent
            await self.raw(event.TOPIC.name, event.key, event.body(), headers)
        await self.producer.flush()
        return sent

    async def raw(self, topic: str, key: str, body: bytes, headers: dict[str, str]) -> None:
        """Put any record on the wire."""
        await self.producer.send(topic, body, key=key.encode(), headers=[(k, v.encode()) for k, v in headers.items()])

    async def announce(self, *events: Event) -> None:
        """Announce events in one transaction."""
        async with self.database.transaction() as conn:
            for event in events:
                outbox.add(conn, event)

    @contextlib.asynccontextmanager
    async def consuming(self, router: Router, *, retrying: bool = True) -> AsyncIterator[Consumer]:
        """Consume, and retry what is parked."""
        consumer = Consumer(self.service, router, self.database, self.bootstrap)
        await consumer.start()
        retry = [Parked(self.service, router, self.database).run()] if retrying else []
        async with in_background(*retry):
            try:
                yield consumer
            finally:
                await consumer.stop()

    @contextlib.asynccontextmanager
    async def relaying(self, *relays: Relay) -> AsyncIterator[None]:
        """Publish, with the relay of the chassis unless told otherwise."""
        chosen = relays or (Relay(self.url, self.bootstrap, self.service),)
        async with in_background(*(relay.run() for relay in chosen)):
            yield

    async def until(self, sql: str, *args: object, equals: object = True, seconds: float = 60) -> None:
        """Wait until a query says so; fail with what it said last."""
        await until(lambda: self.admin.fetchval(sql, *args), lambda said: said == equals, seconds)

    async def joined(self, consumer: Consumer, seconds: float = 60) -> None:
        """Wait until the broker counts us in; a member that was killed stays in the group for 6 s."""
        await until(consumer.reasons, lambda reasons: not reasons, seconds)

    async def caught_up(self, consumer: Consumer, seconds: float = 60) -> None:
        """Wait until the broker has nothing more for us."""
        await until(consumer.waiting, lambda waiting: not waiting.records, seconds)

    async def count(self, table: str) -> int:
        return await self.admin.fetchval(f"SELECT count(*) FROM {table}")

    async def seen(self, subject: str) -> list[int]:
        """The numbers in table `seen`, in their order."""
        rows = await self.admin.fetch("SELECT number FROM seen WHERE subject = $1 ORDER BY seq", subject)
        return [row["number"] for row in rows]

    def things(self, contract: Contract, *numbers: int, subject: str = "a") -> list[Event]:
        return [contract.added(store_id=self.store_id, subject=subject, number=number) for number in numbers]

    async def hand_back(self, router: Router, choice: Choice = ANY) -> repair.Outcome:
        """What an operator does."""
        async with self.database.transaction() as conn:
            numbers = await repair.chosen(conn, choice)
        return await repair.hand_back(self.database, self.service, router, numbers)

    async def published(self, topic: Topic) -> list[Any]:
        """Every record of a topic, in the order of each partition."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, enable_auto_commit=False)
        await consumer.start()
        try:
            partitions = [TopicPartition(topic.name, number) for number in range(topic.partitions)]
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            ends = await consumer.end_offsets(partitions)
            found: list[Any] = []
            while any([await consumer.position(partition) < end for partition, end in ends.items()]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += records
            return found
        finally:
            await consumer.stop()


@contextlib.asynccontextmanager
async def in_background(*work) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(coroutine) for coroutine in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture(scope="module")
async def producer(kafka_bootstrap) -> AsyncIterator[AIOKafkaProducer]:
    async with AIOKafkaProducer(bootstrap_servers=kafka_bootstrap, linger_ms=2) as producer:
        yield producer


@pytest.fixture(scope="module")
def idle() -> list[Any]:
    """Databases that a test of this module has left: emptying one is faster than dropping it and cloning another."""
    return []


@pytest.fixture
async def new_world(clone, idle, kafka_bootstrap, producer) -> AsyncIterator[Callable[..., Awaitable[World]]]:
    """`await new_world()`: an empty database; with `service=` that of an earlier world, whose groups go on."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(service: str | None = None) -> World:
            made = idle.pop() if idle else await with_tables(await clone("wallet"))
            admin = await asyncpg.connect(made.admin_url)
            stack.push_async_callback(admin.close)
            stack.callback(idle.append, made)
            await admin.execute(f"TRUNCATE {EMPTIED} RESTART IDENTITY")
            await admin.execute("UPDATE epoch SET id = uuidv7()")
            database = await db.Database.open(made.worker_url, size=4, name="test")
            stack.push_async_callback(database.close)
            api = await db.Database.open(made.api_url, size=4, name="test")
            stack.push_async_callback(api.close)
            name = service or f"messaging-{next(numbers)}"
            return World(made.worker_url, api, admin, database, kafka_bootstrap, producer, name)

        yield make


async def with_tables(made):
    """The tables of the tests' service, in a database that has none."""
    admin = await asyncpg.connect(made.admin_url)
    await admin.execute("SET chassis.service = 'wallet'")
    for statement in TABLES:
        await admin.execute(statement)
        await admin.execute("SELECT tenant_table($1::text::regclass)", statement.split()[2])
    await admin.execute("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO wallet_worker")
    await admin.close()
    return made


@pytest.fixture
async def world(new_world) -> World:
    return await new_world()


@pytest.fixture
def router_of():
    """`router_of(contract)`: handlers that note what they see in table `done`, where a repeat fails loudly."""

    def make(contract: Contract) -> Router:
        router = Router()

        @router.on(contract.added)
        async def on_added(event, conn) -> None:
            await conn.execute(
                "INSERT INTO done (store_id, subject, number) VALUES ($1, $2, $3)",
                event.store_id,
                event.subject,
                event.number,
            )
            await conn.execute(
                "INSERT INTO seen (store_id, subject, number, customer_id) VALUES ($1, $2, $3, $4)",
                event.store_id,
                event.subject,
                event.number,
                event.customer_id,
            )

        return router

    return make


@pytest.fixture
def tallying():
    """Handlers whose effect is a sum, so that only the machinery keeps a repeat out; some numbers fail, some wait."""

    def make(event_class: type[Event], failing: set[int] = frozenset(), waiting: set[int] = frozenset()) -> Router:
        router = Router()

        @router.on(event_class)
        async def on_added(event, conn) -> None:
            if event.number in waiting:
                raise NotYet("gate")
            await conn.execute(
                "INSERT INTO tally VALUES ($1, 1) ON CONFLICT (store_id) DO UPDATE SET times = tally.times + 1",
                event.store_id,
            )
            await conn.execute("INSERT INTO seen (subject, number) VALUES ($1, $2)", event.subject, event.number)
            if event.number in failing:
                await conn.execute("SELECT 1 / 0")

        return router

    return make


@pytest.fixture
def at_once(monkeypatch):
    """What fails is given up without the pauses between its attempts."""
    monkeypatch.setattr(inbox, "_AGAIN", ())


@pytest.fixture
def at_another_time():
    """`at_another_time(id, seconds)`: the same kind of id, minted that long ago."""

    def mint(prefix: str, seconds_ago: float) -> str:
        from typeid import TypeID  # noqa: PLC0415

        fresh = TypeID(prefix=prefix)
        minted_ms = int((time.time() - seconds_ago) * 1000)
        suffix = TypeID.from_uuid(UUID(bytes=minted_ms.to_bytes(6) + fresh.uuid.bytes[6:]), prefix=prefix)
        return str(suffix)

    return mint


@pytest.fixture
def planted():
    """`with planted(fault):` what a check does under a fault (a function of a MonkeyPatch): it must then fail.

    A check that cannot fail is a defect, so each is run without a fault and with it.
    """

    @contextlib.contextmanager
    def plant(fault):
        if fault is None:
            yield
            return
        with pytest.MonkeyPatch.context() as patch:
            fault(patch)
            with pytest.raises((AssertionError, TimeoutError)):
                yield

    return plant
