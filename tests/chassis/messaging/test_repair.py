"""A dead letter that is handed back is done once, in the order of its key, or dies again; or it stays and says why."""

import asyncio
import json

import asyncpg
import pytest
from pydantic import Field

from chassis import ids, inbox, parked, repair, set_aside
from chassis.handlers import Group
from chassis.inbox import NotYet, Router
from chassis.parking import Parking
from chassis.set_aside import ANY, Choice
from contracts.event import Event
from contracts.topics import EPHEMERAL


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """What fails is given up without the pauses between its attempts."""
    monkeypatch.setattr(inbox, "_AGAIN", ())


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


def strict(contract) -> type[Event]:
    """The same event as yesterday's code knew it: it cannot read numbers from 100 on."""

    class Added(Event, type="thing.added", topic=contract.topic, key="subject"):
        subject: str
        number: int = Field(lt=100)

    return Added


def things(world, contract, *numbers, subject="a") -> list[Event]:
    return [contract.added(store_id=world.store_id, subject=subject, number=number) for number in numbers]


async def hand_back(world, router, choice=ANY) -> repair.Outcome:
    """What an operator does."""
    async with world.database.transaction() as conn:
        numbers = await repair.chosen(conn, choice)
    return await repair.hand_back(world.database, world.service, router, numbers)


async def seen(world, subject="a") -> list[int]:
    rows = await world.admin.fetch("SELECT number FROM seen WHERE subject = $1 ORDER BY seq", subject)
    return [row["number"] for row in rows]


def letters_stay(patch) -> None:
    async def say_that_they_are_gone(_conn, found):
        return {letter.number for letter in found}

    patch.setattr(repair, "_remove", say_that_they_are_gone)


def nothing_is_entered(patch) -> None:
    async def as_if(_conn, event_ids):
        return set(event_ids), {}

    patch.setattr(repair, "_enter", as_if)


@pytest.mark.parametrize("fault", [None, letters_stay, nothing_is_entered])
async def test_what_was_given_up_is_done_once_after_the_fix_however_often_it_is_handed_back_or_delivered(
    world, tallying, planted, fault
):
    contract = await world.contract()
    events = things(world, contract, 1, 2, 103, 4)
    sent = await world.send(*events)
    async with world.consuming(tallying(strict(contract), {2})):
        await world.until("SELECT count(*) FROM dead_letter", equals=2)  # 2 failed, 103 was unreadable
        await world.until("SELECT times FROM tally", equals=2)
    mended = tallying(contract.added)
    with planted(fault):
        retrying = parked.Parked(world.service, mended, world.database)
        for _ in range(2):
            await hand_back(world, mended)
            while await retrying.one():
                pass
        await world.send(*events, event_ids=sent)
        async with world.consuming(mended) as consumer:
            await world.joined(consumer)
            await world.caught_up(consumer)
        assert await seen(world) == [1, 4, 2, 103]
        assert await world.admin.fetchval("SELECT times FROM tally") == 4
        assert await world.count("dead_letter") + await world.count("parked") == 0


def in_the_order_they_died(patch) -> None:
    async def by_number(conn, _choice):
        return [row["seq"] for row in await conn.rows("SELECT seq FROM dead_letter ORDER BY seq")]

    patch.setattr(repair, "chosen", by_number)


def in_another_group(patch) -> None:
    patch.setattr(repair, "Parking", lambda _group, items: Parking("another", items))


