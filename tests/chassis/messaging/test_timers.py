"""What happens because time passes: slice by slice, one process at a time."""

import asyncio
from datetime import timedelta

import pytest
from patience import until

from chassis import timers
from chassis.timers import Timer, one_slice


def nobody_locks(patch) -> None:
    async def unlocked(database, timer):
        async with database.transaction() as conn:
            return await timer.run(conn, None)

    patch.setattr(timers, "one_slice", unlocked)


@pytest.mark.parametrize("fault", [None, nobody_locks])
async def test_two_processes_never_do_the_same_slice_at_once(world, planted, fault):
    at_work, most, slices = 0, 0, 0

    async def work(conn, now) -> int:
        nonlocal at_work, most, slices
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(0.01)
        at_work -= 1
        slices += 1
        return 1

    timer = Timer("work", every=timedelta(milliseconds=1), run=work)
    with planted(fault):
        await run_until(lambda: slices > 30 or most > 1, timer.loop(world.database), timer.loop(world.database))
        assert most == 1


async def test_slices_follow_each_other_while_they_come_back_full_and_a_failure_is_tried_again(world):
    results, done = iter([3, 3, 1]), []

    async def work(conn, now) -> int:
        if not done:
            done.append("failed")
            await conn.execute("SELECT 1 / 0")
        done.append(result := next(results))
        return result

    timer = Timer("work", every=timedelta(seconds=60), run=work, slice=3)
    await run_until(lambda: len(done) == 4, timer.loop(world.database))
    assert done == ["failed", 3, 3, 1]


async def run_until(happened, *work) -> None:
    tasks = [asyncio.create_task(coroutine) for coroutine in work]
    await until(happened, seconds=60)
    await asyncio.sleep(0.2)  # time for what should not happen
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_the_inbox_need_not_remember_is_forgotten(world):
    await world.admin.execute(
        "INSERT INTO inbox SELECT uuidv7(), now() - interval '1 day' * n FROM generate_series(1, 20) n"
    )
    await world.admin.execute("INSERT INTO answer VALUES ('old', now() - interval '2 days'), ('new', now())")
    assert [await one_slice(world.database, timer) for timer in timers.OWN] == [7, 1]
    assert await world.count("inbox") == 13
    assert await world.admin.fetchval("SELECT request_id FROM answer") == "new"
