"""Who calls: keys at the door, and the word the gateway gives the services."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import asyncpg
import pytest

from chassis.tokens import Caller
from gateway import identity, keys, recent, scopes, store
from gateway.identity import Keyring, Tokens
from gateway.recent import Recent
from gateway.refusals import KeyNotValid

PEPPER = "a pepper of the tests"

ORDERS, CARTS = "/dev/v1/orders", "/storefront/v1/carts"


async def test_a_secret_key_becomes_a_merchant_with_its_scopes(world):
    world.carts.seen.clear()
    assert (await world.call("GET", ORDERS)).status == 200
    caller = world.carts.seen[0].caller("carts")
    assert (caller.store_id, caller.actor) == (world.store_id, "merchant")
    assert caller.actor_id == keys.read(world.secret).key_id
    assert caller.scopes == set(scopes.EVERY)


async def test_a_publishable_key_becomes_a_storefront(world):
    world.carts.seen.clear()
    assert (await world.call("POST", CARTS, key=world.publishable)).status == 200
    caller = world.carts.seen[0].caller("carts")
    assert (caller.store_id, caller.actor, caller.scopes) == (world.store_id, "storefront", set(scopes.STOREFRONT))


async def test_a_token_is_for_one_service_only(world):
    world.carts.seen.clear()
    await world.call("GET", ORDERS)
    assert world.carts.seen[0].caller("customers") is None


async def test_a_publishable_key_opens_no_merchant_path(world):
    world.carts.seen.clear()
    reply = await world.call("GET", ORDERS, key=world.publishable)
    assert (reply.status, reply.code) == (403, "insufficient_scope")
    assert world.carts.seen == []


async def test_a_secret_key_opens_the_storefront(world):
    assert (await world.call("GET", f"{CARTS}/cart_1", key=world.secret)).status == 200


def forged(text: str) -> list[str]:
    key = keys.read(text)
    return [
        keys.Key("publishable", key.key_id, key.secret).text,
        keys.Key("secret", key.key_id, "0" * 32).text,
        keys.mint("secret").text,
        text[:-1],
        text.upper(),
        "eyJhbGciOiJub25lIn0.e30.",
        "",
    ]


async def test_what_is_not_a_key_of_ours_opens_nothing(world):
    world.carts.seen.clear()
    for wrong in forged(world.secret):
        reply = await world.call("GET", CARTS, key=None, authorization=f"Bearer {wrong}")
        assert (reply.status, reply.code) == (401, "unauthenticated")
    for header in ({}, {"authorization": world.secret}, {"authorization": f"Basic {world.secret}"}):
        reply = await world.call("GET", CARTS, key=None, **header)
        assert (reply.status, reply.code, reply.headers["www-authenticate"]) == (401, "unauthenticated", "Bearer")
    assert world.carts.seen == []


async def test_a_token_of_the_gateway_is_no_key(world):
    world.carts.seen.clear()
    await world.call("GET", ORDERS)
    token = world.carts.seen[0].headers["authorization"]
    assert (await world.call("GET", ORDERS, key=None, authorization=token)).status == 401


async def test_a_revoked_key_is_refused_within_five_seconds(world):
    key = await world.new_key(world.store_id)
    assert (await world.call("GET", ORDERS, key=key)).status == 200
    async with world.worker.transaction() as conn:
        await store.revoke_key(conn, world.store_id, keys.read(key).key_id)
    revoked_at = asked_at = time.monotonic()
    while (await world.call("GET", ORDERS, key=key)).status != 401:
        assert asked_at - revoked_at < 5
        await asyncio.sleep(0.1)
        asked_at = time.monotonic()


async def test_an_expired_key_is_refused_though_it_is_remembered(world, monkeypatch):
    over = datetime.now(UTC) + timedelta(hours=1)
    key = await world.new_key(world.store_id, expires_at=over)
    assert (await world.call("GET", ORDERS, key=key)).status == 200
    monkeypatch.setattr(store, "key_of", None)
    monkeypatch.setattr(identity, "datetime", SimpleNamespace(now=lambda _zone: over))
    assert (await world.call("GET", ORDERS, key=key)).status == 401


async def test_each_store_has_its_own_keys(world):
    other = await world.open_store("other")
    key = await world.new_key(other.store_id)
    world.carts.seen.clear()
    await world.call("GET", ORDERS, key=key)
    assert world.carts.seen[0].caller("carts").store_id == other.store_id


async def test_guesses_cost_no_query_and_a_crowd_costs_one(world, monkeypatch):
    asked = []
    real = store.key_of

    async def counted(conn, key_id):
        asked.append(key_id)
        return await real(conn, key_id)

    monkeypatch.setattr(store, "key_of", counted)
    key = await world.new_key(world.store_id)
    await asyncio.gather(*(world.call("GET", ORDERS, key=key) for _ in range(30)))
    unknown = keys.mint("secret").text
    await asyncio.gather(*(world.call("GET", ORDERS, key=unknown) for _ in range(30)))
    await asyncio.gather(*(world.call("GET", ORDERS, key=key[:-1] + "-") for _ in range(30)))
    assert asked == [keys.read(key).key_id, keys.read(unknown).key_id]


async def test_the_same_token_is_used_for_half_its_life(monkeypatch):
    now, signed = [1000.0], []

    class Counting:
        def sign(self, caller, service):
            signed.append((caller, service))
            return f"token {len(signed)}"

    monkeypatch.setattr(recent.time, "monotonic", lambda: now[0])
    tokens = Tokens(Counting())
    a, b = (Caller("store", "merchant", name) for name in "ab")
    assert [tokens.token(a, "carts"), tokens.token(a, "carts")] == ["token 1", "token 1"]
    assert [tokens.token(a, "wallet"), tokens.token(b, "carts")] == ["token 2", "token 3"]
    now[0] += 30.0
    assert tokens.token(a, "carts") == "token 4"


async def test_without_a_database_what_is_remembered_opens_and_nothing_else(world):
    fresh = await world.new_key(world.store_id)
    admin = await asyncpg.connect(world.database.admin_url)
    try:
        await world.call("GET", ORDERS)
        await admin.execute("REVOKE EXECUTE ON FUNCTION key_of FROM gateway_api")
        assert (await world.call("GET", ORDERS)).status == 200
        reply = await world.call("GET", ORDERS, key=fresh)
        assert (reply.status, reply.code, reply.headers["retry-after"]) == (503, "unavailable", "1")
    finally:
        await admin.execute("GRANT EXECUTE ON FUNCTION key_of TO gateway_api")
        await admin.close()
    assert (await world.call("GET", ORDERS, key=fresh)).status == 200


def test_what_is_remembered_is_bounded_and_the_oldest_goes_first():
    held = Recent(10.0, size=1000)
    for number in range(1500):
        held.put(number, value=True)
    assert len(held) == 1000
    assert [held.get(number) for number in (499, 500, 1499)] == [None, True, True]


async def test_guesses_push_no_known_key_out(world, monkeypatch):
    keyring = Keyring(world.runtime.api, PEPPER)
    keyring._known, keyring._unknown = Recent(60.0, size=5), Recent(60.0, size=5)
    await keyring.principal(f"Bearer {world.secret}")
    for _ in range(20):
        with pytest.raises(KeyNotValid):
            await keyring.principal(f"Bearer {keys.mint('secret').text}")
    monkeypatch.setattr(store, "key_of", None)
    assert (await keyring.principal(f"Bearer {world.secret}")).caller.store_id == world.store_id
