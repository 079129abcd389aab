"""The consumers of a process: killed, stopped, started before the broker, and on a database that has lost its memory."""

import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from patience import until

from chassis import consumer as consuming
from chassis import ids, inbox, known_customers, rewind, stores
from chassis.consumer import Consumer
from chassis.db import Conn
from chassis.handlers import Group
from chassis.inbox import Inbox, Router
from contracts.customers import CustomerCreated, CustomerUpdated
from contracts.ids import CUSTOMER
from contracts.stores import StoreCreated
from contracts.topics import CUSTOMERS, STORES


def the_inbox_forgets(patch) -> None:
    async def all_of_them(_conn, items):
        return list(items)

    patch.setattr(inbox, "_first_seen", all_of_them)


def no_rewind(patch) -> None:
    async def nothing(*_) -> None:
        pass

    patch.setattr(rewind, "to_beginning", nothing)


def the_last_word_wins(patch) -> None:
    execute = Conn.execute

    async def without_versions(self, sql, *args):
        return await execute(self, sql.replace("WHERE known.version < excluded.version", ""), *args)

    patch.setattr(Conn, "execute", without_versions)


@pytest.fixture
def projections() -> Router:
    router = Router()
    router.include(known_customers.router)
    router.include(stores.router)
    return router


def created(store_id: str, customer_id: str, version: int = 1) -> CustomerCreated:
    return CustomerCreated(
        store_id=store_id, customer_id=customer_id, version=version, state="active", created_at=datetime.now(UTC)
    )


def updated(store_id: str, customer_id: str, version: int, state: str = "active") -> CustomerUpdated:
    return CustomerUpdated(store_id=store_id, customer_id=customer_id, version=version, state=state)


async def test_a_consumer_killed_between_database_and_broker_has_done_its_batch_once(new_world, planted):
    faults = {None: await new_world(), the_inbox_forgets: await new_world()}
    contracts = await asyncio.gather(*(kill_a_consumer(world) for world in faults.values()))
    for (fault, world), contract in zip(faults.items(), contracts, strict=True):
        router = Router()

        @router.on(contract.added)
        async def on_added(event, conn) -> None:
            await conn.execute("UPDATE tally SET times = times + 1 WHERE store_id = $1", event.store_id)

        with planted(fault):
            async with world.consuming(router) as consumer:
                await world.joined(consumer)
                await world.caught_up(consumer)
                await world.until("SELECT times >= 100 FROM tally")
            assert await world.admin.fetchval("SELECT times FROM tally") == 100


async def kill_a_consumer(world):
    """Have a process do some events, and kill it before it tells the broker."""
    contract = await world.contract()
    await world.send(*(contract.added(store_id=world.store_id, subject="a", number=n) for n in range(100)))
    arguments = [world.url, world.bootstrap, world.service, contract.topic.name]
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__).with_name("dying_consumer.py")), *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert await asyncio.wait_for(process.stdout.readline(), 100) == b"committed\n"
    process.kill()
    await process.wait()
    assert await world.admin.fetchval("SELECT times FROM tally") > 0
    return contract


@pytest.mark.parametrize("fault", [None, no_rewind])
async def test_a_database_with_a_new_epoch_knows_its_stores_and_customers_again(new_world, projections, planted, fault):
    world = await new_world()
    customers = [ids.new(CUSTOMER) for _ in range(20)]
    await world.send(
        StoreCreated(store_id=world.store_id, slug="s", currency="EUR", locale="de", url="https://s.example"),
        *(created(world.store_id, customer) for customer in customers),
    )
    known = "SELECT count(*) FROM known_customer WHERE store_id = $1"
    async with world.consuming(projections) as consumer:
        await world.until(known, world.store_id, equals=20)
        await world.caught_up(consumer)
    again = await new_world(service=world.service)
    with planted(fault):
        async with again.consuming(projections):
            await again.until(known, world.store_id, equals=20, seconds=2 if fault else 60)
            assert await again.admin.fetchval("SELECT currency FROM store WHERE store_id = $1", world.store_id) == "EUR"
            assert await again.count("rewound") == STORES.partitions + CUSTOMERS.partitions
            await again.send(created(world.store_id, ids.new(CUSTOMER)))
            await again.until(known, world.store_id, equals=21)
            assert await again.count("dead_letter") == 0


