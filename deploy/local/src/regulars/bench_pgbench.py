"""The floor of a posting: PostgreSQL's own pgbench writes the same rows, one posting a transaction.

It works on a database of its own with the wallet's schema, as the wallet's role and under its row-level security. What
it leaves out is in the wallet's disfavour: HTTP, identity, a decision, the relay that empties the outbox.
"""

import contextlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import asyncpg

from regulars import waiting
from regulars.stack import Stack
from regulars.trouble import Trouble

CLIENTS = 64

_DATABASE = "regulars_wallet_bench"
_STORE = f"store_{1:026}"
_SEED = """
INSERT INTO account (store_id, customer_id, currency)
SELECT $1, 'cus_' || lpad(n::text, 26, '0'), 'EUR' FROM generate_series(1, $2) AS n
"""

# As long as what the wallet writes; without a colon, which pgbench would take for a variable.
_REPLY = "x" * 380
_EVENT = "x" * 420
_POSTING = rf"""
\set n random(1, :customers)
\set key random(1, 9000000000000000000)
BEGIN;
SET LOCAL app.store_id = '{_STORE}';
INSERT INTO idempotency (store_id, principal, key, method, path, fingerprint)
VALUES ('{_STORE}', 'merchant', 'bench-' || :key, 'POST',
        '/dev/v1/customers/cus_' || lpad(:n, 26, '0') || '/wallet/adjustments', sha256('x'))
ON CONFLICT DO NOTHING;
UPDATE account SET balance_minor = balance_minor + 100, sequence = sequence + 1
WHERE store_id = '{_STORE}' AND customer_id = 'cus_' || lpad(:n, 26, '0')
RETURNING balance_minor AS balance, sequence AS sequence \gset
INSERT INTO entry (store_id, entry_id, customer_id, sequence, type, debit_account, credit_account, amount_minor,
                   balance_after_minor, currency, cause_kind, cause_id, posted_at)
VALUES ('{_STORE}', 'wallet_tx_' || lpad(:key, 26, '0'), 'cus_' || lpad(:n, 26, '0'), :sequence, 'ADJUSTMENT',
        'adjustments', 'customer', 100, :balance, 'EUR', 'adjustment', 'wallet_tx_' || lpad(:key, 26, '0'), now());
UPDATE idempotency SET status = 201, body = '{_REPLY}', media_type = 'application/json'
WHERE store_id = '{_STORE}' AND principal = 'merchant' AND key = 'bench-' || :key AND method = 'POST'
  AND path = '/dev/v1/customers/cus_' || lpad(:n, 26, '0') || '/wallet/adjustments';
INSERT INTO outbox (event_id, topic, key, type, store_id, payload, traceparent)
VALUES (uuidv7(), 'wallet', 'cus_' || lpad(:n, 26, '0'), 'wallet.posted', '{_STORE}', '{_EVENT}',
        '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01');
COMMIT;
"""  # noqa: S608
_COMMIT = r"""
\set n random(1, 1000)
BEGIN;
SET LOCAL app.store_id = 'none';
INSERT INTO outbox (event_id, topic, key, type, store_id, payload) VALUES (uuidv7(), 'wallet', :n, 'bench', '', '');
COMMIT;
"""


class Rate(NamedTuple):
    """What pgbench says: transactions per second and their mean latency."""

    per_second: float
    mean_ms: float


class Pgbench:
    """pgbench on the scratch database; made by ``scratch``."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self._stack = stack
        self._scripts = {"posting": folder / "posting.sql", "commit": folder / "commit.sql"}
        self._scripts["posting"].write_text(_POSTING)
        self._scripts["commit"].write_text(_COMMIT)

    def postings(self, customers: int, seconds: float) -> Rate:
        """Postings one by one over 64 connections, on so many customers."""
        return self._run("posting", CLIENTS, seconds, customers)

    def commits(self, seconds: float) -> Rate:
        """The least that a transaction with one row costs, on one connection."""
        return self._run("commit", 1, seconds)

    def _run(self, script: str, clients: int, seconds: float, customers: int = 1) -> Rate:
        options = {"-c": clients, "-j": min(clients, 2), "-T": max(1, round(seconds)), "-M": "prepared"}
        command = [
            *(str(self._stack.program("pgbench")), "-n", "-D", f"customers={customers}"),
            *(str(part) for option in options.items() for part in option),
            *("-f", str(self._scripts[script]), _DATABASE),
        ]
        environment = os.environ | {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self._stack.ports["postgres"]),
            "PGUSER": "wallet_api",
            "PGPASSWORD": self._stack.password,
        }
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=seconds + 60
        )
        tps, mean = re.search(r"tps = ([\d.]+)", done.stdout), re.search(r"latency average = ([\d.]+)", done.stdout)
        failed = re.search(r"failed transactions: (\d+)", done.stdout)
        if done.returncode != 0 or tps is None or mean is None or failed is None or int(failed[1]):
            raise Trouble(f"pgbench failed (exit {done.returncode}): {(done.stderr or done.stdout).strip()[-300:]}")
        return Rate(float(tps[1]), float(mean[1]))


@contextlib.contextmanager
def scratch(stack: Stack, customers: int) -> Iterator[Pgbench]:
    """A database with the wallet's schema and so many accounts, gone afterwards."""
    waiting.run(drop_database(stack, _DATABASE))  # one that a killed run has left
    try:
        waiting.run(_prepare(stack, customers))
        with tempfile.TemporaryDirectory() as folder:
            yield Pgbench(stack, Path(folder))
    finally:
        waiting.run(drop_database(stack, _DATABASE))


async def _prepare(stack: Stack, customers: int) -> None:
    from chassis import migrations  # noqa: PLC0415 - only a bench pays for it

    await migrations.prepare(stack.admin_database_url(), "wallet", database=_DATABASE, password=stack.password)
    connection = await asyncpg.connect(stack.admin_database_url(_DATABASE))
    try:
        await connection.execute(_SEED, _STORE, customers)
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


async def drop_database(stack: Stack, name: str) -> None:
    """Drop a scratch database, whoever is connected to it; one that is not there is fine."""
    connection = await asyncpg.connect(stack.admin_database_url())
    try:
        await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    finally:
        await connection.close()