@pytest.mark.parametrize("fault", [None, in_the_order_they_died, in_another_group])
async def test_what_is_handed_back_keeps_the_order_of_its_key(world, tallying, planted, fault):
    """Behind what waits for the key already, before what comes later, and among themselves as they were sent."""
    contract = await world.contract()
    await world.send(*things(world, contract, 1, 102, 3))
    async with world.consuming(tallying(strict(contract), {1, 3})):
        await world.until("SELECT count(*) FROM dead_letter", equals=3)
    died = await world.admin.fetch('SELECT "offset" FROM dead_letter ORDER BY seq')
    assert [row["offset"] for row in died] == [1, 0, 2], "what cannot be read dies first"
    waiting = {50}
    mended = tallying(contract.added, waiting=waiting)
    with planted(fault):
        async with world.consuming(mended):
            await world.send(*things(world, contract, 50))
            await world.until("SELECT max(attempts) > 0 FROM parked")
            await hand_back(world, mended)
            await world.send(*things(world, contract, 7))
            await world.until("SELECT count(*) FROM inbox", equals=5)
            await asyncio.sleep(0.3)  # time for whoever overtakes
            assert await seen(world) == []
            waiting.clear()
            await world.until("SELECT count(*) FROM parked", equals=0)
        assert await seen(world) == [50, 1, 102, 3, 7]


def everybody_reads_the_same(patch) -> None:
    found, read = {}, set_aside.letters_of

    async def letters_of(conn, numbers):
        if tuple(numbers) not in found:
            found[tuple(numbers)] = await read(conn, numbers)
        return found[tuple(numbers)]

    patch.setattr(set_aside, "letters_of", letters_of)
    letters_stay(patch)


@pytest.mark.parametrize("fault", [None, everybody_reads_the_same])
async def test_several_who_hand_back_the_same_at_once_hand_it_back_once(world, tallying, planted, fault, monkeypatch):
    monkeypatch.setattr(repair, "_AT_ONCE", 20)
    contract = await world.contract()
    await world.send(*things(world, contract, *range(100)))
    async with world.consuming(tallying(contract.added, {*range(100)})):
        await world.until("SELECT count(*) FROM dead_letter", equals=100)
    mended = tallying(contract.added)
    with planted(fault):
        async with world.consuming(mended):
            outcomes = await asyncio.gather(*(hand_back(world, mended) for _ in range(4)))
            await world.until("SELECT count(*) FROM parked", equals=0)
        assert sum(len(outcome.handed_back) for outcome in outcomes) == 100
        assert not any(outcome.left or outcome.since for outcome in outcomes)
        assert await seen(world) == [*range(100)]


def letters_go_before_the_rest(patch) -> None:
    remove = repair._remove

    async def and_commit(conn, found):
        gone = await remove(conn, found)
        await conn.raw.execute("COMMIT; BEGIN")
        return gone

    patch.setattr(repair, "_remove", and_commit)


@pytest.mark.parametrize("fault", [None, letters_go_before_the_rest])
async def test_a_death_in_between_loses_nothing(world, tallying, planted, fault):
    contract = await world.contract()
    await world.send(*things(world, contract, 1, 2))
    async with world.consuming(tallying(contract.added, {1, 2})):
        await world.until("SELECT count(*) FROM dead_letter", equals=2)
    mended = tallying(contract.added)

    async def die(_self, conn) -> None:
        await conn.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with planted(fault):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Parking, "store", die)
            with pytest.raises(asyncpg.PostgresError):
                await hand_back(world, mended)
        assert len((await hand_back(world, mended)).handed_back) == 2
        async with world.consuming(mended):
            await world.until("SELECT times FROM tally", equals=2)


def a_retry_never_fails(patch) -> None:
    patch.setattr(parked, "is_transient", lambda _: True)


@pytest.mark.parametrize("fault", [None, a_retry_never_fails])
async def test_what_fails_again_dies_again_with_its_new_error_and_keeps_nobody_waiting(world, tallying, planted, fault):
    contract = await world.contract()
    await world.send(*things(world, contract, 101, 2))
    async with world.consuming(tallying(strict(contract), {2})):
        await world.until("SELECT count(*) FROM dead_letter", equals=2)
    half_mended = tallying(contract.added, {101})
    with planted(fault):
        async with world.consuming(half_mended):
            outcome = await hand_back(world, half_mended)
            told = await repair.fate(world.database, outcome.handed_back, seconds=2 if fault else 10)
        assert told == repair.Fate(done=1, died_again=1, waiting=0)
        dead = await world.admin.fetchrow("SELECT * FROM dead_letter")
        assert (dead["error_class"], dead["offset"], dead["unread"]) == ("DivisionByZeroError", 0, False)
        assert await seen(world) == [2]
        assert len((await hand_back(world, tallying(contract.added))).handed_back) == 1


