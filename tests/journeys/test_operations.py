"""What operators rely on: a stop that finishes what is in flight, logs that name nobody, traces, and gauges."""

import asyncio
import json
import secrets

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer
from journey import CONSUMERS, SERVICES, until

pytestmark = pytest.mark.journeys


async def test_a_stopped_service_finishes_what_is_in_flight(world):
    """Affiliates gets SIGTERM while a caller waits for the wallet, which is down: the caller gets the 202 all the same."""
    customer, _ = await world.affiliate_with()
    await asyncio.to_thread(world.stack.stop, "wallet")
    try:
        waiting = asyncio.create_task(world.shop.convert(customer, 25, key="in-flight"))
        while not await world.sql("affiliates", "SELECT FROM ask"):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await asyncio.to_thread(world.stack.stop, "affiliates")
        reply = await waiting
        assert (reply.status, reply.data["status"]) == (202, "PROCESSING")
    finally:
        await asyncio.to_thread(world.stack.start, "affiliates")
        await asyncio.to_thread(world.stack.start, "wallet")
    await world.settle()
    assert (await world.shop.convert(customer, 25, key="in-flight")).data["status"] == "COMPLETED"


async def test_a_stopping_service_says_that_it_is_not_ready(world):
    customer, _ = await world.affiliate_with()
    await asyncio.to_thread(world.stack.stop, "wallet")
    try:
        waiting = asyncio.create_task(world.shop.convert(customer, 25))
        while not await world.sql("affiliates", "SELECT FROM ask"):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        stopping = asyncio.create_task(asyncio.to_thread(world.stack.stop, "affiliates"))
        await asyncio.sleep(0.5)
        async with world.session.get(world.stack.url("affiliates") + "/readyz") as ready:
            assert (ready.status, (await ready.json())["reasons"]) == (503, ["shutting down"])
        await waiting
        await stopping
    finally:
        await asyncio.to_thread(world.stack.start, "affiliates")
        await asyncio.to_thread(world.stack.start, "wallet")
    await world.settle()


async def test_logs_are_json_and_name_nobody(world):
    """Also when things go wrong: a duplicate, a blocked buyer, a body that does not fit."""
    canary = f"canary{secrets.token_hex(4)}"
    email = f"{canary}@example.com"
    await world.shop.add_customer(email, canary)
    for body in ({"email": email}, {"email": f"{canary}@"}, {"email": email, "phone": canary, "name": canary * 100}):
        assert (await world.shop.call("POST", "/dev/v1/customers", body)).status in {409, 422}
    await world.shop.call("GET", f"/dev/v1/customers?q={canary}")
    await world.affiliate_with()
    await world.buy("sku-1000000", email=email)
    await world.settle()
    for service in SERVICES:
        text = world.stack.places.log(service).read_text()
        assert canary not in text, service
        if service in CONSUMERS:
            assert all(json.loads(line)["service"] == service for line in text.splitlines() if line)


async def test_connections_that_say_nothing_shut_nobody_out(world):
    host, port = world.stack.gateway_url.removeprefix("http://").split(":")
    silent = await asyncio.gather(*(asyncio.open_connection(host, int(port)) for _ in range(500)))
    try:
        async with asyncio.timeout(5):
            assert (await world.shop.call("GET", "/dev/v1/products")).status == 200
        await asyncio.wait_for(silent[0][0].read(), 15)  # until the gateway hangs up
    finally:
        for _, writer in silent:
            writer.close()


async def test_a_body_in_broken_chunks_gets_a_problem(world):
    host, port = world.stack.gateway_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /dev/v1/customers HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {world.stack.api_key}\r\n"
    writer.write((head + "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n").encode())
    answer = await asyncio.wait_for(reader.read(4000), 10)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"application/problem+json" in answer


async def test_traces_go_from_the_request_to_the_last_handler(world):
    """One trace id from the gateway through outbox, Kafka and the handler, to the answer."""
    customer, _ = await world.affiliate_with()
    trace = secrets.token_hex(16)
    headers = {
        "authorization": f"Bearer {world.stack.api_key}",
        "idempotency-key": trace,
        "traceparent": f"00-{trace}-{secrets.token_hex(8)}-01",
    }
    path = f"/dev/v1/customers/{customer}/affiliate/convert-to-balance"
    async with world.session.post(world.stack.gateway_url + path, json={"amount": 1}, headers=headers) as reply:
        assert reply.status == 200
    seen = await traced(world, trace)
    assert {"claim.converted", "wallet.posted", "claim.completed"} <= seen


