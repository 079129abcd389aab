"""A consumer whose client has fallen ill leaves the group and joins again; one that is merely busy, or without a broker, stays."""

import asyncio
import contextlib

import pytest
from aiokafka.errors import KafkaError, UnknownError
from patience import until

from chassis import consumer as consuming
from chassis import progress
from chassis.consumer import Consumer
from chassis.handlers import Group
from chassis.inbox import Router
from chassis.progress import Position, Progress


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(progress, "PATIENCE", 1.0)
    monkeypatch.setattr(consuming, "_LOOK", 0.2)


def nobody_looks(patch) -> None:
    patch.setattr(Progress, "stuck", property(lambda _: False))


def batches_are_not_counted(patch) -> None:
    patch.setattr(Progress, "handling", lambda _: contextlib.nullcontext())


def the_broker_is_never_to_blame(patch) -> None:
    async def answers(_bootstrap) -> bool:
        return True

    patch.setattr(consuming, "_answers", answers)


def fetching_ends(client) -> None:
    client._fetcher._fetch_task.cancel()


def heartbeats_meet_an_unknown_answer(client) -> None:
    """The task ends with the error, and every poll from then on is told of it."""

    async def unknown() -> None:
        raise UnknownError

    client._coordinator._do_heartbeat = unknown


def a_rebalance_never_ends(client) -> None:
    async def never(*_) -> None:
        await asyncio.Event().wait()

    close = client._client.close

    async def raising() -> None:
        await close()
        raise RuntimeError("the handler is closed")

    client._client.close = raising  # seen with uvloop: what ends such a client fails, too
    client._coordinator.ensure_active_group = never
    client._coordinator.request_rejoin()
    client._subscription.begin_reassignment()


@contextlib.asynccontextmanager
async def running(consumer: Consumer):
    task = asyncio.create_task(consumer.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await consumer.stop()


def client_of(consumer: Consumer):
    subscriber = consumer._subscribers.get(Group.FACTS)
    return subscriber and subscriber.consumer


async def stays(consumer: Consumer, client, seconds: float) -> bool:
    """Whether a consumer keeps its client for so long."""
    with contextlib.suppress(AssertionError):
        await until(lambda: client_of(consumer) is not client, seconds=seconds)
    return client_of(consumer) is client


@pytest.mark.parametrize("fault", [None, nobody_looks])
@pytest.mark.parametrize("illness", [fetching_ends, heartbeats_meet_an_unknown_answer, a_rebalance_never_ends])
async def test_an_ill_client_is_replaced_and_what_came_meanwhile_is_done(world, router_of, planted, illness, fault):
    contract = await world.contract()
    consumer = Consumer(world.service, router_of(contract), world.database, world.bootstrap)
    with planted(fault):
        async with running(consumer):
            await world.joined(consumer)
            await world.send(contract.added(store_id=world.store_id, subject="before"))
            await world.until("SELECT count(*) FROM done", equals=1)
            client = client_of(consumer)
            illness(client)
            await asyncio.sleep(2.5)  # a heartbeat
            await world.send(contract.added(store_id=world.store_id, subject="after"))
            await world.until("SELECT count(*) FROM done", equals=2, seconds=3 if fault else 90)
            assert not await stays(consumer, client, 1 if fault else 60)


@pytest.mark.parametrize("fault", [None, batches_are_not_counted])
async def test_a_batch_that_takes_long_is_left_alone(world, planted, fault):
    contract = await world.contract()
    router, runs, over = Router(), [], asyncio.Event()

    @router.on(contract.added)
    async def on_added(event, conn) -> None:
        runs.append(event.subject)
        await over.wait()

    consumer = Consumer(world.service, router, world.database, world.bootstrap)
    try:
        with planted(fault):
            async with running(consumer):
                await world.joined(consumer)
                await world.send(contract.added(store_id=world.store_id, subject="slow"))
                await until(lambda: runs, seconds=60)
                client = client_of(consumer)
                assert await stays(consumer, client, 30 if fault else 3)
                assert runs == ["slow"]
                over.set()
                await world.caught_up(consumer)
    finally:
        over.set()


@pytest.mark.parametrize("fault", [None, the_broker_is_never_to_blame])
async def test_without_a_broker_nobody_is_ill(world, router_of, planted, fault, monkeypatch):
    contract = await world.contract()
    consumer = Consumer(world.service, router_of(contract), world.database, world.bootstrap)

    async def away(_consumer) -> Position:
        raise KafkaError

    async with running(consumer):
        await world.joined(consumer)
        client = client_of(consumer)
        with planted(fault):
            monkeypatch.setattr(consuming, "position", away)
            consumer._bootstrap = "127.0.0.1:1"
            assert await stays(consumer, client, 30 if fault else 2)
        monkeypatch.undo()
        consumer._bootstrap = world.bootstrap
