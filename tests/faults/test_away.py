"""A service is away: what asked for it waits, goes on when it is back, and nothing is done twice."""

import asyncio
import itertools
import secrets
import time
from collections import Counter
from dataclasses import replace
from functools import partial

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from patience import until

from contracts import topics

pytestmark = pytest.mark.faults


async def test_while_the_wallet_is_down_a_conversion_is_processing_and_completes_when_it_is_back(world):
    customer, available = await world.affiliate_with()
    await asyncio.to_thread(world.stack.stop, "wallet")
    try:
        waiting = await world.shop.convert(customer, 25, key="while-down")
        assert (waiting.status, waiting.data["status"]) == (202, "PROCESSING")
        location = waiting.headers["location"]
        claim = await world.shop.call("GET", location)
        assert claim.data["status"] == "PROCESSING"
        balances = (await world.shop.affiliate(customer))["balances"]
        assert balances == {"available": available - 25, "requested": 25, "converted": 0}
    finally:
        await asyncio.to_thread(world.stack.start, "wallet")
    await until(lambda: world.shop.call("GET", location), lambda it: it.data["status"] == "COMPLETED")
    retry = await world.convert(customer, 25, key="while-down")
    assert (retry.status, retry.data["status"], retry.data.get("new_balance")) == (200, "COMPLETED", 25)
    again = await world.shop.convert(customer, 25, key="while-down")
    assert again.json == retry.json
    assert again.headers["idempotent-replayed"] == "true"
    assert (await world.shop.wallet(customer))["balance"] == 25


async def test_while_the_wallet_is_down_what_waits_for_it_keeps_no_other_store_waiting(world):
    """Two stores convert so much that each alone would fill the gateway's way to affiliates."""
    other, quiet = world.other_store(), world.other_store()
    for shop, path in itertools.product((other, quiet), ("products", "customers", "affiliates/program")):
        await until(partial(shop.call, "GET", f"/dev/v1/{path}"), lambda it: it.status == 200)
    crowds = [world, replace(world, shop=other)]
    customers = [(await crowd.affiliate_with())[0] for crowd in crowds]
    path = f"/dev/v1/customers/{(await quiet.add_customer('a@example.com', 'Ann'))['id']}/affiliate"
    assert (await quiet.call("POST", path, {})).status == 201
    await asyncio.to_thread(world.stack.stop, "wallet")
    try:
        waiting = [
            asyncio.gather(*(crowd.shop.convert(customer, 0.1, key=f"crowd-{n}") for n in range(150)))
            for crowd, customer in zip(crowds, customers, strict=True)
        ]
        await asyncio.sleep(0.5)
        while not all(each.done() for each in waiting):
            began = time.monotonic()
            assert (await quiet.call("GET", path)).status == 200
            assert time.monotonic() - began < 4  # who had to wait for the crowds would, until they are told 202
            await asyncio.sleep(0.2)
        told = [Counter(reply.status for reply in await each) for each in waiting]
    finally:
        await asyncio.to_thread(world.stack.start, "wallet")
    assert {status for each in told for status in each} == {202, 429}
    for crowd, customer, each in zip(crowds, customers, told, strict=True):
        taken = {"converted": each[202] / 10, "requested": 0}
        await until(
            partial(crowd.shop.affiliate, customer), lambda it, taken=taken: it["balances"].items() >= taken.items()
        )


async def forget_records(bootstrap: str, topic: topics.Topic) -> None:
    """Delete every record of a topic, as its retention would."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        places = [TopicPartition(topic.name, number) for number in range(topic.partitions)]
        await admin.delete_records({place: RecordsToDelete(before_offset=-1) for place in places})
    finally:
        await admin.close()


async def test_while_fraud_block_is_down_for_longer_than_its_topic_keeps_an_order_waits_and_goes_on(world):
    await world.affiliate_with()
    await asyncio.to_thread(world.stack.stop, "fraud-block")
    try:
        cart = await world.shop.open_cart("sku-1000000", 1)
        await world.shop.give_contact(cart["id"], f"late-{secrets.token_hex(4)}@example.com", "Late")
        waiting = await world.shop.check_out(cart)
        assert waiting.status == 202
        await until(lambda: world.sql("carts", "SELECT seq FROM outbox"), lambda rows: not rows)
        await forget_records(world.stack.kafka_bootstrap, topics.SCREENINGS)
    finally:
        await asyncio.to_thread(world.stack.start, "fraud-block")
    order = waiting.data["order_id"]
    assert (await world.shop.order(order))["status"] == "PLACED"
    await world.sql("carts", "UPDATE ask SET ask_again_at = now()")  # thirty seconds have passed
    await until(lambda: world.shop.order(order), lambda it: it["status"] == "AWAITING_PAYMENT")
    await world.shop.pay(order)
    await until(lambda: world.shop.order(order), lambda it: it["status"] == "COMPLETED")
