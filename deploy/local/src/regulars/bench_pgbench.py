"""The floor of a posting: PostgreSQL's own pgbench writes the same rows, one posting a transaction.

It works on a database of its own with the wallet's schema, as the wallet's role and under its row-level security. What
it leaves out is in the wallet's disfavour: HTTP, identity, a decision, the relay that empties the outbox.
"""

import contextlib
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import asyncpg

from regulars import waiting
from regulars.bench_grants import GRANTS
from regulars.stack import Stack
from regulars.trouble import Trouble

CLIENTS = 64

DATABASE = "regulars_wallet_bench"
STORE = f"store_{1:026}"

_SEED = """
WITH opened AS (
    INSERT INTO account (store_id, customer_id, currency, balance_minor, sequence, hash)
    SELECT $1, 'cus_' || lpad(n::text, 26, '0'), 'EUR', $3::bigint * 1000000000, $3, sha256('x')
    FROM generate_series(1, $2::int) AS n
    RETURNING customer_id
)
INSERT INTO credit_grant (store_id, customer_id, sequence, entry_id, type, amount_minor, left_minor, expires_at,
                          granted_at, open)
SELECT $1, customer_id, n, 'wallet_tx_' || lpad(n::text, 26, '0'), 'ADJUSTMENT', 1000000000, 1000000000,
       now() + n * interval '100 days', now(), true
FROM opened, generate_series(1, $3::int) AS n
"""

