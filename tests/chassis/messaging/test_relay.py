"""Publishing: nothing lost, in order within a key, whatever is killed."""

import asyncio
import itertools
import random

import asyncpg
import pytest
from aiokafka.errors import KafkaConnectionError
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event

from chassis import ids, outbox, relay
from chassis.relay import Relay


def by_position(patch) -> None:
    """Read on from the last row seen, as a cursor would."""
    publish, last = Relay._publish, {"seq": 0}

    async def only_newer(self, producer, rows):
        newer = [row for row in rows if row["seq"] > last["seq"]]
        last["seq"] = max(last["seq"], *(row["seq"] for row in rows))
        await publish(self, producer, newer)
        return [row["seq"] for row in rows], {}

    patch.setattr(Relay, "_publish", only_newer)


def acks_are_taken_for_granted(patch) -> None:
    publish = Relay._publish

    async def never_fails(self, producer, rows):
        try:
            return await publish(self, producer, rows)
        except KafkaConnectionError:
            return [row["seq"] for row in rows], {}

    patch.setattr(Relay, "_publish", never_fails)


def newest_first(patch) -> None:
    publish = Relay._publish

    async def reversed_rows(self, producer, rows):
        return await publish(self, producer, rows[::-1])

    patch.setattr(Relay, "_publish", reversed_rows)


def nothing_is_unsendable(patch) -> None:
    patch.setattr(relay, "_NEVER", ())


def nobody_tidies(patch) -> None:
    patch.setattr(relay, "_LARGE", 10**12)


@pytest.mark.parametrize("fault", [None, nobody_tidies])
async def test_an_outbox_that_was_large_gives_its_pages_back(world, planted, fault, monkeypatch):
    """Also where autovacuum does not come: it counts dead rows, and the last few are too few for it."""
    monkeypatch.setattr(relay, "_TIDY", 0.3)
    contract = await world.contract()
    await world.admin.execute("ALTER TABLE outbox SET (autovacuum_enabled = false)")
    try:
        with planted(fault):
            for _ in range(4):
                filler = "x" * 1000
                many = (contract.added(store_id=world.store_id, subject="a", filler=filler) for _ in range(2_000))
                await world.announce(*many)
            assert await world.admin.fetchval("SELECT pg_relation_size('outbox')") > relay._LARGE or fault
            async with world.relaying():
                await world.until("SELECT count(*) FROM outbox", equals=0, seconds=90)
                await world.until("SELECT pg_relation_size('outbox')", equals=0, seconds=2 if fault else 60)
    finally:
        await world.admin.execute("ALTER TABLE outbox RESET (autovacuum_enabled)")


@pytest.mark.parametrize("fault", [None, by_position])
async def test_two_transactions_that_commit_in_reverse_order_of_their_ids_are_both_published(world, planted, fault):
    contract = await world.contract()
    with planted(fault):
        async with world.relaying():
            slow = await asyncpg.connect(world.url)
            await slow.execute("BEGIN")
            first = outbox.Announced(
                ids.new_uuid(), contract.added(store_id=world.store_id, subject="a", number=1), None
            )
            await outbox.insert(slow, [first])
            await world.announce(contract.added(store_id=world.store_id, subject="b", number=1))
            await world.until("SELECT count(*) FROM outbox", equals=0)
            await slow.execute("COMMIT")
            await slow.close()
            await world.announce(contract.added(store_id=world.store_id, subject="a", number=2))
            await world.until("SELECT count(*) FROM outbox", equals=0)
        assert await numbers_of(world, contract) == {"b": [1], "a": [1, 2]}


