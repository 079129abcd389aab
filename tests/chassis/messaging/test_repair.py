"""A dead letter that is handed back is done once, in the order of its key, or dies again; or it stays and says why."""

import asyncio

import asyncpg
import pytest
from pydantic import Field

from chassis import inbox, parked, repair, set_aside
from chassis.handlers import Group
from chassis.parking import Parking
from chassis.set_aside import ANY
from contracts.event import Event

pytestmark = pytest.mark.usefixtures("at_once")


def strict(contract) -> type[Event]:
    """The same event as yesterday's code knew it: it cannot read numbers from 100 on."""

    class Added(Event, type="thing.added", topic=contract.topic, key="subject"):
        subject: str
        number: int = Field(lt=100)

    return Added


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
    events = world.things(contract, 1, 2, 103, 4)
    sent = await world.send(*events)
    async with world.consuming(tallying(strict(contract), {2})):
        await world.until("SELECT count(*) FROM dead_letter", equals=2)  # 2 failed, 103 was unreadable
        await world.until("SELECT times FROM tally", equals=2)
    mended = tallying(contract.added)
    with planted(fault):
        retrying = parked.Parked(world.service, mended, world.database)
        for _ in range(2):
            await world.hand_back(mended)
            while await retrying.one():
                pass
        await world.send(*events, event_ids=sent)
        async with world.consuming(mended) as consumer:
            await world.joined(consumer)
            await world.caught_up(consumer)
        assert await world.seen("a") == [1, 4, 2, 103]
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
    await world.send(*world.things(contract, 1, 102, 3))
    async with world.consuming(tallying(strict(contract), {1, 3})):
        await world.until("SELECT count(*) FROM dead_letter", equals=3)
    died = await world.admin.fetch('SELECT "offset" FROM dead_letter ORDER BY seq')
    assert [row["offset"] for row in died] == [1, 0, 2], "what cannot be read dies first"
    waiting = {50}
    mended = tallying(contract.added, waiting=waiting)
    with planted(fault):
        async with world.consuming(mended):
            await world.send(*world.things(contract, 50))
            await world.until("SELECT max(attempts) > 0 FROM parked")
            await world.hand_back(mended)
            await world.send(*world.things(contract, 7))
            await world.until("SELECT count(*) FROM inbox", equals=5)
            await asyncio.sleep(0.3)  # time for whoever overtakes
            assert await world.seen("a") == []
            waiting.clear()
            await world.until("SELECT count(*) FROM parked", equals=0)
        assert await world.seen("a") == [50, 1, 102, 3, 7]


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
    await world.send(*world.things(contract, *range(100)))
    async with world.consuming(tallying(contract.added, {*range(100)})):
        await world.until("SELECT count(*) FROM dead_letter", equals=100)
    mended = tallying(contract.added)
    async with world.database.transaction() as conn:
        numbers = await repair.chosen(conn, ANY)
    with planted(fault):
        async with world.consuming(mended):
            everybody = (repair.hand_back(world.database, world.service, mended, numbers) for _ in range(4))
            outcomes = await asyncio.gather(*everybody)
            await world.until("SELECT count(*) FROM parked", equals=0)
        assert sum(len(outcome.handed_back) for outcome in outcomes) == 100
        assert not any(outcome.left or outcome.since for outcome in outcomes)
        assert await world.seen("a") == [*range(100)]


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
    await world.send(*world.things(contract, 1, 2))
    async with world.consuming(tallying(contract.added, {1, 2})):
        await world.until("SELECT count(*) FROM dead_letter", equals=2)
    mended = tallying(contract.added)

    async def die(_self, conn) -> None:
        await conn.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with planted(fault):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Parking, "store", die)
            with pytest.raises(asyncpg.PostgresError):
                await world.hand_back(mended)
        assert len((await world.hand_back(mended)).handed_back) == 2
        async with world.consuming(mended):
            await world.until("SELECT times FROM tally", equals=2)


def a_retry_never_fails(patch) -> None:
    patch.setattr(parked, "is_transient", lambda _: True)


@pytest.mark.parametrize("fault", [None, a_retry_never_fails])
async def test_what_fails_again_dies_again_with_its_new_error_and_keeps_nobody_waiting(world, tallying, planted, fault):
    contract = await world.contract()
    await world.send(*world.things(contract, 101, 2))
    async with world.consuming(tallying(strict(contract), {2})):
        await world.until("SELECT count(*) FROM dead_letter", equals=2)
    half_mended = tallying(contract.added, {101})
    with planted(fault):
        async with world.consuming(half_mended):
            outcome = await world.hand_back(half_mended)
            told = await repair.fate(world.database, outcome.handed_back, seconds=2 if fault else 60)
        assert told == repair.Fate(done=1, died_again=1, waiting=0)
        dead = await world.admin.fetchrow("SELECT * FROM dead_letter")
        assert (dead["error_class"], dead["offset"], dead["unread"]) == ("DivisionByZeroError", 0, False)
        assert await world.seen("a") == [2]
        assert len((await world.hand_back(tallying(contract.added))).handed_back) == 1


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
    events = world.things(contract, 101, 2)
    sent = await world.send(*events)
    async with world.consuming(tallying(strict(contract), {2})):
        await world.until("SELECT count(*) FROM dead_letter", equals=2)
    await world.admin.execute("DELETE FROM inbox")
    mended = tallying(contract.added)
    await world.send(*events, event_ids=sent)
    with planted(fault):
        async with world.consuming(mended):
            await world.until("SELECT times FROM tally", equals=2)
            outcome = await world.hand_back(mended)
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
    await world.send(*world.things(contract, 101))
    records = await world.published(contract.topic)
    await inbox.Inbox(world.service, tallying(strict(contract)), world.database).process(Group.FACTS, records)
    with planted(fault):
        half_mended = inbox.Inbox(world.service, tallying(contract.added, {101}), world.database)
        await half_mended.process(Group.FACTS, records)
        mended = tallying(contract.added)
        assert len((await world.hand_back(mended)).handed_back) == 1
        assert await parked.Parked(world.service, mended, world.database).one()
        assert await world.seen("a") == [101]