@pytest.mark.parametrize("fault", [None, the_last_word_wins])
async def test_a_topic_replayed_from_its_beginning_with_an_empty_inbox_changes_nothing(
    world, projections, planted, fault
):
    customers = [ids.new(CUSTOMER) for _ in range(30)]
    await world.send(
        *(updated(world.store_id, customer, 3, "inactive") for customer in customers[::2]),
        *(created(world.store_id, customer) for customer in customers),
        *(updated(world.store_id, customer, 2) for customer in customers),
        StoreCreated(store_id=world.store_id, slug="s", currency="EUR", locale="de", url="https://s.example"),
    )
    records = [*await world.published(CUSTOMERS), *await world.published(STORES)]
    replay = Inbox(world.service, projections, world.database)

    async def state() -> tuple:
        found = await world.admin.fetch(
            "SELECT id, version, state FROM known_customer WHERE store_id = $1 ORDER BY id", world.store_id
        )
        return found, await world.admin.fetch("SELECT * FROM store ORDER BY store_id")

    with planted(fault):
        await replay.process(Group.FACTS, records)
        first = await state()
        assert [row["version"] for row in first[0]].count(3) == 15
        for step in range(1, len(records), 7):  # every state on the way, too, is one that was there at the end
            await world.admin.execute("TRUNCATE inbox")
            await replay.process(Group.FACTS, records[:step])
            assert await state() == first


async def test_a_batch_that_runs_is_finished_and_told_to_the_broker_before_the_end(world):
    contract = await world.contract()
    running, router = asyncio.Event(), Router()

    @router.on(contract.added)
    async def on_added(event, conn) -> None:
        running.set()
        await asyncio.sleep(0.4)
        await conn.execute("INSERT INTO tally VALUES ($1, 1)", event.store_id)

    await world.send(contract.added(store_id=world.store_id, subject="a"))
    async with world.consuming(router):
        await asyncio.wait_for(running.wait(), 60)
    assert await world.admin.fetchval("SELECT times FROM tally") == 1
    admin = AIOKafkaAdminClient(bootstrap_servers=world.bootstrap)
    await admin.start()
    try:
        offsets = await admin.list_consumer_group_offsets(world.service)
    finally:
        await admin.close()
    assert offsets[TopicPartition(contract.topic.name, 0)].offset == 1


async def test_a_process_started_before_its_broker_says_so_and_waits(world, router_of):
    contract = await world.contract()
    consumer = Consumer(world.service, router_of(contract), world.database, "127.0.0.1:1")
    starting = asyncio.create_task(consumer.start())
    await asyncio.sleep(0.3)
    assert not starting.done()
    assert await consumer.reasons() == [f"consumer group {world.service} has not been joined"]
    consumer._bootstrap = world.bootstrap
    await asyncio.wait_for(starting, 60)
    await world.joined(consumer)
    await consumer.stop()


async def test_facts_and_conversations_are_two_groups(world):
    facts, asks = await world.contract(), await world.contract()
    router, held = Router(), asyncio.Event()

    @router.on(facts.added)
    async def on_added(event, conn) -> None:
        await held.wait()

    @router.on_ask(asks.added)
    async def on_asked(event, conn) -> None:
        await conn.execute("INSERT INTO tally VALUES ($1, 1)", event.store_id)

    await world.send(facts.added(store_id=world.store_id, subject="a"))
    async with world.consuming(router):
        await world.send(asks.added(store_id=world.store_id, subject="a"))
        await world.until("SELECT times FROM tally", equals=1)
        held.set()


def nobody_gives_way(patch) -> None:
    async def nothing(*_) -> None:
        pass

    patch.setattr(Consumer, "_give_way", nothing)


@pytest.mark.parametrize("fault", [None, nobody_gives_way])
async def test_facts_give_way_while_conversations_go_on(world, monkeypatch, planted, fault):
    """As long as they do; of many facts that wait, the first is at hand meanwhile and its batch says how many are taken next."""
    monkeypatch.setattr(consuming, "_TALK", 1_000.0)
    facts, asks = await world.contract(), await world.contract()
    router, sizes, all_sent = Router(), [], asyncio.Event()

    @router.on(facts.added)
    async def on_added(events: Sequence[Any], conn) -> None:
        sizes.append(len(events))
        await all_sent.wait()

    @router.on_ask(asks.added)
    async def on_asked(event, conn) -> None:
        await conn.execute("INSERT INTO tally VALUES ($1, 1) ON CONFLICT DO NOTHING", event.store_id)

    async def many(consumer) -> None:
        sizes.clear()
        all_sent.clear()
        await world.send(facts.added(store_id=world.store_id, subject="first"))
        await until(lambda: sizes, seconds=60)
        await world.send(*(facts.added(store_id=world.store_id, subject=str(n)) for n in range(299)))
        all_sent.set()
        await world.caught_up(consumer)
        assert sum(sizes) == 300

    with planted(fault):
        async with world.consuming(router) as consumer:
            await world.joined(consumer)
            await world.send(asks.added(store_id=world.store_id, subject="a"))
            await world.until("SELECT times FROM tally", equals=1)
            await world.caught_up(consumer)
            await many(consumer)
            assert max(sizes) <= 50
            monkeypatch.setattr(consuming, "_TALK", 0.0)  # they are over
            await many(consumer)
            assert max(sizes) > 50
