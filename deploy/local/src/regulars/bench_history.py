"""Reading a wallet of many entries: pages of history and balances, on a database that is seeded for it and goes again."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import asyncpg

from chassis import migrations
from regulars import bench_wallet, load, seed, waiting
from regulars.bench_pgbench import scratch_database
from regulars.bench_postings import Samples, settle, token
from regulars.load import Load, Plan
from regulars.stack import Stack

CLIENTS = 16

_DATABASE = "regulars_history_bench"
_LIMIT = 25
_CUSTOMERS = 10_000  # that are asked for


@dataclass(frozen=True)
class History:
    """What the measurement reads: customers of the seeded database, with a full page of history where there are such."""

    stack: Stack
    customers: Sequence[str]

    def measure(self, seconds: float) -> Samples:
        """One round: each kind of read at 16 clients, and at one."""
        settle(self.stack)
        samples: Samples = {}
        with bench_wallet.serving(self.stack, database=_DATABASE) as url:
            for name, paths in self._paths():
                for clients in (1, CLIENTS):
                    result = self._read(url, paths, clients, seconds)
                    samples |= {
                        f"history_{name}_{clients}_rate": result.per_second,
                        f"history_{name}_{clients}_p50": result.p50_ms,
                        f"history_{name}_{clients}_p99": result.p99_ms,
                    }
        return samples

    def _paths(self) -> Iterator[tuple[str, list[str]]]:
        wallets = [f"/dev/v1/customers/{customer}/wallet" for customer in self.customers]
        yield "customer", [f"{wallet}/transactions?limit={_LIMIT}" for wallet in wallets]
        yield "store", [f"/dev/v1/wallet/transactions?limit={_LIMIT}"]
        yield "balance", wallets

    def _read(self, url: str, paths: Sequence[str], clients: int, seconds: float) -> Load:
        key = token(self.stack, "wallet", "wallet.read")
        return load.run(Plan(url, paths, key, clients, seconds, status=200, method="GET"))


@contextlib.contextmanager
def seeded(stack: Stack, customers: int, entries: int, say: seed.Say) -> Iterator[History]:
    """A wallet's database with so many entries, gone afterwards."""
    with scratch_database(stack, _DATABASE):
        yield History(stack, waiting.run(_fill(stack, customers, entries, say)))


async def _fill(stack: Stack, customers: int, entries: int, say: seed.Say) -> list[str]:
    await migrations.prepare(stack.admin_database_url(), "wallet", database=_DATABASE, password=stack.password)
    conn = await asyncpg.connect(stack.admin_database_url(_DATABASE))
    try:
        await conn.execute("INSERT INTO store VALUES ($1, 'bench', 'EUR', 'en', 'http://shop')", stack.store_id)
        await seed.ledgers(conn, stack.store_id, customers, entries, say)
        rows = await conn.fetch(
            "SELECT customer_id FROM account ORDER BY sequence < $1, random() LIMIT $2", _LIMIT, _CUSTOMERS
        )
    finally:
        await conn.close()
    return [row["customer_id"] for row in rows]
