"""Parked events: their key waits behind them, everything else goes on, and nothing waits for ever."""

import asyncio
import random

import pytest

from chassis import inbox, parked
from chassis.inbox import NotYet, Router
from chassis.parking import Parking
from contracts.event import Event


def nobody_queues(patch) -> None:
    patch.setattr(Parking, "queues", lambda _self, _item: False)


@pytest.fixture
def gated():
    """Handlers that are not ready for some events until their gate is open."""

    def make(contract, closed: set[tuple[str, int]]) -> Router:
        router = Router()

        @router.on(contract.added)
        async def on_added(event, conn) -> None:
            await conn.execute(
                "INSERT INTO seen (store_id, subject, number) VALUES ($1, $2, $3)",
                event.store_id,
                event.subject,
                event.number,
            )
            if (event.subject, event.number) in closed:
                raise NotYet("gate")

        return router

    return make


@pytest.mark.parametrize("fault", [None, nobody_queues])
async def test_no_later_event_of_a_parked_key_overtakes_and_the_other_keys_go_on(world, gated, planted, fault):
    contract = await world.contract()
    closed = {("late", 2)}
    one = {"store_id": world.store_id}
    await world.send(*(contract.added(**one, subject=s, number=n) for n in range(5) for s in ("late", "other")))
    with planted(fault):
        async with world.consuming(gated(contract, closed)):
            await world.until("SELECT count(*) FROM seen WHERE subject = 'other'", equals=5)
            await world.send(
                *(contract.added(**one, subject=s, number=n) for n in range(5, 9) for s in ("late", "other"))
            )
            await world.until("SELECT count(*) FROM seen WHERE subject = 'other'", equals=9)
            await world.until("SELECT count(*) FROM inbox", equals=18)
            assert await world.seen("late") == [0, 1]
            assert await world.admin.fetchval("SELECT count(*) FROM parked") == 7
            closed.clear()
            await world.until("SELECT count(*) FROM seen WHERE subject = 'late'", equals=9)
            await world.until("SELECT count(*) FROM parked", equals=0)
            assert await world.seen("late") == [*range(9)]
            assert await world.seen("other") == [*range(9)]


async def test_order_within_each_key_holds_while_retries_and_arrivals_race(world, monkeypatch):
    contract, chance = await world.contract(partitions=3), random.Random(3)
    router = Router()

    @router.on(contract.added)
    async def on_added(event, conn) -> None:
        if chance.random() < 0.1:
            raise NotYet("chance")
        await conn.execute(
            "INSERT INTO seen (store_id, subject, number) VALUES ($1, $2, $3)",
            event.store_id,
            event.subject,
            event.number,
        )

    second = parked.Parked(world.service, router, world.database)
    async with world.consuming(router):
        retrying = asyncio.create_task(second.run())
        for start in range(0, 60, 6):
            numbers = range(start, start + 6)
            await world.send(
                *(contract.added(store_id=world.store_id, subject=f"k{k}", number=n) for n in numbers for k in range(8))
            )
        await world.until("SELECT count(*) FROM seen", equals=480)
        retrying.cancel()
    for k in range(8):
        assert await world.seen(f"k{k}") == [*range(60)]
    assert await world.count("dead_letter") == 0


async def test_a_batch_handler_names_the_events_that_are_not_yet_due(world):
    contract = await world.contract()
    router, calls = Router(), []

    @router.on(contract.added)
    async def on_added(events: "Sequence[Event]", conn) -> None:  # noqa: F821
        calls.append([event.number for event in events])
        late = [event for event in events if event.number == 3]
        if late:
            raise NotYet("three", late)

    await world.send(*(contract.added(store_id=world.store_id, subject=f"s{n % 2}", number=n) for n in range(7)))
    async with world.consuming(router, retrying=False):
        await world.until("SELECT count(*) FROM parked", equals=2)
    assert calls[-1] == [0, 1, 2, 4, 6]
    assert [row["reason"] for row in await world.admin.fetch("SELECT reason FROM parked ORDER BY seq")] == [
        "three",
        "queued",
    ]


async def test_after_a_day_a_parked_event_is_given_up_and_the_next_of_its_key_gets_its_turn(world, gated):
    contract = await world.contract()
    await world.send(*(contract.added(store_id=world.store_id, subject="late", number=n) for n in range(3)))
    async with world.consuming(gated(contract, {("late", 0)})):
        await world.until("SELECT max(attempts) > 0 FROM parked")
        assert await world.count("dead_letter") == 0
        await world.admin.execute("UPDATE parked SET parked_at = parked_at - interval '25 hours', retry_at = now()")
        await world.until("SELECT count(*) FROM parked", equals=0)
    assert await world.seen("late") == [1, 2]
    dead = await world.admin.fetchrow("SELECT * FROM dead_letter")
    assert (dead["error_class"], dead["error"], dead["key"]) == ("NotYet", "gate", "late")


async def test_a_parked_event_that_fails_is_given_up_after_a_few_attempts(world, gated, monkeypatch):
    monkeypatch.setattr(inbox, "_AGAIN", ())
    contract = await world.contract()
    closed = {("late", 0)}
    router, gate = Router(), gated(contract, closed).handler(contract.topic.name, "thing.added")

    @router.on(contract.added)
    async def on_added(event, conn) -> None:
        if event.number == 0 and not closed:
            await conn.execute("SELECT 1 / 0")
        await gate.run(event, conn)

    await world.send(*(contract.added(store_id=world.store_id, subject="late", number=n) for n in range(2)))
    async with world.consuming(router):
        await world.until("SELECT count(*) FROM parked", equals=2)
        closed.clear()
        await world.until("SELECT count(*) FROM parked", equals=0)
    assert await world.seen("late") == [1]
    assert await world.admin.fetchval("SELECT error_class FROM dead_letter") == "DivisionByZeroError"
