"""The gateway asks who some ids are."""

import pytest
from serving import merchant, storefront

from chassis import ids
from contracts.ids import CUSTOMER
from customers.main import service

PATH = "/internal/v1/contacts"


@pytest.fixture(scope="module")
async def server(serve, database):
    return await serve(service, database)


@pytest.fixture
async def gateway(server, shop):
    return server.as_(storefront(shop.store_id, ["internal"]))


async def told(client, *customer_ids):
    reply = await client.get(f"{PATH}?{'&'.join(f'id={one}' for one in customer_ids)}")
    assert reply.status == 200, reply.body
    return reply.data


async def merge(shop, tombstone, into):
    await shop.execute(
        "UPDATE customer SET state = 'merged', merged_into = $3 WHERE store_id = $1 AND id = $2",
        shop.store_id,
        tombstone,
        into,
    )


async def erase(shop, customer_id):
    await shop.execute(
        "UPDATE customer SET state = 'erased' WHERE store_id = $1 AND id = $2", shop.store_id, customer_id
    )


async def test_each_id_is_told_with_name_email_and_phone(gateway, shop):
    ann = await shop.meet("ann@example.com", name="Ann", phone="+491701234567")
    bob = await shop.meet("bob@example.com")
    assert await told(gateway, ann, bob, ann) == {
        ann: {"name": "Ann", "email": "ann@example.com", "phone": "+491701234567"},
        bob: {"name": None, "email": "bob@example.com", "phone": None},
    }


async def test_who_was_merged_is_who_acts_for_them_under_the_id_that_was_asked(gateway, shop):
    ann, old, older = [await shop.meet(f"{name}@example.com") for name in ("ann", "old", "older")]
    await merge(shop, older, old)
    await merge(shop, old, ann)
    contact = {"name": None, "email": "ann@example.com", "phone": None}
    assert await told(gateway, older, old) == {older: contact, old: contact}


async def test_the_erased_are_left_out_and_so_is_who_was_merged_into_them(gateway, shop):
    ann, old, bob = [await shop.meet(f"{name}@example.com") for name in ("ann", "old", "bob")]
    await merge(shop, old, ann)
    await erase(shop, ann)
    assert (await told(gateway, ann, old, bob)).keys() == {bob}


async def test_merges_that_go_round_end_and_tell_nobody(gateway, shop):
    ann, bob = [await shop.meet(f"{name}@example.com") for name in ("ann", "bob")]
    await merge(shop, ann, bob)
    await merge(shop, bob, ann)
    assert await told(gateway, ann, bob) == {}


async def test_the_inactive_are_told_like_others(gateway, shop):
    ann = await shop.meet("ann@example.com")
    await shop.execute("UPDATE customer SET state = 'inactive' WHERE store_id = $1 AND id = $2", shop.store_id, ann)
    assert (await told(gateway, ann))[ann]["email"] == "ann@example.com"


@pytest.mark.parametrize("odd", [ids.new(CUSTOMER), "cus_1", "%27", "", "cus_" + "z" * 3000])
async def test_an_id_that_is_nobodys_is_left_out(gateway, shop, odd):
    ann = await shop.meet("ann@example.com")
    assert (await told(gateway, odd, ann)).keys() == {ann}


async def test_another_stores_customers_are_left_out(gateway, shop, new_shop):
    ann = await shop.meet("ann@example.com")
    theirs = await (await new_shop()).meet("ann@example.com")
    assert (await told(gateway, theirs, ann)).keys() == {ann}


async def test_a_hundred_are_told_at_once_and_more_are_refused(gateway, shop):
    met = [await shop.meet(f"c{number}@example.com") for number in range(100)]
    assert (await told(gateway, *met)).keys() == set(met)
    assert (await gateway.get(f"{PATH}?{'&'.join(f'id={one}' for one in [*met, met[0]])}")).status == 422
    assert (await gateway.get(PATH)).status == 422


async def test_only_the_gateway_may_ask(server, shop):
    ann = await shop.meet("ann@example.com")
    for caller in (merchant(shop.store_id, ["customers.read", "customers.write"]), storefront(shop.store_id, [])):
        assert (await server.as_(caller).get(f"{PATH}?id={ann}")).status == 403
    assert (await server.as_(None).get(f"{PATH}?id={ann}")).status == 401
