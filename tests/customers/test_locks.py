"""Everybody locks customers in the order of their ids, whatever order their events, e-mails and rows are in."""

import asyncio

import pytest
from handling import somebody_waits

from chassis import clock, ids
from contracts.ids import CUSTOMER
from customers import contacts, store
from customers.consumers import on_cart_contact_given, on_orders_completed
from customers.figures import Who


@pytest.fixture
async def zoe_and_ann(shop):
    """Zoe has the lower id, Ann lies first in the table: rows are made in the order of their e-mails."""
    told = await shop.tell(on_cart_contact_given, shop.contact("zoe@example.com"), shop.contact("ann@example.com"))
    zoe, ann = (event.customer_id for event in told[2:])
    assert zoe < ann
    return zoe, ann


@pytest.mark.parametrize("back", [False, True])
async def test_contacts_lock_in_the_order_of_ids(shop, zoe_and_ann, back):
    zoe, ann = zoe_and_ann
    contacts = [shop.contact("ann@example.com"), shop.contact("zoe@example.com")]
    async with shop.holding(zoe):
        task = asyncio.create_task(shop.tell(on_cart_contact_given, *(reversed(contacts) if back else contacts)))
        await somebody_waits(shop.worker)
        assert await shop.is_free(ann)
    assert len(await task) == 2


@pytest.mark.parametrize("back", [False, True])
async def test_records_are_made_in_the_order_of_their_addresses(shop, back):
    """Who waits for somebody making an earlier address keeps nobody waiting for a later one."""

    async def make(conn, address):
        contact = contacts.read(shop.contact(address))
        return await store.add_customers(conn, [(Who(shop.store_id, ids.new(CUSTOMER)), contact)], clock.now())

    given = [shop.contact("ann@example.com"), shop.contact("zoe@example.com")]
    async with shop.worker.transaction() as first:
        await make(first, "ann@example.com")
        task = asyncio.create_task(shop.tell(on_cart_contact_given, *(reversed(given) if back else given)))
        await somebody_waits(shop.worker)
        async with shop.worker.transaction() as second:
            await second.execute("SET LOCAL lock_timeout = '1s'")
            assert len(await make(second, "zoe@example.com")) == 1
    assert len(await task) == 2
    assert await shop.count() == 2


@pytest.mark.parametrize("back", [False, True])
async def test_orders_lock_in_the_order_of_ids(shop, zoe_and_ann, back):
    zoe, ann = zoe_and_ann
    orders = [shop.order(ann), shop.order(zoe)]
    async with shop.holding(zoe):
        task = asyncio.create_task(shop.tell(on_orders_completed, *(reversed(orders) if back else orders)))
        await somebody_waits(shop.worker)
        assert await shop.is_free(ann)
    assert len(await task) == 2