def whatever_is_there_is_the_letters_own(patch) -> None:
    enter = repair._enter

    async def as_if(conn, event_ids):
        await enter(conn, event_ids)
        return set(event_ids), {}

    patch.setattr(repair, "_enter", as_if)


@pytest.mark.parametrize("fault", [None, whatever_is_there_is_the_letters_own])
async def test_what_was_done_since_is_not_done_again(world, tallying, planted, fault):
    """Unreadable once, it came again and was read; or the inbox had forgotten, after 14 days."""
    contract = await world.contract()
    events = things(world, contract, 101, 2)
    sent = await world.send(*events)
    async with world.consuming(tallying(strict(contract), {2})):
        await world.until("SELECT count(*) FROM dead_letter", equals=2)
    await world.admin.execute("DELETE FROM inbox")
    mended = tallying(contract.added)
    await world.send(*events, event_ids=sent)
    with planted(fault):
        async with world.consuming(mended):
            await world.until("SELECT times FROM tally", equals=2)
            outcome = await hand_back(world, mended)
            await world.until("SELECT count(*) FROM parked", equals=0)
        assert (outcome.handed_back, outcome.left, len(outcome.since)) == ([], {}, 2)
        assert await world.admin.fetchval("SELECT times FROM tally") == 2
        assert await world.count("dead_letter") == 0


def the_same_record_changes_nothing(patch) -> None:
    bury = inbox.bury

    async def once(conn, group, given_up):
        if not await conn.value("SELECT EXISTS (SELECT FROM dead_letter)"):
            await bury(conn, group, given_up)

    patch.setattr(inbox, "bury", once)


@pytest.mark.parametrize("fault", [None, the_same_record_changes_nothing])
async def test_what_comes_again_can_be_read_and_fails_is_still_a_letter_to_hand_back(world, tallying, planted, fault):
    contract = await world.contract()
    await world.send(*things(world, contract, 101))
    records = await world.published(contract.topic)
    await inbox.Inbox(world.service, tallying(strict(contract)), world.database).process(Group.FACTS, records)
    with planted(fault):
        half_mended = inbox.Inbox(world.service, tallying(contract.added, {101}), world.database)
        await half_mended.process(Group.FACTS, records)
        mended = tallying(contract.added)
        assert len((await hand_back(world, mended)).handed_back) == 1
        assert await parked.Parked(world.service, mended, world.database).one()
        assert await seen(world) == [101]


def everything_goes(patch) -> None:
    async def remove(conn, _found):
        return {row["seq"] for row in await conn.rows("DELETE FROM dead_letter RETURNING seq")}

    patch.setattr(repair, "_remove", remove)


