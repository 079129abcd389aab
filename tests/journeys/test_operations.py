"""What operators rely on: a stop that finishes what is in flight, and logs that name nobody."""

import asyncio
import json
import secrets

import pytest
from journey import CONSUMERS, SERVICES, readiness
from patience import until

pytestmark = pytest.mark.journeys

ASKED = "SELECT FROM ask JOIN claim ON claim_id = request_id WHERE customer_id = $1"


async def test_a_stopped_service_finishes_what_is_in_flight(world):
    """Affiliates gets SIGTERM while a caller waits for the wallet, which is down: the caller gets the 202 all the same."""
    customer, _ = await world.affiliate_with()
    await asyncio.to_thread(world.stack.stop, "wallet")
    try:
        waiting = asyncio.create_task(world.shop.convert(customer, 25, key="in-flight"))
        await until(lambda: world.sql("affiliates", ASKED, customer), bool)
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
        await until(lambda: world.sql("affiliates", ASKED, customer), bool)
        stopping = asyncio.create_task(asyncio.to_thread(world.stack.stop, "affiliates"))
        told = await until(lambda: readiness(world, "affiliates"), lambda told: "shutting down" in told[1])
        assert told == (503, ["shutting down"])
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
