"""One key, one effect, one reply (design §4)."""

import asyncio

import pytest
import specimen
from serving import customer, merchant, new_store, storefront

from chassis import idempotency, ids
from contracts.ids import CUSTOMER

PATHS = ["/parcels", "/bulk"]


@pytest.fixture(scope="module")
async def client(clone, serve):
    return await serve(specimen.service, await clone("specimen"))


@pytest.fixture
async def shop(client):
    """A store of its own for each test."""
    return client.as_(merchant(new_store()))


async def parcels(client) -> int:
    async with client.runtime.worker.transaction() as conn:
        return await conn.value("SELECT count(*) FROM parcel WHERE store_id = $1", client.caller.store_id)


@pytest.mark.parametrize("path", PATHS)
async def test_a_retry_gets_the_same_bytes_and_changes_nothing(shop, path):
    first = await shop.post(path, {"amount": 7.5}, key="k1")
    again = await shop.post(path, {"amount": 7.5}, key="k1")
    assert first.status == again.status == 201
    assert first.body == again.body
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert await parcels(shop) == 1


@pytest.mark.parametrize("path", PATHS)
async def test_fifty_at_once_have_one_effect_and_fifty_equal_replies(shop, path):
    replies = await asyncio.gather(*(shop.post(path, {"amount": 25, "slow": 0.02}, key="k") for _ in range(50)))
    assert {reply.status for reply in replies} == {201}
    assert len({reply.body for reply in replies}) == 1
    assert await parcels(shop) == 1


@pytest.mark.parametrize("path", PATHS)
async def test_another_body_is_refused(shop, path):
    await shop.post(path, {"amount": 1}, key="k")
    other = await shop.post(path, {"amount": 2}, key="k")
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    assert await parcels(shop) == 1


@pytest.mark.parametrize("path", PATHS)
async def test_other_bodies_at_once_are_refused_but_one(shop, path):
    replies = await asyncio.gather(*(shop.post(path, {"amount": n}, key="k") for n in range(1, 21)))
    assert sorted(reply.status for reply in replies) == [201] + [422] * 19
    assert await parcels(shop) == 1


@pytest.mark.parametrize("path", PATHS)
async def test_a_missing_key_is_refused(shop, path):
    assert (await shop.post(path, {"amount": 1})).code == "idempotency_key_missing"


@pytest.mark.parametrize("key", ["", "x" * 256, "ключ".encode().decode("latin-1")])
async def test_a_key_is_printable_ascii(shop, key):
    reply = await shop.post("/parcels", {"amount": 1}, key=key)
    assert (reply.status, reply.code) == (400, "idempotency_key_invalid")


async def test_quoted_and_bare_keys_are_one(shop):
    first = await shop.post("/parcels", {"amount": 1}, key='"k"')
    assert (await shop.post("/parcels", {"amount": 1}, key="k")).body == first.body


@pytest.mark.parametrize("path", PATHS)
async def test_a_decision_against_is_pinned_and_its_writes_undone(shop, path):
    first = await shop.post(path, {"amount": 666}, key="k")
    again = await shop.post(path, {"amount": 666}, key="k")
    assert (first.status, first.code) == (409, "too_heavy")
    assert first.body == again.body
    assert again.headers["idempotent-replayed"] == "true"
    assert await parcels(shop) == 0


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("amount", "status"), [(777, 429), (888, 500), (1.005, 422)])
async def test_what_was_no_decision_is_not_pinned(shop, path, amount, status):
    assert (await shop.post(path, {"amount": amount}, key="k")).status == status
    assert (await shop.post(path, {"amount": 1}, key="k")).status == 201
    assert await parcels(shop) == 1


async def test_one_bad_member_of_a_batch_never_fails_its_neighbours(shop):
    amounts = [1] * 60 + [888, 666, 777]
    replies = await asyncio.gather(*(shop.post("/bulk", {"amount": a}, key=f"k{i}") for i, a in enumerate(amounts)))
    assert [reply.status for reply in replies] == [201] * 60 + [500, 409, 429]
    assert await parcels(shop) == 60


async def test_two_customers_with_one_key_never_see_each_others_reply(shop):
    one, other = (shop.as_(customer(shop.caller.store_id, ids.new(CUSTOMER))) for _ in range(2))
    first, second = [await who.post("/parcels", {"amount": 3}, key="same") for who in (one, other)]
    assert first.body != second.body
    assert "idempotent-replayed" not in second.headers


async def test_two_stores_with_one_key_never_see_each_others_reply(shop):
    other = shop.as_(merchant(new_store()))
    assert (await shop.post("/parcels", {"amount": 3}, key="k")).body != (
        await other.post("/parcels", {"amount": 3}, key="k")
    ).body


@pytest.mark.parametrize("path", PATHS)
async def test_a_key_that_is_swept_while_it_is_claimed_is_free(shop, path, monkeypatch):
    find = idempotency._find

    async def swept_before(conn, keys):
        async with shop.runtime.worker.transaction() as sweeper:
            await idempotency.forget(sweeper, keys)
        return await find(conn, keys)

    first = await shop.post(path, {"amount": 1}, key="k")
    monkeypatch.setattr(idempotency, "_find", swept_before)
    second = await shop.post(path, {"amount": 1}, key="k")
    assert (first.status, second.status) == (201, 201)
    assert await parcels(shop) == 2


async def test_a_caller_who_hangs_up_is_completed_all_the_same(shop):
    with pytest.raises(asyncio.TimeoutError):
        async with asyncio.timeout(0.05):
            await shop.post("/parcels", {"amount": 4, "slow": 0.2}, key="k")
    reply = await shop.post("/parcels", {"amount": 4, "slow": 0.2}, key="k")
    assert reply.status == 201
    assert await parcels(shop) == 1


async def test_two_visitors_with_one_key_never_see_each_others_reply(shop):
    visitors = shop.as_(storefront(shop.caller.store_id))
    replies = [
        await visitors.post("/parcels", {"amount": 3}, key="vis-1", x_regulars_client_ip=address)
        for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1")
    ]
    assert replies[0].body == replies[2].body != replies[1].body
