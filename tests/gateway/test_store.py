"""Stores and keys in the database: who may see them, and what a leak would show."""

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime

import asyncpg
import pytest
from serving import _KEY

from contracts.stores import StoreCreated
from gateway import keys, scopes, store

PEPPER = "a pepper of the tests"


async def opened(worker, slug, **more):
    given = {"currency": "EUR", "locale": "en", "url": "https://shop.example"} | more
    async with worker.transaction() as conn:
        return await store.create_store(conn, slug=slug, **given)


async def rows(url, sql, *args):
    conn = await asyncpg.connect(url)
    try:
        return await conn.fetch(sql, *args)
    finally:
        await conn.close()


async def test_a_new_store_is_announced_with_the_commit(worker, database):
    made = await opened(worker, "announced", currency="JPY")
    found = await rows(database.worker_url, "SELECT * FROM outbox WHERE store_id = $1", made.store_id)
    assert [(row["topic"], row["key"], row["type"]) for row in found] == [("stores", made.store_id, "store.created")]
    event = StoreCreated.parse(made.store_id, found[0]["payload"])
    assert (event.slug, event.currency, event.url) == ("announced", "JPY", "https://shop.example")


async def test_of_stores_opened_at_once_with_one_slug_there_is_one(worker, database):
    made = await asyncio.gather(*(opened(worker, "race") for _ in range(8)))
    assert len([each for each in made if each is not None]) == 1
    found = await rows(database.worker_url, "SELECT convert_from(payload, 'UTF8') FROM outbox")
    assert len([row for row in found if json.loads(row[0])["slug"] == "race"]) == 1


async def test_a_host_leads_to_one_store(worker):
    assert await opened(worker, "host-1", host="go.shop.example") is not None
    assert await opened(worker, "host-2", host="go.shop.example") is None


@pytest.mark.parametrize("currency", ["QQQ", "eur", "EURO", "", "XAU", "XXX", "CLF"])
async def test_a_currency_is_one_that_we_count_money_in(worker, currency):
    """CLF has four decimals, gold none; ours are nought, two or three."""
    with pytest.raises(ValueError, match=f"^{currency} is no currency"):
        await opened(worker, "currency", currency=currency)


@pytest.mark.parametrize("currency", ["EUR", "USD", "JPY", "KWD", "ISK", "XOF"])
async def test_a_store_settles_in_any_that_we_know(worker, currency):
    assert (await opened(worker, f"in-{currency.lower()}", currency=currency)).currency == currency


async def test_a_currency_of_nobody_is_one_sentence(database):
    done = command(database, "create-store", "--slug", "nobodys", "--currency", "ZZZ")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("gateway: ZZZ is no currency of ISO 4217 that we know")


async def test_the_api_role_reads_one_store(worker, api):
    mine, other = await opened(worker, "mine"), await opened(worker, "other")
    async with worker.transaction() as conn:
        key = await store.create_key(conn, other.store_id, "secret", scopes.EVERY, pepper=PEPPER)
    async with api.transaction(mine.store_id) as conn:
        assert [row["store_id"] for row in await conn.rows("SELECT * FROM merchant_store")] == [mine.store_id]
        assert await conn.rows("SELECT * FROM api_key") == []
    async with api.transaction() as conn:
        assert await conn.rows("SELECT * FROM merchant_store") == []
        assert (await store.key_of(conn, key.key_id)).store_id == other.store_id
        assert {each.slug for each in await store.every_store(conn)} >= {"mine", "other"}


async def test_the_api_role_makes_no_keys(worker, api):
    mine = await opened(worker, "no-keys")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with api.transaction(mine.store_id) as conn:
            await store.create_key(conn, mine.store_id, "secret", scopes.EVERY, pepper=PEPPER)


async def test_nobody_else_may_resolve(database):
    granted = await rows(
        database.admin_url,
        "SELECT grantee, routine_name FROM information_schema.routine_privileges"
        " WHERE routine_name IN ('key_of', 'every_store', 'note_key_uses') AND grantee <> 'gateway_owner'",
    )
    assert {row["grantee"] for row in granted} == {"gateway_api"}
    assert len(granted) == 3


