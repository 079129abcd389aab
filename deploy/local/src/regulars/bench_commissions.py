"""Orders turned into commissions by affiliates alone, beside reading them, and beside the same rows in bulk by SQL."""

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import asyncpg

from chassis import migrations
from contracts.topics import AFFILIATES
from regulars import bench_folding, bench_topics, waiting
from regulars.bench_orders import Orders
from regulars.bench_pgbench import bulk_rate, scratch_database
from regulars.bench_postings import Samples, settle
from regulars.bench_topics import Offsets
from regulars.stack import Stack

SHARES = (1, 100)  # percent of the orders that came with a code

_DATABASE = "regulars_affiliates_bench"
_STORE = f"store_{1:026}"
_ROWS = 500  # a commit
_EVENT = b"x" * 330  # as long as what affiliates tells
_SEED = """
WITH enrolled AS (
    INSERT INTO affiliate (store_id, affiliate_id, customer_id, state, enrolled_at)
    SELECT $1, 'aff_' || lpad(n::text, 26, '0'), 'cus_' || lpad(n::text, 26, '0'), 'active', now()
    FROM generate_series(0, $2::int - 1) AS n
    RETURNING affiliate_id
), standing AS (
    INSERT INTO standing (store_id, affiliate_id, since, state) SELECT $1, affiliate_id, now(), 'active' FROM enrolled
)
INSERT INTO link (store_id, code, affiliate_id, added_at, active_from)
SELECT $1, 'bench-' || right(affiliate_id, 20), affiliate_id, now(), now() FROM enrolled
"""
_SQL = """
WITH made AS (
    SELECT 'ord_' || $4 || lpad(n::text, 18, '0') AS order_id, 'comm_' || $4 || lpad(n::text, 18, '0') AS commission_id,
           'aff_' || lpad((n % $2)::text, 26, '0') AS affiliate_id, 'bench-' || lpad((n % $2)::text, 20, '0') AS code,
           'cus_' || $4 || lpad(n::text, 18, '0') AS customer_id
    FROM generate_series(1, $3::int) AS n
), decided AS (
    INSERT INTO commission (
        store_id, order_id, commission_id, affiliate_id, code, order_version, order_currency, base_minor, state,
        rate_bps, amount_minor, revenue_minor, currency, earned_at, payable_at, customer_id, rule, touches
    )
    SELECT $1, order_id, commission_id, affiliate_id, code, 2, 'EUR', 1000, 'payable', 1000, 100, 1000, 'EUR', now(),
           now(), customer_id, 'last_click.v1', jsonb_build_array(jsonb_build_array(code, 'order', null, 'won'))
    FROM made
), posted AS (
    INSERT INTO journal (
        store_id, affiliate_id, kind, source, target, amount_minor, at, commission_id, turn, order_version
    )
    SELECT $1, affiliate_id, 'earned', 'program', 'settled', 100, now(), commission_id, 1, 2 FROM made
), added AS (
    SELECT affiliate_id, code, count(*) AS orders FROM made GROUP BY 1, 2
), owed AS (
    UPDATE affiliate SET settled_minor = settled_minor + 100 * orders
    FROM added WHERE (affiliate.store_id, affiliate.affiliate_id) = ($1, added.affiliate_id)
), day AS (
    INSERT INTO journal_day AS d (store_id, affiliate_id, day, kind, source, target, moves, moved_minor)
    SELECT $1, affiliate_id, (now() AT TIME ZONE 'UTC')::date, 'earned', 'program', 'settled', orders, 100 * orders
    FROM added
    ON CONFLICT (store_id, affiliate_id, day, kind, source, target) DO UPDATE
    SET moves = d.moves + excluded.moves, moved_minor = d.moved_minor + excluded.moved_minor
), sold AS (
    UPDATE link SET total_sales = total_sales + orders, total_revenue_minor = total_revenue_minor + 1000 * orders
    FROM added WHERE (link.store_id, link.code) = ($1, added.code)
)
INSERT INTO outbox (event_id, topic, key, type, store_id, payload, traceparent)
SELECT uuidv7(), 'affiliates', affiliate_id, 'commission.earned', $1, $5,
       '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
FROM made
"""


@dataclass(frozen=True)
class Commissions:
    """What the measurement works on: customers of the demo store, and the codes that their orders carry."""

    stack: Stack
    orders: Orders

    def measure(self, events: int, seconds: float) -> Samples:
        """One round: so many orders of which few came with a code, so many that all did, and the floors of each."""
        samples: Samples = {}
        settle(self.stack)
        with bench_folding.stopped(self.stack):
            for share in SHARES:
                each = 100 // share
                begin, end = bench_folding.put(self.stack, self.orders.made(events, each))
                handled, told = waiting.run(self._owe(begin, end, -(-events // each)))
                samples |= {f"commissions_{share}_rate": handled, f"commissions_{share}_told_rate": told}
                for does in ("skip", "parse") if share == SHARES[0] else ("fold",):
                    samples[f"orders_{does}_rate"] = bench_folding.floor(self.stack, self.orders, begin, end, does)
        return samples | {"commissions_floor_rate": _floor(self.stack, len(self.orders.codes), seconds)}

    async def _owe(self, begin: Offsets, end: Offsets, commissions: int) -> tuple[float, float]:
        """Start affiliates: how fast it works off the orders, and how fast it tells what it owes."""
        bootstrap = self.stack.kafka_bootstrap
        before = await bench_topics.ends(bootstrap, AFFILIATES)
        with bench_folding.started(self.stack, "affiliates"):
            return await asyncio.gather(
                bench_topics.rate(bootstrap, "affiliates", begin, end),
                bench_topics.growth(bootstrap, AFFILIATES, before, commissions),
            )


def _floor(stack: Stack, affiliates: int, seconds: float) -> float:
    """Commissions a second, each statement with as many as a commit may have, one after the other."""
    with _scratch(stack, affiliates):
        url = stack.database_url("affiliates", "worker", _DATABASE)
        return waiting.run(
            bulk_rate(url, _SQL, _ROWS, seconds, lambda: (_STORE, affiliates, _ROWS, secrets.token_hex(4), _EVENT))
        )


@contextmanager
def _scratch(stack: Stack, affiliates: int) -> Iterator[None]:
    """A database with the schema of affiliates and so many of them, gone afterwards."""
    with scratch_database(stack, _DATABASE):
        waiting.run(_prepare(stack, affiliates))
        yield


async def _prepare(stack: Stack, affiliates: int) -> None:
    await migrations.prepare(stack.admin_database_url(), "affiliates", database=_DATABASE, password=stack.password)
    conn = await asyncpg.connect(stack.admin_database_url(_DATABASE))
    try:
        await conn.execute(_SEED, _STORE, affiliates)
    finally:
        await conn.close()
