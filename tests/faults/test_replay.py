"""Everything may come twice: whole topics from their beginning, each event three times, a database made anew."""

import asyncio
import secrets
from collections.abc import Iterable
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import OffsetAndMetadata
from journey import CONSUMERS, partitions
from patience import until

from chassis import ids, migrations

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
async def busy(world):
    """A world in which something has happened: orders, commissions, conversions, spending, refusals."""
    customer, _ = await world.affiliate_with(orders=2)
    await asyncio.gather(*(world.convert(customer, 5) for _ in range(5)))
    known = await world.shop.customer(customer)
    await world.shop.add_product("sku-10", "A tiny thing", 10)
    cart = await world.shop.open_cart("sku-10", 1)
    await world.shop.give_contact(cart["id"], known["email"], "Ada")
    order = (await world.shop.check_out(cart, credit=10)).data
    await until(lambda: world.shop.order(order["order_id"]), lambda it: it["status"] == "COMPLETED")
    cart = await world.shop.open_cart("sku-10", 1)
    await world.shop.give_contact(cart["id"], known["email"], "Ada")
    assert (await world.check_out(cart, credit=10**6)).status in {409, 422}
    rule = (
        await world.shop.call("POST", "/dev/v1/blocks", {"type": "email", "value": f"{secrets.token_hex(4)}@x.example"})
    ).data
    await world.shop.call("DELETE", f"/dev/v1/blocks/{rule['id']}")
    await world.settle()
    return world


async def rewind(world, service: str) -> None:
    """Set both groups of a stopped service to the beginning of every topic they read."""
    for group, places in (await world.committed(service, f"{service}.ask")).items():
        read = [place for place in places if place in partitions()]
        consumer = AIOKafkaConsumer(
            bootstrap_servers=world.stack.kafka_bootstrap, group_id=group, enable_auto_commit=False
        )
        await consumer.start()
        try:
            consumer.assign(read)
            starts = await consumer.beginning_offsets(read)
            await consumer.commit({place: OffsetAndMetadata(start, "") for place, start in starts.items()})
        finally:
            await consumer.stop()


async def test_every_topic_from_its_beginning_with_an_empty_inbox_changes_nothing(busy):
    before = await busy.snapshot()
    for service in CONSUMERS:
        await asyncio.to_thread(busy.stack.stop, service)
        await busy.sql(service, "TRUNCATE inbox")
        await rewind(busy, service)
    for service in CONSUMERS:
        await asyncio.to_thread(busy.stack.start, service)
    await busy.settle()
    for service in CONSUMERS:
        assert (await busy.sql(service, "SELECT count(*) FROM inbox"))[0][0] > 0, service
    assert await busy.snapshot() == before
    await busy.verify()


async def test_each_event_three_times_changes_nothing_more(busy):
    """Twice as the same event, for the inbox; then, the last first, as new events, for the natural keys and versions."""
    before = await busy.snapshot()
    records = await busy.history()
    async with AIOKafkaProducer(bootstrap_servers=busy.stack.kafka_bootstrap) as producer:

        async def send(record: Any, headers: Iterable[tuple[str, bytes]]) -> None:
            await producer.send(
                record.topic, record.value, key=record.key, headers=list(headers), partition=record.partition
            )

        for record in records:
            await send(record, record.headers)
            await send(record, record.headers)
        for record in reversed(records):
            await send(record, ((k, str(ids.new_uuid()).encode() if k == "ce_id" else v) for k, v in record.headers))
        await producer.flush()
    await busy.settle()
    assert await busy.snapshot() == before
    await busy.verify()


async def test_a_database_made_anew_swallows_nothing_and_knows_its_customers_again(busy):
    stack = busy.stack
    known = await busy.sql("fraud-block", "SELECT count(*) FROM inbox")
    assert known[0][0]
    before = {row["id"] for row in await busy.sql("affiliates", "SELECT id FROM known_customer")}
    await asyncio.to_thread(stack.stop, "affiliates")
    await busy.sql("wallet", "SELECT 1")
    await drop_and_prepare(stack, "affiliates")
    await asyncio.to_thread(stack.start, "affiliates")
    await until(
        lambda: busy.sql("affiliates", "SELECT id FROM known_customer"),
        lambda rows: {row["id"] for row in rows} >= before,
    )
    customer, _ = await busy.affiliate_with()
    # As many as before and more: whatever numbers the old database has given, the new one gives them again.
    converted = await asyncio.gather(*(busy.convert(customer, 1) for _ in range(10)))
    assert [reply.status for reply in converted] == [200] * 10
    assert (await busy.shop.wallet(customer))["balance"] == 10
    await busy.settle()
    await busy.verify()


async def drop_and_prepare(stack, service: str) -> None:
    """A service's database as it is on the first day: empty, with a new epoch."""
    import asyncpg  # noqa: PLC0415

    conn = await asyncpg.connect(stack.admin_database_url())
    try:
        await conn.execute(f'DROP DATABASE "regulars_{service}" WITH (FORCE)')
    finally:
        await conn.close()
    await migrations.prepare(stack.admin_database_url(), service, password=stack.password)