async def test_a_dump_of_every_table_holds_no_secret(worker, database):
    made = await opened(worker, "dumped")
    async with worker.transaction() as conn:
        minted = [
            await store.create_key(conn, made.store_id, kind, scopes.EVERY, pepper=PEPPER)
            for kind in ("secret", "publishable")
        ]
    tables = await rows(database.admin_url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    dump = ""
    for row in tables:
        dump += str(await rows(database.admin_url, f'SELECT t::text FROM "{row["tablename"]}" t'))
    assert minted[0].key_id in dump
    for key in minted:
        assert key.secret not in dump
        assert key.secret.encode().hex() not in dump


async def test_a_key_ends_once_and_only_for_its_store(worker):
    mine, other = await opened(worker, "ending"), await opened(worker, "not-ending")
    async with worker.transaction() as conn:
        key = await store.create_key(conn, mine.store_id, "secret", scopes.EVERY, pepper=PEPPER)
        assert not await store.revoke_key(conn, other.store_id, key.key_id)
        assert await store.revoke_key(conn, mine.store_id, key.key_id)
        assert not await store.revoke_key(conn, mine.store_id, key.key_id)


async def test_uses_are_noted_and_never_go_back(worker, api, database):
    made = await opened(worker, "used")
    async with worker.transaction() as conn:
        key = await store.create_key(conn, made.store_id, "secret", scopes.EVERY, pepper=PEPPER)
    late, early = datetime(2026, 5, 2, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)
    for at in (late, early):
        async with api.transaction() as conn:
            await store.note_key_uses(conn, {key.key_id: at, "key_unknown": at})
    found = await rows(database.worker_url, "SELECT last_used_at FROM api_key WHERE key_id = $1", key.key_id)
    assert found[0]["last_used_at"] == late


def command(database, *args):
    environment = {
        "REGULARS_API_DATABASE_URL": database.api_url,
        "REGULARS_WORKER_DATABASE_URL": database.worker_url,
        "REGULARS_KAFKA": "127.0.0.1:1",
        "REGULARS_PORT": "1",
        "REGULARS_TOKEN_JWKS": "{}",
        "REGULARS_TOKEN_PRIVATE_JWK": json.dumps(_KEY.as_dict(private=True)),
        "REGULARS_KEY_PEPPER": PEPPER,
        "REGULARS_VISITOR_PEPPER": "another",
        "REGULARS_UPSTREAMS": "{}",
        "REGULARS_PUBLIC_URL": "http://127.0.0.1:8080",
    }
    return subprocess.run(
        [sys.executable, "-m", "gateway", *args],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


async def test_seeding_shows_the_keys_once(database, worker):
    first, second = [json.loads(command(database, "seed").stdout) for _ in range(2)]
    assert set(first) == {"store_id", "api_key", "publishable_key"}
    assert second == {"store_id": first["store_id"]}
    async with worker.transaction() as conn:
        demo = await store.store_of(conn, "demo")
    assert (demo.store_id, demo.currency, demo.url) == (
        first["store_id"],
        "EUR",
        "http://127.0.0.1:8080/sandbox/demo/shop",
    )
    assert keys.read(first["api_key"]).kind == "secret"
    assert keys.read(first["publishable_key"]).kind == "publishable"


async def test_a_second_store_is_one_command_and_a_taken_slug_one_sentence(database):
    line = ("create-store", "--slug", "second", "--currency", "USD", "--url", "https://second.example")
    made = json.loads(command(database, *line).stdout)
    assert set(made) == {"store_id", "api_key", "publishable_key"}
    again = command(database, *line)
    assert (again.returncode, again.stdout, again.stderr) == (1, "", "gateway: this slug or host is taken\n")


async def test_a_key_is_made_and_revoked_by_command(database, api):
    command(database, "create-store", "--slug", "rotating", "--currency", "EUR")
    made = json.loads(command(database, "create-key", "--slug", "rotating", "--scope", "wallet.read").stdout)
    assert keys.read(made["key"]).key_id == made["key_id"]
    assert command(database, "revoke-key", "--slug", "rotating", "--key-id", made["key_id"]).returncode == 0
    async with api.transaction() as conn:
        stored = await store.key_of(conn, made["key_id"])
    assert stored.scopes == {"wallet.read"}
    assert stored.revoked_at is not None


async def test_a_publishable_key_gets_no_scope_of_a_merchant(database):
    command(database, "create-store", "--slug", "publishing", "--currency", "EUR")
    done = command(database, "create-key", "--slug", "publishing", "--kind", "publishable", "--scope", "wallet.read")
    assert (done.returncode, done.stderr) == (1, "gateway: a publishable key cannot have wallet.read\n")
