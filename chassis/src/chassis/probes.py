"""What an orchestrator asks a process: alive, ready, and how it does."""

import asyncpg
from aiokafka.errors import KafkaError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from chassis import gauges, migrations, topics
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


async def metrics(request: Request) -> Response:
    """What Prometheus scrapes."""
    return Response(await gauges.exposition(request.app.state.runtime), media_type=_METRICS_TYPE)
