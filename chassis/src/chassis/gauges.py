"""What Prometheus is told of a process the moment it asks: what waits, for how long, and what the service's books say."""

import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import asyncpg
from prometheus_client import REGISTRY, CollectorRegistry, Gauge, generate_latest

from chassis.db import Conn, Database
from chassis.runtime import Runtime


@dataclass(frozen=True)
class Figure:
    """A figure of a service's own. The name goes without the prefix ``regulars_``."""

    name: str
    help: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


Figures = Callable[[Conn], Awaitable[Sequence[Figure]]]


async def exposition(runtime: Runtime) -> bytes:
    """Everything, in Prometheus' text format; without what the database would have to say where that is away."""
    registry = CollectorRegistry()
    figures = [*await _consuming(runtime), *_pools(runtime)]
    with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        figures += await _waiting(runtime.worker)
        if runtime.figures is not None:
            async with runtime.worker.transaction() as conn:
                figures += await runtime.figures(conn)
    _tell(registry, runtime.service, figures)
    return generate_latest(registry) + generate_latest(REGISTRY)


def _tell(registry: CollectorRegistry, service: str, figures: Iterable[Figure]) -> None:
    gauges: dict[str, Gauge] = {}
    for figure in figures:
        if figure.name not in gauges:
            labels = ["service", *figure.labels]
            gauges[figure.name] = Gauge(f"regulars_{figure.name}", figure.help, labels, registry=registry)
        gauges[figure.name].labels(service, *figure.labels.values()).set(figure.value)


async def _waiting(worker: Database) -> list[Figure]:
    """What waits in the database."""
    async with worker.transaction() as conn:
        row = await conn.row(
            """
            SELECT (SELECT count(*) FROM outbox) AS outbox,
                   (SELECT extract(epoch FROM clock_timestamp() - created_at) FROM outbox ORDER BY seq LIMIT 1) AS age,
                   (SELECT count(*) FROM outbox_unsendable) AS unsendable,
                   (SELECT count(*) FROM parked) AS parked,
                   (SELECT count(*) FROM dead_letter) AS dead
            """
        )
    assert row is not None, "a row of counts"
    return [
        Figure("outbox_rows", "Events not yet published", row["outbox"]),
        Figure("outbox_oldest_seconds", "Age of the oldest unpublished event", float(row["age"] or 0)),
        Figure("outbox_unsendable", "Events the broker will never take", row["unsendable"]),
        Figure("parked", "Events that wait for another", row["parked"]),
        Figure("dead_letters", "Events given up", row["dead"]),
    ]


async def _consuming(runtime: Runtime) -> list[Figure]:
    """What waits on the broker; not a number where that cannot be told."""
    lag, age = 0.0, 0.0
    if runtime.consumer is not None:
        try:
            waiting = await runtime.consumer.waiting()
        except Exception:  # noqa: BLE001  (an ill client may raise anything; the others' figures are wanted all the more)
            lag = age = math.nan
        else:
            lag, age = waiting.records, waiting.age(time.time())
    return [
        Figure("consumer_lag", "Events not yet handled", lag),
        Figure("consumer_oldest_seconds", "Age of the oldest event not yet handled", age),
    ]


def _pools(runtime: Runtime) -> list[Figure]:
    return [
        figure
        for name, database in (("api", runtime.api), ("worker", runtime.worker))
        for figure in (
            Figure("pool_connections", "Open connections", database.pool.get_size(), {"pool": name}),
            Figure("pool_in_use", "Connections at work", database.in_use, {"pool": name}),
            Figure("pool_limit", "Connections there may be", database.pool.get_max_size(), {"pool": name}),
        )
    ]
