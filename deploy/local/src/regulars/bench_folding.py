"""Completed orders folded into figures by customers alone, beside the least that such a fold costs."""

import asyncio
import json
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import asyncpg

from contracts.carts import OrderCompleted
from contracts.topics import ORDERS
from regulars import bench_floor, bench_topics, waiting
from regulars.bench_conversions import Conversions
from regulars.bench_orders import Orders
from regulars.bench_pgbench import scratch_database
from regulars.bench_postings import Samples, settle
from regulars.bench_topics import Offsets
from regulars.stack import Stack
from regulars.trouble import Trouble

FOLDERS = ("customers", "affiliates")

_DATABASE = "regulars_floor_bench"
_FLOOR_SECONDS = 120
_CLIENTS = 8  # convert while orders are folded


@dataclass(frozen=True)
class Folding:
    """What the measurement works on: the demo store's customers and the affiliates whose codes their orders carry."""

    stack: Stack
    orders: Orders
    conversions: Conversions

    def measure(self, events: int) -> Samples:
        """One round: so many orders folded by customers alone, then by the floor."""
        settle(self.stack)
        with stopped(self.stack):
            begin, end = put(self.stack, self.orders.made(events))
            with started(self.stack, "customers"):
                rate = waiting.run(bench_topics.rate(self.stack.kafka_bootstrap, "customers", begin, end))
            return {"fold_customers_rate": rate, "fold_floor_rate": floor(self.stack, self.orders, begin, end)}

    def crowd(self, events: int, seconds: float) -> Samples:
        """One round: how long conversions take alone, and while so many orders are folded beside them."""
        settle(self.stack)
        alone = self.conversions.convert(_CLIENTS, seconds)
        with ThreadPoolExecutor(1) as pool:
            orders = self.orders.made(events)
            sending = pool.submit(asyncio.run, bench_topics.send(self.stack.kafka_bootstrap, "carts", orders))
            crowded = self.conversions.convert(_CLIENTS, seconds)
            sending.result()
        settle(self.stack, 240)
        return {
            "crowd_alone_p50": alone.p50_ms,
            "crowd_alone_p99": alone.p99_ms,
            "crowd_p50": crowded.p50_ms,
            "crowd_p99": crowded.p99_ms,
        }


@contextmanager
def stopped(stack: Stack) -> Iterator[None]:
    """Meanwhile nobody folds orders."""
    for service in FOLDERS:
        stack.stop(service)
    try:
        yield
    finally:
        for service in FOLDERS:
            stack.start(service)


def put(stack: Stack, orders: Iterable[OrderCompleted]) -> tuple[Offsets, Offsets]:
    """Put orders on their topic: between which offsets they are."""
    begin = waiting.run(bench_topics.ends(stack.kafka_bootstrap, ORDERS))
    waiting.run(bench_topics.send(stack.kafka_bootstrap, "carts", orders))
    return begin, waiting.run(bench_topics.ends(stack.kafka_bootstrap, ORDERS))


@contextmanager
def started(stack: Stack, service: str) -> Iterator[None]:
    """Start a service without waiting for it, and stop it again."""
    starting = threading.Thread(target=stack.start, args=(service,), daemon=True)
    starting.start()
    try:
        yield
    finally:
        starting.join()
        stack.stop(service)


def floor(stack: Stack, orders: Orders, begin: Offsets, end: Offsets, does: str = "fold") -> float:
    """Orders a second that one process handles as ``bench_floor`` says.

    Raises:
        Trouble: it fails.
    """
    with _scratch(stack, orders):
        task = {
            "bootstrap": stack.kafka_bootstrap,
            "group": f"bench-{secrets.token_hex(4)}",
            "database": stack.admin_database_url(_DATABASE),
            "begin": [begin[place] for place in bench_topics.places(ORDERS)],
            "end": [end[place] for place in bench_topics.places(ORDERS)],
            "does": does,
        }
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "regulars.bench_floor"],
            input=json.dumps(task),
            env=os.environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=_FLOOR_SECONDS,
        )
    if done.returncode != 0:
        raise Trouble(f"The floor of folding failed: {done.stderr.strip()[-500:]}")
    return float(done.stdout)


@contextmanager
def _scratch(stack: Stack, orders: Orders) -> Iterator[None]:
    with scratch_database(stack, _DATABASE):
        waiting.run(_prepare(stack, orders))
        yield


async def _prepare(stack: Stack, orders: Orders) -> None:
    admin = await asyncpg.connect(stack.admin_database_url())
    await admin.execute(f'CREATE DATABASE "{_DATABASE}"')
    await admin.close()
    conn = await asyncpg.connect(stack.admin_database_url(_DATABASE))
    try:
        await conn.execute(bench_floor.TABLES)
        await conn.execute(
            "INSERT INTO total SELECT $1, unnest($2::text[]), 0, 0", orders.store_id, list(orders.customers)
        )
    finally:
        await conn.close()