@pytest.mark.parametrize("fault", [None, newest_first, acks_are_taken_for_granted])
async def test_a_relay_that_is_killed_again_and_again_loses_nothing_and_keeps_the_order(
    world, planted, fault, monkeypatch
):
    contract = await world.contract(partitions=3)
    send, chance, failures = Relay._send, random.Random(5), itertools.count()

    async def failing_now_and_then(self, producer, row):
        fails = chance.random() < 0.004
        if fails and next(failures) % 2:
            raise KafkaConnectionError
        ack = await send(self, producer, row)
        if fails:
            raise KafkaConnectionError
        return ack

    monkeypatch.setattr(Relay, "_send", failing_now_and_then)
    monkeypatch.setattr(relay, "BATCH", 40)
    await world.admin.execute(
        "INSERT INTO thing SELECT $1, 'k' || k, true FROM generate_series(0, 9) k", world.store_id
    )
    with planted(fault):
        two = [Relay(world.url, world.bootstrap, world.service) for _ in range(2)]
        async with world.relaying(*two):
            killing = asyncio.create_task(kill_relays(world))
            await asyncio.gather(*(write(world, contract, seed) for seed in range(4)))
            killing.cancel()
            await world.until("SELECT count(*) FROM outbox", equals=0, seconds=90)
        assert await numbers_of(world, contract) == {f"k{k}": [*range(1, 41)] for k in range(10)}


async def write(world, contract, seed: int) -> None:
    """Announce under row locks: each key counts up, whoever writes it."""
    chance = random.Random(seed)
    for n in range(100):
        subject = f"k{n % 10}"
        async with world.database.transaction() as conn:
            await conn.execute("SELECT FROM thing WHERE subject = $1 FOR UPDATE", subject)
            number = await conn.value(
                "INSERT INTO tally VALUES ($1, 1) ON CONFLICT (store_id) DO UPDATE SET times = tally.times + 1 RETURNING times",
                subject,
            )
            outbox.add(conn, contract.added(store_id=world.store_id, subject=subject, number=number))
            if chance.random() < 0.2:
                await asyncio.sleep(0.01)


async def kill_relays(world) -> None:
    while True:
        await asyncio.sleep(0.4)
        await world.admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND datname = current_database()",
            f"{world.service}-relay",
        )


async def numbers_of(world, contract) -> dict[str, list[int]]:
    """The numbers published under each key in order, each event where it appeared first."""
    first = {dict(record.headers)["ce_id"]: record for record in reversed(await world.published(contract.topic))}
    found: dict[str, list[int]] = {}
    for record in reversed(first.values()):
        event = contract.added.parse(world.store_id, record.value)
        assert record.key == event.subject.encode()
        found.setdefault(event.subject, []).append(event.number)
    return found


@pytest.mark.parametrize("fault", [None, nothing_is_unsendable])
async def test_what_the_broker_will_never_take_is_set_aside_and_blocks_nobody(world, planted, fault):
    contract = await world.contract(config={"max.message.bytes": "200000"})
    sizes = {2: 1_200_000, 5: 300_000}  # refused by us before it is sent, and by the broker
    one = {"store_id": world.store_id, "subject": "a"}
    events = [contract.added(**one, number=n, filler="x" * sizes.get(n, 10)) for n in range(8)]
    await world.announce(*events)
    with planted(fault):
        async with world.relaying():
            await world.until("SELECT count(*) FROM outbox", equals=0, seconds=2 if fault else 60)
        rows = await world.admin.fetch("SELECT length(payload) AS size, error FROM outbox_unsendable ORDER BY seq")
        assert [row["error"] for row in rows] == ["MessageSizeTooLargeError"] * 2
        assert await numbers_of(world, contract) == {"a": [0, 1, 3, 4, 6, 7]}


async def test_what_is_published_is_a_cloud_event_in_binary_mode(world):
    contract = await world.contract()
    traceparent = f"00-{'ab' * 16}-{'cd' * 8}-01"
    event = contract.added(store_id=world.store_id, subject="a", number=7)
    event._traceparent = traceparent
    async with world.database.transaction() as conn:
        outbox.add(conn, event, because=event)
    async with world.relaying():
        await world.until("SELECT count(*) FROM outbox", equals=0)
    [record] = await world.published(contract.topic)
    headers = dict(record.headers)
    cloud_event = from_binary_event(KafkaMessage(headers=headers, key=record.key, value=record.value))
    assert cloud_event.get_type() == "thing.added"
    assert cloud_event.get_source() == f"/regulars/{world.service}"
    assert cloud_event.get_specversion() == "1.0"
    assert cloud_event.get_datacontenttype() == "application/json"
    assert cloud_event.get_data() == {"subject": "a", "number": 7, "filler": ""}
    assert cloud_event.get_time().tzinfo is not None
    assert headers["store_id"] == world.store_id.encode()
    assert headers["traceparent"] == traceparent.encode()