@pytest.mark.parametrize("fault", [None, everything_goes])
async def test_what_cannot_be_handed_back_stays_and_says_why(world, tallying, planted, fault):
    contract, secret = await world.contract(), await world.contract(kept=EPHEMERAL)
    good = {"ce_id": str(ids.new_uuid()), "ce_type": "thing.added", "store_id": world.store_id}
    body = b'{"subject": "a", "number": 1}'
    for topic, value, headers in (
        (contract.topic, body, {"ce_id": good["ce_id"]}),
        (contract.topic, body, good | {"ce_id": "7"}),
        (contract.topic, b'{"subject": 7}', good),
        (secret.topic, b'{"subject": 7}', good),
    ):
        await world.raw(topic.name, "a", value, headers)
    await world.send(contract.removed(store_id=world.store_id, subject="a"))
    both = tallying(contract.added)
    both.include(tallying(secret.added))

    @both.on(contract.removed)
    async def on_removed(event, conn) -> None:
        await conn.execute("SELECT 1 / 0")

    async with world.consuming(both):
        await world.until("SELECT count(*) FROM dead_letter", equals=5)
    without_removed = tallying(contract.added)
    without_removed.include(tallying(secret.added))
    with planted(fault):
        outcome = await hand_back(world, without_removed)
        assert (outcome.handed_back, outcome.since) == ([], [])
        assert await world.count("dead_letter") == 5
        async with world.database.transaction() as conn:
            left = await set_aside.letters(conn, ANY, 10)
        assert {(letter.topic == secret.topic.name, letter.offset): outcome.left[letter.number] for letter in left} == {
            (False, 0): "it came without ce_type and store_id",
            (False, 1): "today's code cannot read it either (unreadable)",
            (False, 2): "today's code cannot read it either (subject: string_type)",
            (False, 3): "nothing handles thing.removed here any more",
            (True, 0): "its body is not kept, since it may hold personal data: whoever asked sends it again",
        }


def nobody_hurries(patch) -> None:
    async def leave_it(_conn, _choice):
        return 0

    patch.setattr(repair, "retry_now", leave_it)


@pytest.mark.parametrize("fault", [None, nobody_hurries])
async def test_a_parked_event_is_tried_now_when_an_operator_says_so(world, tallying, planted, fault):
    contract, waiting = await world.contract(), {1}
    await world.send(*things(world, contract, 1))
    async with world.consuming(tallying(contract.added, waiting=waiting)):
        await world.until("SELECT max(attempts) > 0 FROM parked")
        await world.admin.execute("UPDATE parked SET retry_at = now() + interval '5 minutes'")
        waiting.clear()
        with planted(fault):
            async with world.database.transaction() as conn:
                assert await repair.retry_now(conn, Choice(kind="another reason")) == 0
                await repair.retry_now(conn, Choice(kind="gate"))
            await world.until("SELECT count(*) FROM parked", equals=0, seconds=2)


async def test_a_kafka_made_anew_buries_nobody_in_anothers_place(world, tallying):
    """Its offsets start at zero again, and the letters of the old one are still there."""
    contract = await world.contract()
    router = tallying(contract.added, {1, 2})
    consumer = inbox.Inbox(world.service, router, world.database)
    await world.send(*things(world, contract, 1, 2))
    first, second = await world.published(contract.topic)
    await consumer.process(Group.FACTS, [first])
    second.__dict__["offset"] = first.offset
    await consumer.process(Group.FACTS, [second])
    assert await world.count("dead_letter") == 2


async def test_letters_are_counted_and_the_latest_are_shown(world):
    await world.admin.executemany(
        "INSERT INTO dead_letter (consumer_group, topic, key, headers, error_class, error) VALUES ('w', 't', $1, $2, $3, 'x')",
        [(f"k{n}", json.dumps({"ce_type": f"thing.{n % 2}"}), ("A", "B")[n % 3 == 0]) for n in range(10)],
    )
    async with world.database.transaction() as conn:
        assert sum(count.rows for count in await set_aside.letter_counts(conn, ANY)) == 10
        assert [letter.key for letter in await set_aside.letters(conn, ANY, 3)] == ["k9", "k8", "k7"]
        chosen = Choice("A", "thing.1")
        assert await set_aside.letter_counts(conn, chosen) == [("A", "thing.1", 3)]
        assert [letter.key for letter in await set_aside.letters(conn, chosen, 10)] == ["k7", "k5", "k1"]
        numbers = await repair.chosen(conn, chosen)
        assert [letter.key for letter in await set_aside.letters_of(conn, numbers)] == ["k1", "k5", "k7"]
