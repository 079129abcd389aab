"""Conversions credited by the wallet alone, read from their topic, beside the same rows written in bulk by SQL."""

import asyncio
import itertools
import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from chassis import ids
from contracts.affiliates import ClaimConverted
from contracts.ids import CLAIM
from contracts.topics import CLAIMS, WALLET
from regulars import bench_pgbench, bench_topics, waiting
from regulars.bench_postings import Samples, settle
from regulars.stack import Stack

_GROUP = "wallet.ask"
_LISTENERS = ("customers", "affiliates")
_WAITS_FOR_CLAIMS = "affiliates.ask"
_ROWS = 500  # a commit
_EVENT = b"x" * 360  # as long as what the wallet tells
_SQL = """
WITH moved AS (
    UPDATE account SET balance_minor = balance_minor + 100, sequence = sequence + 1, hash = sha256(hash)
    FROM generate_series($2::int, $2::int + $3::int - 1) AS n
    WHERE store_id = $1 AND customer_id = 'cus_' || lpad(n::text, 26, '0')
    RETURNING customer_id, sequence, balance_minor, hash, substr(md5(random()::text), 1, 26) AS tail
), written AS (
    INSERT INTO entry (store_id, entry_id, customer_id, sequence, type, debit_account, credit_account, amount_minor,
                       balance_after_minor, currency, cause_kind, cause_id, parts, posted_at, hash)
    SELECT $1, 'wallet_tx_' || $4 || tail, customer_id, sequence, 'CREDIT', 'commissions', 'customer', 100,
           balance_minor, 'EUR', 'claim', 'claim_' || $4 || tail, '[]', now(), hash
    FROM moved
), granted AS (
    INSERT INTO credit_grant (store_id, customer_id, sequence, entry_id, type, amount_minor, left_minor, granted_at,
                              open)
    SELECT $1, customer_id, sequence, 'wallet_tx_' || $4 || tail, 'CREDIT', 100, 100, now(), true FROM moved
)
INSERT INTO outbox (event_id, topic, key, type, store_id, payload, traceparent)
SELECT uuidv7(), 'wallet', customer_id, 'wallet.posted', $1, $5,
       '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
FROM moved
"""


@dataclass(frozen=True)
class Crediting:
    """What the measurement works on: customers whom the wallet knows."""

    stack: Stack
    customers: Sequence[str]

    def measure(self, conversions: int, seconds: float) -> Samples:
        """One round: so many conversions, then the floor."""
        settle(self.stack)
        with self._alone():
            credited, told = waiting.run(self._credit(conversions))
        floor = waiting.run(_floor(self.stack, len(self.customers), seconds))
        return {"credit_rate": credited, "credit_told_rate": told, "credit_floor_rate": floor}

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody but the wallet: not who reads its answers, and affiliates never, for it has not asked."""
        for service in (*_LISTENERS, "wallet"):
            self.stack.stop(service)
        try:
            yield
        finally:
            waiting.run(bench_topics.skip(self.stack.kafka_bootstrap, _WAITS_FOR_CLAIMS, WALLET))
            for service in _LISTENERS:
                self.stack.start(service)

    async def _credit(self, conversions: int) -> tuple[float, float]:
        """Start the wallet, and see how fast it works off the conversions, and how fast it tells of them."""
        bootstrap = self.stack.kafka_bootstrap
        begin, told = await bench_topics.ends(bootstrap, CLAIMS), await bench_topics.ends(bootstrap, WALLET)
        await bench_topics.send(bootstrap, "affiliates", self._claims(conversions))
        end = await bench_topics.ends(bootstrap, CLAIMS)
        starting = threading.Thread(target=self.stack.start, args=("wallet",), daemon=True)
        starting.start()
        try:
            return await asyncio.gather(
                bench_topics.rate(bootstrap, _GROUP, begin, end),
                bench_topics.growth(bootstrap, WALLET, told, conversions),
            )
        finally:
            await asyncio.to_thread(starting.join)

    def _claims(self, count: int) -> Iterator[ClaimConverted]:
        """So many conversions of 1.00, of each customer in turn."""
        for customer_id in itertools.islice(itertools.cycle(self.customers), count):
            yield ClaimConverted(
                store_id=self.stack.store_id,
                claim_id=ids.new(CLAIM),
                customer_id=customer_id,
                amount_minor=100,
                currency="EUR",
            )


async def _floor(stack: Stack, customers: int, seconds: float) -> float:
    """Credits a second, each statement with as many customers as a commit may have, one after the other."""
    rows = min(_ROWS, customers)
    firsts = itertools.cycle(range(1, customers - rows + 2, rows))
    url = stack.database_url("wallet", "worker", bench_pgbench.DATABASE)
    return await bench_pgbench.bulk_rate(
        url, _SQL, rows, seconds, lambda: (bench_pgbench.STORE, next(firsts), rows, secrets.token_hex(4), _EVENT)
    )
