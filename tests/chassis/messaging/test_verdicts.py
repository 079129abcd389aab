"""What becomes of an event: done once, given up, skipped, or tried again."""

import asyncio
import json
import random

import asyncpg
import pytest

from chassis import consumer, ids, inbox, outbox, received, verdicts
from chassis.handlers import Group
from chassis.inbox import Inbox, Router
from chassis.received import Received
from contracts.topics import EPHEMERAL


def everything_is_transient(patch) -> None:
    patch.setattr(inbox, "is_transient", lambda _: True)


def nothing_is_transient(patch) -> None:
    patch.setattr(inbox, "is_transient", lambda _: False)
    patch.setattr(inbox, "_AGAIN", ())


def the_inbox_forgets(patch) -> None:
    async def all_of_them(_conn, items):
        return list(items)

    patch.setattr(inbox, "_first_seen", all_of_them)


def a_type_at_a_time(patch) -> None:
    def by_kind(items, key, kind):
        groups = {}
        for item in items:
            groups.setdefault(kind(item), []).append(item)
        return list(groups.values())

    patch.setattr(inbox, "waves", by_kind)


def nothing_is_ephemeral(patch) -> None:
    patch.setattr(Received, "ephemeral", False)
    unreadable = received._unreadable
    patch.setattr(received, "_unreadable", lambda *about, **_: unreadable(*about, keep=True))


def every_header_is_read(patch) -> None:
    async def carry(self, records):
        return await self.parser.parse_batch(records)

    patch.setattr(consumer._Prompt, "carry", carry)


@pytest.fixture
def counting():
    """Handlers whose effect is a sum: only the inbox keeps a repeat out."""

    def make(contract) -> Router:
        router = Router()

        @router.on(contract.added)
        async def on_added(event, conn) -> None:
            await conn.execute(
                "INSERT INTO tally VALUES ($1, 1) ON CONFLICT (store_id) DO UPDATE SET times = tally.times + 1",
                event.store_id,
            )

        return router

    return make


@pytest.mark.parametrize("fault", [None, everything_is_transient])
async def test_a_poison_message_among_a_thousand_ends_in_dead_letter_and_the_thousand_are_done(
    world, router_of, planted, fault, monkeypatch
):
    monkeypatch.setattr(inbox, "_AGAIN", (0.01, 0.02))
    contract = await world.contract(partitions=3)
    events = [contract.added(store_id=world.store_id, subject=f"s{n % 50}", number=n) for n in range(1000)]
    poison = contract.added(store_id=world.store_id, subject="s7", number=2**31)  # more than the column takes
    sent = await world.send(*events[:500], poison, *events[500:])
    with planted(fault):
        async with world.consuming(router_of(contract)):
            await world.until("SELECT count(*) FROM done", equals=1000, seconds=2 if fault else 90)
            await world.until("SELECT count(*) FROM dead_letter", equals=1)
            dead = await world.admin.fetchrow("SELECT * FROM dead_letter")
            assert json.loads(dead["headers"])["ce_id"] == str(sent[500])
            assert dead["payload"] == poison.body()
            assert str(2**31) not in dead["error"]
            assert await world.count("inbox") == 1001


@pytest.mark.parametrize("fault", [None, the_inbox_forgets])
async def test_each_event_delivered_three_times_changes_nothing_more(world, counting, planted, fault):
    contract = await world.contract(partitions=2)
    events = [contract.added(store_id=world.store_id, subject=f"s{n % 20}", number=n) for n in range(200)]
    times_three = [(event, ids.new_uuid()) for event in events] * 3
    random.Random(7).shuffle(times_three)
    await world.send(*(event for event, _ in times_three), event_ids=[event_id for _, event_id in times_three])
    with planted(fault):
        async with world.consuming(counting(contract)) as consumer:
            await world.until("SELECT times >= 200 FROM tally")
            await world.caught_up(consumer)
        assert await world.admin.fetchval("SELECT times FROM tally") == 200
        assert await world.count("dead_letter") == 0


@pytest.mark.parametrize("fault", [None, a_type_at_a_time])
async def test_added_removed_and_added_again_in_one_batch_ends_as_added(world, planted, fault):
    contract = await world.contract()
    router = Router()

    async def save(conn, event, present) -> None:
        await conn.execute(
            "INSERT INTO thing VALUES ($1, $2, $3) ON CONFLICT (store_id, subject) DO UPDATE SET present = $3",
            event.store_id,
            event.subject,
            present,
        )

    @router.on(contract.added)
    async def on_added(event, conn) -> None:
        await save(conn, event, present=True)

    @router.on(contract.removed)
    async def on_removed(event, conn) -> None:
        await save(conn, event, present=False)

    events = []
    for subject in ("a", "b", "c"):
        thing = {"store_id": world.store_id, "subject": subject}
        events += [contract.added(**thing), contract.removed(**thing), contract.added(**thing)]
    await world.send(*events)
    with planted(fault):
        await Inbox(world.service, router, world.database).process(Group.FACTS, await world.published(contract.topic))
        assert [row["present"] for row in await world.admin.fetch("SELECT present FROM thing")] == [True, True, True]


