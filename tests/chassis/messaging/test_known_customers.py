"""Who HTTP and consumers may act for: known at once, waited for briefly, or not there."""

import asyncio
import time

import pytest

from chassis import ids, known_customers, stores
from chassis.inbox import NotYet
from chassis.known_customers import KnownCustomers
from contracts.ids import CUSTOMER, STORE


def nobody_waits(patch) -> None:
    patch.setattr(known_customers, "_PATIENCE", 0)


def merges_are_not_followed(patch) -> None:
    acting = known_customers.acting

    async def as_asked(conn, pairs):
        return {pair: known._replace(acting_id=pair[1]) for pair, known in (await acting(conn, pairs)).items()}

    patch.setattr(known_customers, "acting", as_asked)


async def know(world, customer_id: str, state: str = "active", merged_into: str | None = None) -> None:
    await world.admin.execute(
        "INSERT INTO known_customer VALUES ($1, $2, 1, $3, $4)", world.store_id, customer_id, state, merged_into
    )


@pytest.mark.parametrize("fault", [None, nobody_waits])
async def test_a_customer_made_a_moment_ago_is_waited_for_without_a_connection(world, planted, fault, monkeypatch):
    monkeypatch.setattr(known_customers, "_PATIENCE", 60)
    known, customers = KnownCustomers(world.api), [ids.new(CUSTOMER) for _ in range(50)]
    with planted(fault):
        lookups = asyncio.gather(*(known.resolve(world.store_id, customer) for customer in customers))
        await asyncio.sleep(0.2)
        assert world.api.pool.get_size() - world.api.pool.get_idle_size() <= 1
        for customer in customers:
            await know(world, customer)
        assert await lookups == customers
        assert known._asked == {}


async def test_an_older_unknown_id_and_what_is_no_id_are_refused_at_once(world, at_another_time, monkeypatch):
    monkeypatch.setattr(known_customers, "_PATIENCE", 60)
    known, started = KnownCustomers(world.api), time.monotonic()
    strangers = [at_another_time(CUSTOMER, 61), "cus_", "cus_01", ids.new(STORE), "", "cus_" + "z" * 26, "x" * 10_000]
    assert [await known.resolve(world.store_id, stranger) for stranger in strangers] == [None] * len(strangers)
    assert time.monotonic() - started < 30


async def test_an_id_nobody_makes_is_given_up_after_two_seconds(world, monkeypatch):
    monkeypatch.setattr(known_customers, "_PATIENCE", 0.2)
    assert await KnownCustomers(world.api).resolve(world.store_id, ids.new(CUSTOMER)) is None


@pytest.mark.parametrize("fault", [None, merges_are_not_followed])
async def test_a_merged_customer_acts_as_the_last_of_the_chain_and_an_erased_one_not_at_all(world, planted, fault):
    first, second, third, erased, loop = (ids.new(CUSTOMER) for _ in range(5))
    await know(world, first, "merged", second)
    await know(world, second, "merged", third)
    await know(world, third)
    await know(world, erased, "erased")
    await know(world, loop, "merged", loop)
    known = KnownCustomers(world.api)
    with planted(fault):
        assert await known.resolve(world.store_id, first) == third
    assert await known.resolve(world.store_id, third) == third
    assert await known.resolve(world.store_id, erased) is None


async def test_another_store_does_not_know_the_customer(world, monkeypatch):
    monkeypatch.setattr(known_customers, "_PATIENCE", 0.1)
    customer = ids.new(CUSTOMER)
    await know(world, customer)
    assert await KnownCustomers(world.api).resolve(ids.new(STORE), customer) is None


async def test_lookups_that_come_together_are_one_query(world, monkeypatch):
    acting, queries = known_customers.acting, []

    async def counted(conn, pairs):
        queries.append(len(list(pairs)))
        return await acting(conn, pairs)

    monkeypatch.setattr(known_customers, "acting", counted)
    customers = [ids.new(CUSTOMER) for _ in range(64)]
    for customer in customers:
        await know(world, customer)
    known = KnownCustomers(world.api)
    assert await asyncio.gather(*(known.resolve(world.store_id, customer) for customer in customers)) == customers
    assert queries == [64]


async def test_a_lookup_that_fails_is_an_error_for_its_callers_only(world):
    known = KnownCustomers(world.api)
    with pytest.raises(ValueError, match="store"):
        await known.resolve("no store", ids.new(CUSTOMER))
    customer = ids.new(CUSTOMER)
    await know(world, customer)
    assert await known.resolve(world.store_id, customer) == customer


async def test_a_store_not_heard_of_is_not_yet_there_and_a_known_one_keeps_its_currency(world):
    async with world.api.transaction(world.store_id) as conn:
        with pytest.raises(NotYet):
            await stores.currency(conn, world.store_id)
        await world.admin.execute(
            "INSERT INTO store VALUES ($1, 's', 'EUR', 'de', 'https://s.example')", world.store_id
        )
        assert await stores.currency(conn, world.store_id) == "EUR"
        assert await stores.store(conn, world.store_id) == stores.Store("s", "EUR", "de", "https://s.example")
