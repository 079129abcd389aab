"""What becomes of an event: done once, parked, given up, or tried again."""

import asyncio
import contextlib
import json

import pytest

from chassis import db, inbox, received
from chassis import ids as chassis_ids
from chassis.handlers import Group
from chassis.inbox import NotYet, Router
from chassis.parking import Parking
from contracts.topics import EPHEMERAL


@contextlib.contextmanager
def planted(patch, fault):
    """With a fault the check must fail: it has one that can."""
    if fault is None:
        yield
        return
    with pytest.MonkeyPatch.context() as monkeypatch:
        patch(monkeypatch)
        with pytest.raises((AssertionError, TimeoutError)):
            yield


def everything_is_transient(patch) -> None:
    patch.setattr(inbox, "is_transient", lambda _: True)


@pytest.mark.parametrize("fault", [None, "a poison message is tried for ever"])
async def test_a_poison_message_among_a_thousand_ends_in_dead_letter_and_the_thousand_are_done(world, router_of, fault):
    contract = await world.contract(partitions=3)
    events = [contract.added(store_id=world.store_id, subject=f"s{n % 50}", number=n) for n in range(1000)]
    poison = contract.added(store_id=world.store_id, subject="s7", number=2**31)  # more than the column takes
    with planted(everything_is_transient, fault):
        sent = await world.send(*events[:500], poison, *events[500:])
        async with world.consuming(router_of(contract)):
            await world.until("SELECT count(*) FROM done", equals=1000, seconds=3 if fault else 20)
            await world.until("SELECT count(*) FROM dead_letter", equals=1)
    if fault is None:
        dead = await world.admin.fetchrow("SELECT * FROM dead_letter")
        assert json.loads(dead["headers"])["ce_id"] == str(sent[500])
        assert dead["payload"] == poison.body()
        assert str(2**31) not in dead["error"]
        assert await world.admin.fetchval("SELECT count(*) FROM inbox") == 1001
