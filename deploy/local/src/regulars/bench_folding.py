"""Completed orders folded into figures and commissions, each service alone, beside the least that such a fold costs."""

import asyncio
import json
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import asyncpg

from contracts.topics import ORDERS
from regulars import bench_floor, bench_topics, waiting
from regulars.bench_conversions import Conversions
from regulars.bench_orders import Orders
from regulars.bench_pgbench import drop_database
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
        """One round: so many orders folded by each service alone, then by the floor."""
        settle(self.stack)
        with self._stopped():
            begin = waiting.run(bench_topics.ends(self.stack.kafka_bootstrap, ORDERS))
            waiting.run(self._send(events))
            end = waiting.run(bench_topics.ends(self.stack.kafka_bootstrap, ORDERS))
            samples = {f"fold_{service}_rate": self._fold(service, begin, end) for service in FOLDERS}
            return samples | {"fold_floor_rate": self._floor(begin, end)}

    def crowd(self, events: int, seconds: float) -> Samples:
        """One round: how long conversions take alone, and while so many orders are folded beside them."""
        settle(self.stack)
        alone = self.conversions.convert(_CLIENTS, seconds)
        with ThreadPoolExecutor(1) as pool:
            sending = pool.submit(asyncio.run, self._send(events))
            crowded = self.conversions.convert(_CLIENTS, seconds)
            sending.result()
        settle(self.stack, 240)
        return {
            "crowd_alone_p50": alone.p50_ms,
            "crowd_alone_p99": alone.p99_ms,
            "crowd_p50": crowded.p50_ms,
            "crowd_p99": crowded.p99_ms,
        }

    async def _send(self, events: int) -> None:
        await bench_topics.send(self.stack.kafka_bootstrap, "carts", self.orders.made(events))

    @contextmanager
    def _stopped(self) -> Iterator[None]:
        for service in FOLDERS:
            self.stack.stop(service)
        try:
            yield
        finally:
            for service in FOLDERS:
                self.stack.start(service)

    def _fold(self, service: str, begin: Offsets, end: Offsets) -> float:
        """Start one service, with the other stopped, and see how fast it works off the orders."""
        starting = threading.Thread(target=self.stack.start, args=(service,), daemon=True)
        starting.start()
        try:
            return waiting.run(bench_topics.rate(self.stack.kafka_bootstrap, service, begin, end))
        finally:
            starting.join()
            self.stack.stop(service)

    def _floor(self, begin: Offsets, end: Offsets) -> float:
        with _scratch(self.stack, self.orders):
            task = {
                "bootstrap": self.stack.kafka_bootstrap,
                "group": f"bench-{secrets.token_hex(4)}",
                "database": self.stack.admin_database_url(_DATABASE),
                "begin": [begin[place] for place in bench_topics.places(ORDERS)],
                "end": [end[place] for place in bench_topics.places(ORDERS)],
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
    waiting.run(drop_database(stack, _DATABASE))
    try:
        waiting.run(_prepare(stack, orders))
        yield
    finally:
        waiting.run(drop_database(stack, _DATABASE))


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