# As long as what the wallet writes; without a colon, which pgbench would take for a variable.
_REPLY = "x" * 365
_EVENT = "x" * 360
_CUSTOMER = "'cus_' || lpad(:n, 26, '0')"
_BEGIN = rf"""
\set n random(1, :customers)
\set key random(1, 9000000000000000000)
BEGIN;
SET LOCAL app.store_id = '{STORE}';
INSERT INTO idempotency (store_id, principal, key, method, path, fingerprint)
VALUES ('{STORE}', 'merchant', 'bench-' || :key, 'POST',
        '/dev/v1/customers/' || {_CUSTOMER} || '/wallet/adjustments', sha256('x'))
ON CONFLICT DO NOTHING;
"""  # noqa: S608  (pgbench takes a script)
_END = rf"""
UPDATE idempotency SET status = 201, body = '{_REPLY}', media_type = 'application/json'
WHERE store_id = '{STORE}' AND principal = 'merchant' AND key = 'bench-' || :key AND method = 'POST'
  AND path = '/dev/v1/customers/' || {_CUSTOMER} || '/wallet/adjustments';
INSERT INTO outbox (event_id, topic, key, type, store_id, payload, traceparent)
VALUES (uuidv7(), 'wallet', {_CUSTOMER}, 'wallet.posted', '{STORE}', '{_EVENT}',
        '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01');
COMMIT;
"""  # noqa: S608  (pgbench takes a script)
_CREDIT = rf"""{_BEGIN}
UPDATE account SET balance_minor = balance_minor + 100, sequence = sequence + 1, hash = sha256(hash)
WHERE store_id = '{STORE}' AND customer_id = {_CUSTOMER}
RETURNING balance_minor AS balance, sequence AS sequence \gset
INSERT INTO entry (store_id, entry_id, customer_id, sequence, type, debit_account, credit_account, amount_minor,
                   balance_after_minor, currency, cause_kind, cause_id, parts, posted_at, hash)
VALUES ('{STORE}', 'wallet_tx_' || lpad(:key, 26, '0'), {_CUSTOMER}, :sequence, 'ADJUSTMENT', 'adjustments', 'customer',
        100, :balance, 'EUR', 'adjustment', 'wallet_tx_' || lpad(:key, 26, '0'), '[]', now(), sha256('x'));
INSERT INTO credit_grant (store_id, customer_id, sequence, entry_id, type, amount_minor, left_minor, held_minor,
                          granted_at, open)
VALUES ('{STORE}', {_CUSTOMER}, :sequence, 'wallet_tx_' || lpad(:key, 26, '0'), 'ADJUSTMENT', 100, 100, 0, now(), true);
{_END}"""  # noqa: S608  (pgbench takes a script)
_DEBIT = rf"""{_BEGIN}
UPDATE account SET balance_minor = balance_minor - 210, sequence = sequence + 1, hash = sha256(hash)
WHERE store_id = '{STORE}' AND customer_id = {_CUSTOMER}
RETURNING balance_minor AS balance, sequence AS sequence \gset
UPDATE credit_grant SET left_minor = left_minor - 105, held_minor = 0, open = true
WHERE store_id = '{STORE}' AND customer_id = {_CUSTOMER} AND sequence IN (1, 2);
INSERT INTO entry (store_id, entry_id, customer_id, sequence, type, debit_account, credit_account, amount_minor,
                   balance_after_minor, currency, cause_kind, cause_id, parts, posted_at, hash)
VALUES ('{STORE}', 'wallet_tx_' || lpad(:key, 26, '0'), {_CUSTOMER}, :sequence, 'ADJUSTMENT', 'customer', 'adjustments',
        210, :balance, 'EUR', 'adjustment', 'wallet_tx_' || lpad(:key, 26, '0'), '[[1, 105], [2, 105]]', now(),
        sha256('x'));
{_END}"""  # noqa: S608  (pgbench takes a script)
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
        self._folder = folder
        for name, script in (("credit", _CREDIT), ("debit", _DEBIT), ("commit", _COMMIT)):
            (folder / name).write_text(script)

    def credits(self, customers: int, seconds: float) -> Rate:
        """Credits one by one over 64 connections, on so many customers."""
        return self._run("credit", CLIENTS, seconds, customers)

    def debits(self, customers: int, seconds: float) -> Rate:
        """Debits one by one over 64 connections, each from two of ten grants, always the same two."""
        return self._run("debit", CLIENTS, seconds, customers)

    def commits(self, seconds: float) -> Rate:
        """The least that a transaction with one row costs, on one connection."""
        return self._run("commit", 1, seconds)

    def _run(self, script: str, clients: int, seconds: float, customers: int = 1) -> Rate:
        options = {"-c": clients, "-j": min(clients, 2), "-T": max(1, round(seconds)), "-M": "prepared"}
        command = [
            *(str(self._stack.program("pgbench")), "-n", "-D", f"customers={customers}"),
            *(str(part) for option in options.items() for part in option),
            *("-f", str(self._folder / script), DATABASE),
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
    """A database with the wallet's schema and so many accounts of ten grants each, gone afterwards."""
    with scratch_database(stack, DATABASE), tempfile.TemporaryDirectory() as folder:
        waiting.run(_prepare(stack, customers))
        yield Pgbench(stack, Path(folder))


async def _prepare(stack: Stack, customers: int) -> None:
    from chassis import migrations  # noqa: PLC0415 - only a bench pays for it

    await migrations.prepare(stack.admin_database_url(), "wallet", database=DATABASE, password=stack.password)
    connection = await asyncpg.connect(stack.admin_database_url(DATABASE))
    try:
        await connection.execute(_SEED, STORE, customers, GRANTS)
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


@contextlib.contextmanager
def scratch_database(stack: Stack, name: str) -> Iterator[None]:
    """Room for a database of this name, which whoever asks for it makes: gone before, if a killed run left it, and after."""
    waiting.run(_drop(stack, name))
    try:
        yield
    finally:
        waiting.run(_drop(stack, name))


async def bulk_rate(
    url: str, sql: str, rows: int, seconds: float, arguments: Callable[[], tuple[object, ...]]
) -> float:
    """Rows a second of a statement that writes so many, one after the other on one connection."""
    conn = await asyncpg.connect(url)
    try:
        began, done = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            await conn.execute(sql, *arguments())
            done += rows
        return done / (time.perf_counter() - began)
    finally:
        await conn.close()


async def _drop(stack: Stack, name: str) -> None:
    """Drop a database, whoever is connected to it; one that is not there is fine."""
    connection = await asyncpg.connect(stack.admin_database_url())
    try:
        await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    finally:
        await connection.close()