async def traced(world, trace: str, last: str = "claim.completed") -> set[str]:
    """The types of the events that carry a trace, read until the last of them."""
    consumer = AIOKafkaConsumer(
        "claims", "wallet", bootstrap_servers=world.stack.kafka_bootstrap, auto_offset_reset="earliest"
    )
    await consumer.start()
    seen = set()
    try:
        async with asyncio.timeout(20):
            while last not in seen:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    for record in records:
                        headers = dict(record.headers)
                        if trace in headers.get("traceparent", b"").decode():
                            seen.add(headers["ce_type"].decode())
    finally:
        await consumer.stop()
    return seen


GAUGES = ("consumer_lag", "outbox_oldest_seconds", "parked", "dead_letters")


async def gauges(world, service: str) -> list[float]:
    """What a service's four gauges say."""
    async with world.session.get(f"{world.stack.url(service)}/metrics") as reply:
        said = dict(line.rsplit(" ", 1) for line in (await reply.text()).splitlines() if not line.startswith("#"))
    return [float(said[f'regulars_{name}{{service="{service}"}}']) for name in GAUGES]


async def test_gauges_are_exact_at_rest(world):
    await world.settle()
    for service in CONSUMERS:
        assert await gauges(world, service) == [0.0] * 4


async def test_gauges_tell_what_waits(world):
    """The wallet's inbox is locked, so it handles nothing; a lock keeps the customers' relay from leading."""
    await world.settle()
    wallet, customers = [
        await asyncpg.connect(world.stack.admin_database_url(f"regulars_{name}")) for name in ("wallet", "customers")
    ]
    try:
        async with wallet.transaction():
            await wallet.execute("LOCK TABLE inbox")
            for _ in range(2):  # the first is at work, the second waits: neither is handled
                await world.shop.add_customer(f"gauge-{secrets.token_hex(5)}@example.com", "Gauge")
                await asyncio.sleep(0.3)
            lag, *_ = await until(lambda: gauges(world, "wallet"), lambda said: said[0] > 1)
            assert lag == 2
        await take_the_lead(customers)
        await world.shop.add_customer(f"gauge-{secrets.token_hex(5)}@example.com", "Gauge")
        _, age, *_ = await until(lambda: gauges(world, "customers"), lambda said: said[1] > 0.5)
        assert age < 30
    finally:
        await wallet.close()
        await customers.close()
    await world.settle()
    for place, row in WAITING.items():
        await world.sql("wallet", row)
        told = await gauges(world, "wallet")
        await world.sql("wallet", f"DELETE FROM {place}")
        assert told == [0, 0, place == "parked", place == "dead_letter"]


WAITING = {
    "parked": """
        INSERT INTO parked (consumer_group, topic, key, event_id, type, store_id, payload, reason, retry_at)
        VALUES ('wallet', 'customers', 'nobody', uuidv7(), 'x', 'x', '', 'x', 'infinity')
    """,
    "dead_letter": """
        INSERT INTO dead_letter (consumer_group, topic, headers, error_class, error) VALUES ('wallet', 'x', '{}', 'x', 'x')
    """,
}


async def take_the_lead(conn: asyncpg.Connection) -> None:
    """Throw the leading relay out and hold its lock."""
    held = await conn.fetchrow(
        """
        SELECT pid, classid::bigint AS high, objid::bigint AS low
        FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE locktype = 'advisory' AND granted AND application_name LIKE '%-relay' AND datname = current_database()
        """
    )
    lock = (held["high"] << 32) | held["low"]
    await conn.execute("SELECT pg_terminate_backend($1)", held["pid"])
    await conn.execute("SELECT pg_advisory_lock($1)", lock)


async def test_requests_in_one_batch_keep_their_own_traces(world):
    customer, _ = await world.affiliate_with()
    traces = [secrets.token_hex(16) for _ in range(8)]

    async def adjust(trace: str) -> int:
        headers = {
            "authorization": f"Bearer {world.stack.api_key}",
            "idempotency-key": trace,
            "traceparent": f"00-{trace}-{secrets.token_hex(8)}-01",
        }
        path = f"/dev/v1/customers/{customer}/wallet/adjustments"
        async with world.session.post(world.stack.gateway_url + path, json={"amount": 1}, headers=headers) as reply:
            return reply.status

    assert await asyncio.gather(*(adjust(trace) for trace in traces)) == [201] * 8
    for trace in traces:
        assert await traced(world, trace, "wallet.posted") == {"wallet.posted"}
