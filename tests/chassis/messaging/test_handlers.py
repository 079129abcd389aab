"""Which handler gets what, and in which order."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.handlers import Group
from chassis.inbox import Router
from chassis.waves import waves
from contracts.fraud import BlockAdded, BlockRemoved, ScreeningDecided

events = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["added", "removed", "changed"])), max_size=40)


async def on_one(event: BlockAdded, conn) -> None: ...


async def on_many(events: Sequence[BlockAdded], conn) -> None: ...


async def on_many_as_text(events: "Sequence[BlockAdded]", conn) -> None: ...


def test_a_handler_stays_the_plain_function_it_was():
    assert Router().on(BlockAdded)(on_one) is on_one


@pytest.mark.parametrize(("function", "batch"), [(on_one, False), (on_many, True), (on_many_as_text, True)])
def test_a_handler_of_a_sequence_gets_all_events_of_a_wave(function, batch):
    router = Router()
    router.on(BlockAdded)(function)
    assert router.handler("verdicts", "block.added").batch is batch


def test_an_event_has_one_handler():
    router, other = Router(), Router()
    router.on(BlockAdded)(on_one)
    other.on(BlockAdded)(on_many)
    with pytest.raises(ValueError, match="two handlers"):
        router.include(other)


def test_a_topic_is_read_by_one_group():
    router, other = Router(), Router()
    router.on(BlockAdded)(on_one)
    other.on_ask(ScreeningDecided)(on_one)
    with pytest.raises(ValueError, match="two groups"):
        router.include(other)


def test_an_included_router_keeps_its_groups():
    router, other = Router(), Router()
    other.on_ask(BlockRemoved)(on_one)
    router.include(other)
    assert (router.topics(Group.ASK), router.topics(Group.FACTS)) == (["verdicts"], [])
    assert router.handler("verdicts", "block.added") is None


@given(events)
def test_waves_keep_the_order_of_each_key_and_lose_nothing(pairs):
    items = [(n, *pair) for n, pair in enumerate(pairs)]
    groups = waves(items, key=lambda item: item[1], kind=lambda item: item[2])
    handled = [item for group in groups for item in group]
    for key in "abc":
        assert [item for item in handled if item[1] == key] == [item for item in items if item[1] == key]
    assert sorted(handled) == items
    assert all(len({kind for _, _, kind in group}) == 1 for group in groups)


def test_many_keys_with_the_same_history_are_as_few_groups_as_one():
    items = [(key, kind) for kind in ("added", "removed", "added") for key in range(100)]
    assert len(waves(items, key=lambda item: item[0], kind=lambda item: item[1])) == 3
