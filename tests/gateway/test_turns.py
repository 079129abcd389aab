"""Requests to a service go in turns, and no store's long or many requests keep another's from it."""

import asyncio

import pytest

from gateway.refusals import TooManyAtOnce, UpstreamBusy
from gateway.turns import Turns


@pytest.fixture
def turns():
    """Sixteen at once: one for each store, and eight for all that want more."""
    return Turns(16)


@pytest.fixture
async def asking(turns):
    """Requests that have come: at work, or waiting. None outlives its test."""
    tasks: list[asyncio.Task] = []

    async def come(store, many):
        new = [asyncio.create_task(turns.take(store, 5.0)) for _ in range(many)]
        tasks.extend(new)
        await settled()
        return new

    yield come
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def at_work(tasks):
    return sum(task.done() and not task.cancelled() and task.exception() is None for task in tasks)


async def settled():
    for _ in range(5):
        await asyncio.sleep(0)


async def test_all_who_want_more_than_a_few_share_half_and_the_others_do_not_wait(turns, asking):
    ann, bob = await asking("ann", 20), await asking("bob", 20)
    eve, kim = await asking("eve", 1), await asking("kim", 1)
    assert [at_work(tasks) for tasks in (ann, bob, eve, kim)] == [1 + 8, 1, 1, 1]
    turns.give_back("ann")
    await settled()
    assert at_work(ann) + at_work(bob) == 10 + 1


async def test_a_turn_of_its_own_is_for_who_of_a_store_waits(turns, asking):
    await asking("ann", 20)
    bob = await asking("bob", 2)
    turns.give_back("bob")
    await settled()
    assert at_work(bob) == 2


async def test_stores_take_turns_and_of_a_store_who_waited_longest(turns, asking):
    ann, bob = await asking("ann", 13), await asking("bob", 5)
    for _ in range(4):
        turns.give_back("ann")
        await settled()
    assert (at_work(ann), at_work(bob)) == (9 + 2, 1 + 2)
    assert [task.done() for task in ann] == [True] * 11 + [False] * 2


async def test_more_of_a_store_than_may_wait_are_turned_away_and_others_are_not(turns, asking):
    await asking("ann", 9 + 32)
    with pytest.raises(TooManyAtOnce):
        await turns.take("ann", 5.0)
    await turns.take("bob", 5.0)


async def test_more_of_all_stores_than_may_wait_are_turned_away_but_for_who_asks_for_little(turns, asking):
    await asking("ann", 9 + 32)
    await asking("bob", 1 + 32)
    await asking("eve", 1)
    waits = await asking("eve", 1)
    with pytest.raises(UpstreamBusy):
        await turns.take("eve", 5.0)
    turns.give_back("eve")
    await settled()
    assert at_work(waits) == 1


async def test_who_waits_too_long_is_told_whether_it_is_their_own_doing(turns, asking):
    await asking("ann", 10)
    with pytest.raises(TooManyAtOnce):
        await turns.take("ann", 0.02)
    for number in range(7):
        await asking(f"store {number}", 1)
    with pytest.raises(UpstreamBusy):
        await turns.take("bob", 0.02)


async def test_who_gives_up_keeps_no_turn(turns, asking):
    await asking("ann", 9)
    waiting = await asking("ann", 3)
    for task in waiting:
        task.cancel()
    turns.give_back("ann")  # before they know that they have left
    await asyncio.wait(waiting)
    assert at_work(await asking("ann", 2)) == 1


async def test_a_turn_that_comes_as_one_leaves_goes_to_the_next(turns, asking):
    await asking("ann", 9)
    first, second = await asking("ann", 2)
    turns.give_back("ann")
    first.cancel()
    await settled()
    assert (first.cancelled(), at_work([second])) == (True, True)


async def test_a_store_that_has_nothing_under_way_is_forgotten(turns):
    for store in ("ann", "bob"):
        await turns.take(store, 1.0)
        turns.give_back(store)
    assert not turns._at_work
    assert not turns._waiting


async def test_whatever_is_asked_and_given_up_no_turn_is_lost(turns):
    async def one(n):
        store = f"store-{n % 3}"
        try:
            async with asyncio.timeout(0.001 * (n % 7)):
                await turns.take(store, 0.003)
        except (TimeoutError, TooManyAtOnce, UpstreamBusy):
            return
        await asyncio.sleep(0.001 * (n % 2))
        turns.give_back(store)

    for _ in range(20):
        await asyncio.gather(*(one(n) for n in range(120)))
    assert (turns._at_work, turns._waiting) == ({}, {})