@pytest.mark.parametrize("fault", [None, nothing_is_transient])
async def test_a_database_that_goes_away_costs_no_event(world, router_of, planted, fault):
    contract = await world.contract()
    plain = router_of(contract).handler(contract.topic.name, "thing.added")
    router, troubles = Router(), iter(["terminate", "lock", "deadlock", "full"])

    @router.on(contract.added)
    async def on_added(event, conn) -> None:
        await plain.run(event, conn)
        if event.number == 5 and (trouble := next(troubles, None)):
            await make_trouble(trouble, conn)

    async def make_trouble(trouble, conn) -> None:
        if trouble == "terminate":
            await conn.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        elif trouble == "lock":
            await conn.execute("SET LOCAL lock_timeout = '10ms'")
            await conn.execute("SELECT pg_advisory_xact_lock(77)")
        elif trouble == "deadlock":
            raise asyncpg.DeadlockDetectedError("deadlock detected")
        else:
            raise asyncpg.DiskFullError("could not extend file")

    await world.admin.execute("SELECT pg_advisory_lock(77)")
    await world.send(*(contract.added(store_id=world.store_id, subject=f"s{n % 3}", number=n) for n in range(50)))
    with planted(fault):
        async with world.consuming(router):
            await world.until("SELECT count(*) FROM done", equals=50, seconds=2 if fault else 60)
            assert await world.count("dead_letter") == 0
            assert next(troubles, None) is None


@pytest.mark.parametrize("fault", [None, nothing_is_ephemeral])
async def test_an_ephemeral_topic_parks_nothing_and_leaves_no_body(world, router_of, at_another_time, planted, fault):
    contract = await world.contract(kept=EPHEMERAL)
    router = router_of(contract)
    from chassis import known_customers  # noqa: PLC0415

    router.include(known_customers.router)
    stranger = at_another_time("cus", 3600)
    await world.send(
        contract.added(store_id=world.store_id, subject="a", number=1, customer_id=stranger, filler="jane@example.com"),
        contract.added(store_id=world.store_id, subject="a", number=2, filler="jane@example.com"),
        contract.added(store_id=world.store_id, subject="a", number=2**31, filler="jane@example.com"),
    )
    headers = {"ce_id": str(ids.new_uuid()), "ce_type": "thing.added", "store_id": world.store_id}
    await world.raw(contract.topic.name, "a", b'{"subject": 1, "filler": "jane@example.com"}', headers)
    with pytest.MonkeyPatch.context() as patch, planted(fault):
        patch.setattr(inbox, "_AGAIN", ())
        consumer = Inbox(world.service, router, world.database)
        await world.producer.flush()
        await consumer.process(Group.ASK, await world.published(contract.topic))
        assert consumer.skipped == 1
        assert await world.count("parked") == 0
        assert [row["number"] for row in await world.admin.fetch("SELECT number FROM done")] == [2]
        dead = await world.admin.fetch("SELECT payload, headers, error FROM dead_letter")
        assert len(dead) == 2
        assert not any(row["payload"] or "jane" in row["headers"] + row["error"] for row in dead)


async def test_what_nobody_can_read_is_given_up_at_once_and_what_nobody_handles_is_skipped_unread(world, router_of):
    contract = await world.contract()
    good = {"ce_id": str(ids.new_uuid()), "ce_type": "thing.added", "store_id": world.store_id}
    body = b'{"subject": "a"}'
    unreadable = [
        (b"{", good),
        (b"[]", good),
        (b'{"subject": 7}', good),
        (body, good | {"ce_id": "7"}),
        (body, good | {"store_id": "store_7"}),
        (body, {"ce_id": good["ce_id"]}),
        (b'\xff{"subject": "a\0"}', good | {"traceparent": "nul \0"}),
    ]
    for value, headers in unreadable:
        await world.raw(contract.topic.name, "a", value, headers)
    await world.raw(contract.topic.name, "a", b"\xff not even JSON", good | {"ce_type": "thing.renamed"})
    await world.raw(contract.topic.name, "a", body, good)
    async with world.consuming(router_of(contract)):
        await world.until("SELECT count(*) FROM done", equals=1)
        assert await world.count("dead_letter") == len(unreadable)
        assert await world.count("inbox") == 1


