"""Several services over real Kafka: a shop to use, and how to tell that everything has come to rest."""

import importlib
import json
import os
import secrets
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import aiohttp
import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from patience import until

from chassis.db import Database
from contracts import topics
from regulars import programs
from regulars.shopping import Shopping
from regulars.stack import Stack

SERVICES = ["customers", "wallet", "affiliates", "fraud-block", "carts", "gateway"]
CONSUMERS = SERVICES[:-1]

# What may differ after a replay: the machinery, and the answers that are given again.
MACHINERY = {
    "migration",
    "epoch",
    "outbox",
    "outbox_unsendable",
    "inbox",
    "parked",
    "dead_letter",
    "rewound",
    "idempotency",
    "answer",
    "ask",
    "look_again",  # a timer empties it
    "api_key",  # notes when a key was last used
}


async def readiness(world: "World", service: str) -> tuple[int, list[str]]:
    """What a service says of itself: the status, and why it is not ready."""
    async with world.session.get(world.stack.url(service) + "/readyz") as told:
        return told.status, (await told.json())["reasons"]


@dataclass
class World:
    """The running stack as a tester sees it: inside its databases and topics too."""

    stack: Stack
    session: aiohttp.ClientSession
    shop: Shopping

    async def sql(self, service: str, statement: str, *args: Any) -> list[asyncpg.Record]:
        """Run a statement in a service's database, as the superuser."""
        conn = await asyncpg.connect(self.stack.admin_database_url(f"regulars_{service.replace('-', '_')}"))
        try:
            return await conn.fetch(statement, *args)
        finally:
            await conn.close()

    async def snapshot(self, *services: str) -> dict[str, str]:
        """A digest of every business table of these services, of all without a name."""
        found = {}
        for service in services or SERVICES:
            tables = await self.sql(service, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            for table in {row["tablename"] for row in tables} - MACHINERY:
                rows = await self.sql(
                    service,
                    f"SELECT md5(coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), '')) FROM \"{table}\" t",
                )
                found[f"{service}.{table}"] = rows[0][0]
        return found

    async def committed(self, *groups: str) -> dict[str, dict[TopicPartition, Any]]:
        """Where each consumer group is, in every partition it reads."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.stack.kafka_bootstrap)
        await admin.start()
        try:
            return {group: await admin.list_consumer_group_offsets(group) for group in groups}
        finally:
            await admin.close()

    async def ends(self) -> dict[TopicPartition, int]:
        """Where each partition ends."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.stack.kafka_bootstrap)
        await consumer.start()
        try:
            consumer.assign(partitions())  # else it learns of the topics a second later
            return await consumer.end_offsets(partitions())
        finally:
            await consumer.stop()

    async def restless(self) -> list[str]:
        """What still moves: records to handle, rows to publish, questions to answer.

        Groups are read before rows: what a service has handled it has published, or it is in its outbox then. And
        nothing is published from before the one to after the other.
        """
        ends, moving = await self.ends(), []
        groups = await self.committed(*CONSUMERS, *(f"{service}.ask" for service in CONSUMERS))
        for group, places in groups.items():
            if behind := sum(ends[place] - at.offset for place, at in places.items() if place in ends):
                moving.append(f"{group} is {behind} behind")
        for service in SERVICES:
            (row,) = await self.sql(
                service,
                "SELECT (SELECT count(*) FROM outbox) AS outbox, (SELECT count(*) FROM ask) AS ask, (SELECT count(*) FROM parked) AS parked",
            )
            moving += [f"{service} has {count} rows in {name}" for name, count in row.items() if count]
        if not moving and await self.ends() != ends:
            moving.append("events were published")
        return moving

    async def history(self) -> list[Any]:
        """Every record of every topic, each partition in its order."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.stack.kafka_bootstrap, enable_auto_commit=False)
        await consumer.start()
        try:
            consumer.assign(partitions())
            await consumer.seek_to_beginning()
            left = sum((await consumer.end_offsets(partitions())).values())
            starts = sum((await consumer.beginning_offsets(partitions())).values())
            records: list[Any] = []
            while len(records) < left - starts:
                for batch in (await consumer.getmany(timeout_ms=500)).values():
                    records += batch
            return records
        finally:
            await consumer.stop()

    async def settle(self, seconds: float = 120) -> None:
        """Wait until nothing moves any more."""
        await until(self.restless, lambda moving: not moving, seconds)

    async def verify(self) -> None:
        """Every service's books are clean, and none has given an event up."""
        for service in CONSUMERS:
            dead = await self.sql(service, "SELECT headers->>'ce_type' AS type, error_class, error FROM dead_letter")
            assert not dead, f"{service} gave up {[tuple(row) for row in dead]}"
            assert await self.faults(service) == []

    async def faults(self, service: str) -> list[str]:
        """What `python -m … verify` prints, without a process for it."""
        prove = importlib.import_module(f"{programs.module(service)}.main").service.verify
        database = await Database.open(self.stack.database_url(service, "worker"), size=1, name="test")
        try:
            async with database.transaction() as conn:
                await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                return await prove(conn)
        finally:
            await database.close()

    async def affiliate_with(self, *, orders: int = 1, price: int = 1_000_000) -> tuple[str, float]:
        """A customer with commission to convert: their id and how much, a tenth of what the orders cost."""
        tag = secrets.token_hex(5)
        sku = await self.shop.add_product(f"sku-{price}", "A thing", price)
        made = await self.shop.add_customer(f"aff-{tag}@example.com", "Ada")
        await self.shop.enrol(made["id"], f"code-{tag}")
        for _ in range(orders):
            await self.buy(sku, code=f"code-{tag}")
        available = orders * price / 10
        await until(lambda: self.shop.affiliate(made["id"]), lambda it: it["balances"]["available"] == available)
        return made["id"], available

    async def buy(self, sku: str, *, code: str | None = None, email: str | None = None) -> Any:
        """A completed order of a visitor."""
        cart = await self.shop.open_cart(sku, 1, code)
        await self.shop.give_contact(cart["id"], email or f"buyer-{secrets.token_hex(5)}@example.com", "Bo")
        checked = await self.shop.check_out(cart)
        order = await until(
            lambda: self.shop.order(checked.data["order_id"]), lambda it: it["status"] == "AWAITING_PAYMENT"
        )
        await self.shop.pay(order["order_id"])
        return await until(lambda: self.shop.order(order["order_id"]), lambda it: it["status"] == "COMPLETED")

    async def convert(self, customer_id: str, amount: float, *, key: str | None = None) -> Any:
        """The final reply to a conversion: who is told 202, since a busy machine takes longer than a caller waits, asks again."""
        key = key or secrets.token_hex(12)
        return await until(lambda: self.shop.convert(customer_id, amount, key=key), lambda reply: reply.status != 202)

    async def check_out(self, cart: Any, credit: float | None = None) -> Any:
        """The final reply to a checkout."""
        key = secrets.token_hex(12)
        return await until(lambda: self.shop.check_out(cart, credit, key=key), lambda reply: reply.status != 202)

    def other_store(self, currency: str = "EUR") -> Shopping:
        """Another merchant's store, with keys of its own."""
        slug = f"store-{secrets.token_hex(4)}"
        command = [
            sys.executable,
            "-m",
            "gateway",
            "create-store",
            "--slug",
            slug,
            "--currency",
            currency,
            "--url",
            "http://shop.example",
        ]
        environment = {**os.environ, **self.stack.environment("gateway")}
        printed = json.loads(
            subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        )
        return Shopping(self.session, self.stack.gateway_url, printed["api_key"], printed["publishable_key"])


def partitions() -> list[TopicPartition]:
    return [TopicPartition(topic.name, number) for topic in topics.ALL for number in range(topic.partitions)]


@pytest.fixture(scope="session")
async def world(stack):
    """The stack, everything up, and a shop at its gateway."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=3)) as session:
        yield World(stack, session, Shopping.of(session, stack))
