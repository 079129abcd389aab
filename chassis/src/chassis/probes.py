"""What an orchestrator asks a process: alive, ready, and how it does."""

import math
from datetime import timedelta

import asyncpg
from aiokafka.errors import KafkaError
from prometheus_client import REGISTRY, CollectorRegistry, Gauge, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from chassis import migrations, topics
from chassis.runtime import Runtime

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def routes() -> list[Route]:
    """``/livez``, ``/readyz`` and ``/metrics``."""
    return [Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)]


async def livez(_request: Request) -> Response:
    """The process runs. Asks nothing, so a broker's outage restarts nobody."""
    return JSONResponse({"status": "alive"})


async def readyz(request: Request) -> Response:
    """Whether to send work here, and if not, why not."""
    reasons = await _reasons(request.app.state.runtime)
    return JSONResponse({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)


async def _reasons(runtime: Runtime) -> list[str]:
    reasons = ["shutting down"] if runtime.draining else []
    try:
        async with runtime.api.pool.acquire(timeout=2) as conn:
            missing = await migrations.missing(conn, runtime.module)
        reasons += [f"migration {migration.name} is missing" for migration in missing]
    except asyncpg.UndefinedTableError:
        reasons.append("the database has no schema")
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        reasons.append(f"the database does not answer ({type(error).__name__})")
    if runtime.consumer is not None:
        reasons += await runtime.consumer.reasons() or await _topics_wrong(runtime)
    return reasons


async def _topics_wrong(runtime: Runtime) -> list[str]:
    """Asked until it is right once: partition counts do not change under a running process."""
    if not runtime.topics_checked:
        try:
            wrong = await topics.check(runtime.settings.kafka)
        except (OSError, KafkaError) as error:
            return [f"Kafka does not answer ({type(error).__name__})"]
        runtime.topics_checked = not wrong
        return wrong
    return []


async def _lag(runtime: Runtime) -> float:
    try:
        return await runtime.consumer.lag() if runtime.consumer is not None else 0
    except (KafkaError, TimeoutError):
        return math.nan


async def metrics(request: Request) -> Response:
    """Consumer lag, outbox age, parked, dead letters, and what the service itself counts, for Prometheus."""
    runtime: Runtime = request.app.state.runtime
    registry = CollectorRegistry()
    lag = Gauge("regulars_consumer_lag", "Events not yet handled", ["service"], registry=registry)
    age = Gauge("regulars_outbox_oldest_seconds", "Age of the oldest unpublished event", ["service"], registry=registry)
    parked = Gauge("regulars_parked", "Events that wait for another", ["service"], registry=registry)
    dead = Gauge("regulars_dead_letters", "Events given up", ["service"], registry=registry)
    async with runtime.worker.pool.acquire(timeout=2) as conn:
        row = await conn.fetchrow(
            """
            SELECT (SELECT clock_timestamp() - created_at FROM outbox ORDER BY seq LIMIT 1) AS age,
                   (SELECT count(*) FROM parked) AS parked,
                   (SELECT count(*) FROM dead_letter) AS dead
            """
        )
    if row is not None:
        age.labels(runtime.service).set((row["age"] or timedelta()).total_seconds())
        parked.labels(runtime.service).set(row["parked"])
        dead.labels(runtime.service).set(row["dead"])
    lag.labels(runtime.service).set(await _lag(runtime))
    return Response(generate_latest(registry) + generate_latest(REGISTRY), media_type=_METRICS_TYPE)
