"""Contacts and orders through the inbox: what is wrong with one event is its own affair."""

import pytest
from handling import records

from chassis import ids
from chassis.handlers import Group
from chassis.inbox import Inbox
from contracts.ids import CUSTOMER
from customers.consumers import router


@pytest.fixture
def inbox(worker):
    return Inbox("customers", router, worker)


async def told(shop, event_type):
    async with shop.worker.transaction() as conn:
        return await conn.value(
            "SELECT count(*) FROM outbox WHERE store_id = $1 AND type = $2", shop.store_id, event_type
        )


async def test_a_malformed_address_among_good_ones_is_given_up_alone_and_not_kept(shop, inbox):
    good = [shop.contact(f"p{n}@example.com") for n in range(20)]
    await inbox.process(Group.ASK, records(*good[:10], shop.contact("secret at example"), *good[10:]))
    assert await shop.count() == 20
    assert await told(shop, "customer.identified") == 20
    async with shop.worker.transaction() as conn:
        dead = await conn.rows("SELECT * FROM dead_letter WHERE headers ->> 'store_id' = $1", shop.store_id)
    assert [(row["payload"], row["error_class"]) for row in dead] == [(None, "EmailSyntaxError")]
    assert "secret" not in str(dead)


async def test_each_delivery_three_times_with_and_without_an_inbox_changes_nothing_more(shop, inbox):
    contact = shop.contact()
    await inbox.process(Group.ASK, records(contact))
    ann = await shop.customer_by_email(contact.email)
    facts = records(shop.order(ann, gross=1000), shop.order(ann, gross=500), shop.entry(ann, ids.new_uuid(), 1, 700))
    await inbox.process(Group.FACTS, facts)
    before = await shop.customer(ann)
    for _ in range(3):
        await inbox.process(Group.FACTS, facts)
        await shop.execute("DELETE FROM inbox")
        await inbox.process(Group.ASK, records(contact))
    assert await shop.customer(ann) == before
    assert (before.orders, before.net_minor, before.balance_minor) == (2, 1500, 700)
    assert [await told(shop, event_type) for event_type in ("customer.created", "customer.updated")] == [1, 1]


async def test_an_order_that_comes_before_its_customer_is_parked_and_the_others_are_done(new_shop, inbox):
    shop = await new_shop()
    ann, nobody = await shop.meet(), ids.new(CUSTOMER)
    await inbox.process(Group.FACTS, records(shop.order(nobody), shop.order(ann, gross=500)))
    assert (await shop.customer(ann)).net_minor == 500
    async with shop.worker.transaction() as conn:
        assert await conn.rows("SELECT key, reason FROM parked WHERE store_id = $1", shop.store_id) == [
            (nobody, "customer")
        ]