@pytest.mark.parametrize("fault", [None, every_header_is_read])
async def test_headers_of_others_cost_no_event(world, router_of, planted, fault):
    contract = await world.contract()
    for number, header in enumerate([("reply_to", b"somewhere"), ("x-other", b"\xff"), ("x-other", None)]):
        event = contract.added(store_id=world.store_id, subject="a", number=number)
        named = {"ce_id": str(ids.new_uuid()), "ce_type": event.TYPE, "store_id": event.store_id}
        headers = [*((name, value.encode()) for name, value in named.items()), header]
        await world.producer.send(contract.topic.name, event.body(), key=b"a", headers=headers)
    with planted(fault):
        async with world.consuming(router_of(contract)) as consuming:
            await world.until("SELECT count(*) FROM done", equals=3, seconds=5 if fault else 60)
            await world.caught_up(consuming, seconds=5 if fault else 60)


async def test_an_event_goes_on_under_the_trace_it_came_with(world):
    contract = await world.contract()
    router, traceparent = Router(), f"00-{'ab' * 16}-{'cd' * 8}-01"

    @router.on(contract.added)
    async def on_added(event, conn) -> None:
        outbox.add(conn, contract.removed(store_id=event.store_id, subject=event.subject))

    await world.send(contract.added(store_id=world.store_id, subject="a"), traceparent=traceparent)
    async with world.consuming(router):
        await world.until("SELECT traceparent FROM outbox", equals=traceparent)


async def test_a_batch_that_takes_too_long_is_handed_out_again_and_nothing_of_it_is_done_twice(
    world, router_of, monkeypatch
):
    monkeypatch.setattr(inbox, "LONGEST", 0.3)
    monkeypatch.setattr(inbox, "_AGAIN", (0.2,))
    contract = await world.contract()
    bad = [contract.added(store_id=world.store_id, subject="a", number=2**31 + n) for n in range(4)]
    good = [contract.added(store_id=world.store_id, subject="a", number=n) for n in range(20)]
    await world.send(*good[:10], *bad, *good[10:])
    async with world.consuming(router_of(contract)):
        await world.until("SELECT count(*) FROM done", equals=20)
        assert [row["number"] for row in await world.admin.fetch("SELECT number FROM seen ORDER BY seq")] == [
            *range(20)
        ]
        assert await world.count("dead_letter") == 4


async def test_a_merge_ends_the_wait_for_a_customer_and_names_the_one_who_acts(world, router_of, at_another_time):
    from chassis import known_customers  # noqa: PLC0415

    contract = await world.contract()
    router = router_of(contract)
    router.include(known_customers.router)
    old, new = at_another_time("cus", 900), at_another_time("cus", 800)
    await world.send(contract.added(store_id=world.store_id, subject="a", number=1, customer_id=old))
    async with world.consuming(router):
        await world.until("SELECT reason FROM parked", equals="customer")
        await world.admin.execute(
            "INSERT INTO known_customer VALUES ($1, $2, 2, 'merged', $3), ($1, $3, 1, 'active', NULL)",
            world.store_id,
            old,
            new,
        )
        await world.until("SELECT customer_id FROM seen", equals=new)
        assert await world.count("parked") == 0


@pytest.mark.parametrize("seconds_to_notice", [0, 0.1])
async def test_a_connection_that_is_lost_is_no_fault_of_the_event(world, seconds_to_notice):
    """Whether the statement is under way or the next one finds nobody there."""

    async def lose_it() -> None:
        async with world.database.transaction() as conn:
            own = await conn.value("SELECT pg_backend_pid()")
            await world.admin.execute("SELECT pg_terminate_backend($1)", own)
            await asyncio.sleep(seconds_to_notice)
            await conn.execute("SELECT 1")

    with pytest.raises(Exception) as raised:  # noqa: PT011  (one of six, by chance)
        await lose_it()
    assert verdicts.is_transient(raised.value)


async def test_a_place_is_in_our_code_however_deep_the_driver_failed(world):
    async def on_something(conn) -> None:
        await conn.execute("SELECT 1 / $1::int", 0)

    with pytest.raises(asyncpg.DivisionByZeroError) as raised:
        async with world.database.transaction() as conn:
            await on_something(conn)
    steps = [step.split()[-1] for step in verdicts.place_of(raised.value).split(" > ")]
    assert steps[-3:] == ["on_something", "execute", "22012"]


def test_wrong_arguments_are_no_reason_to_try_again():
    assert not verdicts.is_transient(asyncpg.InterfaceError("the server expects 2 arguments for this query"))
    assert not verdicts.is_transient(asyncpg.exceptions.DataError("invalid input for query argument $1"))
    assert verdicts.is_transient(asyncpg.InterfaceError("connection is closed"))
