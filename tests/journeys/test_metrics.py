"""What Prometheus is told: exact at rest, and true while something waits."""

import asyncio
import secrets
import time

import asyncpg
import pytest
from journey import CONSUMERS
from patience import until

pytestmark = pytest.mark.journeys


WAITS = (
    "consumer_lag",
    "consumer_oldest_seconds",
    "outbox_rows",
    "outbox_oldest_seconds",
    "outbox_unsendable",
    "parked",
    "dead_letters",
)


async def metrics(world, service: str) -> dict[str, float]:
    """Every series of a service, by name and labels as they are written."""
    async with world.session.get(f"{world.stack.url(service)}/metrics") as reply:
        lines = (await reply.text()).splitlines()
    return {series: float(value) for series, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


async def gauges(world, service: str) -> dict[str, float]:
    """What a service's gauges say of what waits."""
    said = await metrics(world, service)
    return {name: said[f'regulars_{name}{{service="{service}"}}'] for name in WAITS}


async def test_gauges_are_exact_at_rest(world):
    await world.settle()
    for service in CONSUMERS:
        await until(lambda service=service: gauges(world, service), lambda said: said == dict.fromkeys(WAITS, 0.0))


async def test_gauges_tell_what_waits(world):
    """The wallet's inbox is locked, so it handles nothing; a lock keeps the customers' relay from leading."""
    await world.settle()
    wallet, customers = [
        await asyncpg.connect(world.stack.admin_database_url(f"regulars_{name}")) for name in ("wallet", "customers")
    ]
    try:
        async with wallet.transaction():
            await wallet.execute("LOCK TABLE inbox")
            began = time.time()
            for _ in range(2):  # the first is at work, the second waits: neither is handled
                await world.shop.add_customer(f"gauge-{secrets.token_hex(5)}@example.com", "Gauge")
                await asyncio.sleep(0.3)
            said = await until(
                lambda: gauges(world, "wallet"),
                lambda said: said["consumer_lag"] > 1 and said["consumer_oldest_seconds"] > 0.3,
            )
            assert said["consumer_lag"] == 2
            assert said["consumer_oldest_seconds"] < time.time() - began + 0.01
        await take_the_lead(customers)
        began = time.time()
        await world.shop.add_customer(f"gauge-{secrets.token_hex(5)}@example.com", "Gauge")
        said = await until(lambda: gauges(world, "customers"), lambda said: said["outbox_oldest_seconds"] > 0.5)
        assert said["outbox_oldest_seconds"] < time.time() - began + 0.01
        assert said["outbox_rows"] == 1
    finally:
        await wallet.close()
        await customers.close()
    await world.settle()
    for (place, gauge), row in WAITING.items():
        await world.sql("wallet", row)
        told = await gauges(world, "wallet")
        await world.sql("wallet", f"DELETE FROM {place}")
        assert told == dict.fromkeys(WAITS, 0) | {gauge: 1}


WAITING = {
    ("parked", "parked"): """
        INSERT INTO parked (consumer_group, topic, key, event_id, type, store_id, payload, reason, retry_at)
        VALUES ('wallet', 'customers', 'nobody', uuidv7(), 'x', 'x', '', 'x', 'infinity')
    """,
    ("dead_letter", "dead_letters"): """
        INSERT INTO dead_letter (consumer_group, topic, headers, error_class, error) VALUES ('wallet', 'x', '{}', 'x', 'x')
    """,
}


async def take_the_lead(conn: asyncpg.Connection) -> None:
    """Throw the leading relay out and hold its lock: in one statement, for it comes back after half a second."""
    held = await conn.fetchrow(
        """
        SELECT pid, classid::bigint AS high, objid::bigint AS low
        FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE locktype = 'advisory' AND granted AND application_name LIKE '%-relay' AND datname = current_database()
        """
    )
    lock = (held["high"] << 32) | held["low"]
    await conn.execute("SELECT pg_terminate_backend($1), pg_advisory_lock($2)", held["pid"], lock)


async def test_counts_and_times_are_exact_at_rest(world):
    """Five adjustments at once: five requests, five members of batches, five events handled, five entries."""
    customer, _ = await world.affiliate_with()
    await world.settle()

    async def counted() -> dict[str, float]:
        found = {}
        for service in ("wallet", "customers", "gateway"):
            found |= {f"{service} {name}": value for name, value in (await metrics(world, service)).items()}
        return found

    before = await counted()
    path = f"/dev/v1/customers/{customer}/wallet/adjustments"
    replies = await asyncio.gather(*(world.shop.call("POST", path, {"amount": 2}) for _ in range(5)))
    assert [reply.status for reply in replies] == [201] * 5
    await world.settle()
    after = await counted()
    grown = {name: round(value - before.get(name, 0), 6) for name, value in after.items() if "_seconds_sum" not in name}
    route = "/dev/v1/customers/{customer_id}/wallet/adjustments"
    labels = f'method="POST",route="{route}",service="wallet",status="201"'
    assert grown[f"wallet regulars_request_seconds_count{{{labels}}}"] == 5
    at_the_edge = 'method="POST",route="/dev/v1/customers/*/wallet",service="gateway",status="201"'
    assert grown[f"gateway regulars_request_seconds_count{{{at_the_edge}}}"] == 5
    assert grown['wallet regulars_batch_size_sum{of="requests",service="wallet"}'] == 5
    assert grown['customers regulars_events_handled_total{service="customers",type="wallet.posted"}'] == 5
    assert 1 <= grown['customers regulars_handler_seconds_count{service="customers",type="wallet.posted"}'] <= 5
    assert grown['wallet regulars_ledger_entries{currency="EUR",service="wallet"}'] == 5
    assert grown['wallet regulars_ledger_balance_minor{currency="EUR",service="wallet"}'] == 1000


async def test_ledger_and_pools_say_what_is(world):
    customer = (await world.shop.add_customer(f"gauge-{secrets.token_hex(5)}@example.com", "Gauge"))["id"]
    await world.shop.call("POST", f"/dev/v1/customers/{customer}/wallet/adjustments", {"amount": 2})
    await world.settle()
    said = await metrics(world, "wallet")
    (row,) = await world.sql(
        "wallet", "SELECT count(*), sum(balance_minor), sum(held_minor) FROM account WHERE currency = 'EUR'"
    )
    (entries,) = await world.sql("wallet", "SELECT count(*) FROM entry WHERE currency = 'EUR'")
    names = ("accounts", "balance_minor", "held_minor", "entries")
    told = [said[f'regulars_ledger_{name}{{currency="EUR",service="wallet"}}'] for name in names]
    assert told == [*map(float, row), float(entries[0])]
    for pool, limit in (("api", 8), ("worker", 4)):
        one = f'{{pool="{pool}",service="wallet"}}'
        assert said[f"regulars_pool_limit{one}"] == limit
        assert 0 <= said[f"regulars_pool_in_use{one}"] <= said[f"regulars_pool_connections{one}"] <= limit
