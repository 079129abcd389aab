"""Promotions are given a slice at a time: what dies is done again, nothing is given twice, and nobody waits for others."""

import asyncio
import time
from uuid import UUID

import pytest
from giving import GIVING
from typeid import TypeID

from chassis import ids
from chassis.timers import one_slice
from contracts.ids import CUSTOMER
from wallet import store_promotions


async def test_a_slice_that_dies_after_posting_is_done_again_and_gives_nothing_twice(promoter, monkeypatch):
    customers = await promoter.customers(1201)
    promotion_id = await promoter.started(customers)
    write = store_promotions.record

    async def dies(conn, *args):
        await write(conn, *args)
        raise ConnectionError

    for _ in range(3):
        with monkeypatch.context() as patched:
            patched.setattr(store_promotions, "record", dies)
            with pytest.raises(ConnectionError):
                await one_slice(promoter.worker, GIVING)
        posted = len(await promoter.entries())
        await one_slice(promoter.worker, GIVING)
        its = await promoter.of(promotion_id)
        assert len(await promoter.entries()) == its["granted"] == min(posted + 500, 1201)
    assert its["status"] == "FINISHED"
    assert await promoter.entries() == [(customer, 500) for customer in sorted(customers)]


async def test_the_database_alone_refuses_to_give_twice(promoter, monkeypatch):
    """The planted fault: what is done is not recorded and not looked for, and the unique key is the lock that holds."""

    async def forgets(*_):
        return []

    promotion_id = await promoter.started(await promoter.customers(2))
    monkeypatch.setattr(store_promotions, "record", forgets)
    await one_slice(promoter.worker, GIVING)
    await one_slice(promoter.worker, GIVING)
    assert len(await promoter.entries()) == 2
    monkeypatch.setattr(store_promotions, "already_given", forgets)
    with pytest.raises(Exception, match="entry_promotion"):
        await one_slice(promoter.worker, GIVING)
    assert len(await promoter.entries()) == 2
    await promoter.execute(
        "UPDATE promotion SET granted = 2, granted_minor = 1000 WHERE promotion_id = $1", promotion_id
    )
    await promoter.execute(
        """
        UPDATE promotion_recipient r SET status = 'GRANTED', entry_id = e.entry_id FROM entry e
        WHERE r.promotion_id = $1 AND e.cause_id = r.promotion_id AND e.customer_id = r.customer_id
        """,
        promotion_id,
    )


async def test_the_timer_at_work_in_two_processes_gives_once(promoter):
    await promoter.started(await promoter.customers(700))
    await asyncio.gather(*(one_slice(promoter.worker, GIVING) for _ in range(8)))
    await promoter.give()
    assert len(await promoter.entries()) == 700


async def test_slices_give_while_the_same_customers_spend_and_get(promoter, ledger):
    customers = await promoter.customers(40)
    promotion_id = await promoter.started(customers)
    work = [ledger.append(*(ledger.gift(customer, 1) for customer in customers[::step])) for step in (1, -1) * 5]
    await asyncio.gather(promoter.give(), *work)
    assert (await promoter.of(promotion_id))["granted"] == 40


def minted(minutes_ago):
    """An id of a customer, that long old."""
    milliseconds = int((time.time() - minutes_ago * 60) * 1000)
    return str(TypeID.from_uuid(UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62), prefix=CUSTOMER))


async def test_a_customer_of_whom_we_have_not_heard_yet_is_waited_for(promoter):
    (known,), late = await promoter.customers(1), ids.new(CUSTOMER)
    promotion_id = await promoter.started([known, late])
    await promoter.give()
    assert await promoter.outcomes(promotion_id) == {known: ("GRANTED", None), late: ("PENDING", None)}
    assert (await promoter.of(promotion_id))["status"] == "RUNNING"
    await promoter.know(late)
    await promoter.give()
    assert (await promoter.of(promotion_id))["status"] == "FINISHED"
    assert len(await promoter.entries()) == 2


async def test_those_who_are_waited_for_hold_up_nobody_behind_them(promoter):
    late = [ids.new(CUSTOMER) for _ in range(600)]
    known = await promoter.customers(3)
    promotion_id = await promoter.started([*late, *known])
    assert await one_slice(promoter.worker, GIVING) == 3
    assert [customer for customer, _ in await promoter.entries()] == sorted(known)
    assert await one_slice(promoter.worker, GIVING) == 0
    assert (await promoter.of(promotion_id))["status"] == "RUNNING"
    await promoter.know(*late)
    await promoter.give()
    its = await promoter.of(promotion_id)
    assert (its["status"], its["granted"], its["refused"]) == ("FINISHED", 603, {})


async def test_an_unknown_customer_is_waited_for_until_the_id_is_an_hour_old(promoter):
    old, young, ahead, far_ahead = [minted(minutes) for minutes in (61, 59, -59, -61)]
    (known,) = await promoter.customers(1)
    promotion_id = await promoter.started([old, young, ahead, far_ahead, known])
    await promoter.give()
    waits, refused = ("PENDING", None), ("REFUSED", "unknown_customer")
    expected = {old: refused, young: waits, ahead: waits, far_ahead: refused, known: ("GRANTED", None)}
    assert await promoter.outcomes(promotion_id) == expected
    assert (await promoter.of(promotion_id))["status"] == "RUNNING"


async def test_promotions_that_only_wait_let_others_go_first(promoter):
    """Also when more of them wait than are looked at in one go: they take turns."""
    waiting = [await promoter.started([ids.new(CUSTOMER)]) for _ in range(7)]
    other = await promoter.started(await promoter.customers(501))
    await one_slice(promoter.worker, GIVING)
    assert [await one_slice(promoter.worker, GIVING) for _ in range(2)] == [500, 0]
    await promoter.give()
    assert (await promoter.of(other))["granted"] >= 500
    assert {(await promoter.of(its))["status"] for its in waiting} == {"RUNNING"}
    await promoter.give()
    assert (await promoter.of(other))["status"] == "FINISHED"


async def test_promotions_take_turns(promoter):
    """A large one does not hold up a small one that came later."""
    large, small = (
        await promoter.started(await promoter.customers(1001)),
        await promoter.started(await promoter.customers(1)),
    )
    await one_slice(promoter.worker, GIVING)
    await one_slice(promoter.worker, GIVING)
    assert [(await promoter.of(its))["status"] for its in (large, small)] == ["RUNNING", "FINISHED"]
    await promoter.give()


async def test_a_promotion_waits_while_much_is_unpublished(promoter):
    customers = await promoter.customers(1)
    await promoter.started(customers)
    await promoter.execute(
        """
        INSERT INTO outbox (event_id, topic, key, type, store_id, payload)
        SELECT uuidv7(), 't', 'k', 'x', $1, '' FROM generate_series(1, 2001)
        """,
        promoter.store_id,
    )
    assert await one_slice(promoter.worker, GIVING) == 0
    assert await promoter.entries() == []
    await promoter.execute("DELETE FROM outbox WHERE seq = (SELECT min(seq) FROM outbox)")
    assert await one_slice(promoter.worker, GIVING) == 1
