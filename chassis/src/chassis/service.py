"""A service: what its ``main.py`` builds and its ``__main__.py`` runs.

``python -m wallet --kind api|worker|all`` serves until SIGTERM; ``python -m wallet verify`` checks the books; what else
may be asked is in ``commands``.
"""

import argparse
import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg
import structlog
import uvloop
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server
from starlette.types import ASGIApp

from chassis import application, clock, commands, idempotency, known_customers, logs, replies, stores, timers
from chassis.consumer import Consumer
from chassis.db import Conn, Database
from chassis.gauges import Figures
from chassis.http import Api
from chassis.idempotency import AtWork
from chassis.inbox import Router
from chassis.known_customers import KnownCustomers
from chassis.notifier import Notifier
from chassis.parked import Parked
from chassis.relay import Relay
from chassis.replies import Waiters
from chassis.runtime import Kind, Runtime
from chassis.settings import Settings
from chassis.timers import Timer
from chassis.tokens import Verifier

log = structlog.get_logger()

Verify = Callable[[Conn], Awaitable[list[str]]]
Wrap = Callable[[ASGIApp, Runtime], contextlib.AbstractAsyncContextManager[ASGIApp]]

_DRAIN = 8.0
_HEAD_MS = 5_000
_CONNECTIONS = 4_096

_OWN_TIMERS = (
    *timers.OWN,
    Timer("ask again", every=timedelta(seconds=5), run=replies.ask_again),
)


@dataclass(frozen=True)
class Service:
    """Everything a service is. ``wrap`` puts an ASGI application of its own around the chassis' one."""

    name: str
    settings: type[Settings]
    consumers: Router | None
    api: Api | None
    timers: Sequence[Timer]
    verify: Verify | None
    verify_whole: Verify | None
    known_customers: bool
    wrap: Wrap | None
    figures: Figures | None
    at_work: AtWork

    @contextlib.asynccontextmanager
    async def running(self, settings: Settings, kind: Kind = "all") -> AsyncIterator[tuple[Runtime, ASGIApp]]:
        """Run the tasks of a process around its application; ends them in order."""
        clock.follow(settings.test_clock)
        notifier = Notifier(settings.worker_database_url)
        api = await Database.open(
            settings.api_database_url, size=settings.api_pool_size, name=f"{self.name}-api", notifier=notifier
        )
        worker = await Database.open(
            settings.worker_database_url, size=settings.worker_pool_size, name=f"{self.name}-worker", notifier=notifier
        )
        runtime = Runtime(
            service=self.name,
            kind=kind,
            settings=settings,
            api=api,
            worker=worker,
            verifier=Verifier(settings.token_jwks, self.name),
            waiters=Waiters(settings.api_database_url),
            known=KnownCustomers(api) if self.known_customers else None,
            figures=self.figures,
        )
        app = application.create(runtime, self.api if kind != "worker" else None)
        async with contextlib.AsyncExitStack() as stack:
            if settings.otlp_endpoint:
                from chassis import exporting  # noqa: PLC0415  (it takes long to load)

                spans = exporting.start(
                    self.name,
                    settings.otlp_endpoint,
                    settings.trace_ratio,
                    trusts_callers=settings.trace_trusts_callers,
                )
                stack.push_async_callback(asyncio.to_thread, spans.shutdown)
            stack.push_async_callback(_close, api, worker)
            await _run_all(stack, [notifier.run(), runtime.waiters.run()])
            if kind != "api":
                await self._work(stack, runtime)
            if self.wrap is not None and kind != "worker":
                app = await stack.enter_async_context(self.wrap(app, runtime))
            yield runtime, app

    def router(self) -> Router:
        """All that the service hears: what it handles itself, and what the chassis keeps for it."""
        router = Router()
        for part in (self.consumers, stores.router, known_customers.router if self.known_customers else None):
            if part is not None:
                router.include(part)
        return router

    def _sweep(self) -> Timer:
        return Timer(
            "idempotency keys", timedelta(minutes=10), run=lambda conn, _now: idempotency.sweep(conn, self.at_work)
        )

    async def _work(self, stack: contextlib.AsyncExitStack, runtime: Runtime) -> None:
        """What a worker does: publish, consume, retry what is parked, and what time brings."""
        settings, worker, router = runtime.settings, runtime.worker, self.router()
        relay = Relay(settings.worker_database_url, settings.kafka, self.name)
        every = [*self.timers, *_OWN_TIMERS, self._sweep()]
        parked = Parked(self.name, router, worker)
        await _run_all(stack, [relay.run(), parked.run(), *(timer.loop(worker) for timer in every)])
        runtime.consumer = Consumer(self.name, router, worker, settings.kafka)
        stack.push_async_callback(runtime.consumer.stop)
        await _run_all(stack, [runtime.consumer.run()])

    async def serve(self, settings: Settings, kind: Kind) -> None:
        """Serve until SIGTERM or SIGINT: unready, finish what is in flight, commit, leave the groups."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with self.running(settings, kind) as (runtime, app):
            server = _server(app, settings)
            _spare_the_lasting()
            serving = asyncio.create_task(server.serve())
            log.info("serving", kind=kind, port=settings.port)
            await asyncio.wait({asyncio.ensure_future(stop.wait()), serving}, return_when=asyncio.FIRST_COMPLETED)
            runtime.draining = True
            await _drained(runtime)
            server.stop()  # type: ignore[no-untyped-call]
            await serving

    def run(self) -> None:
        """The command line of a service."""
        parser = argparse.ArgumentParser(prog=f"python -m {self.name.replace('-', '_')}")
        parser.add_argument("--kind", choices=["api", "worker", "all"], default="all")
        verbs = parser.add_subparsers(dest="verb")
        verify = verbs.add_parser("verify", help="say what is wrong with the books")
        verify.add_argument("--whole", action="store_true", help="prove again what was found clean before")
        commands.add_to(verbs)
        args = parser.parse_args()
        settings = self.settings()
        logs.configure(self.name, settings.log_level)
        if args.verb == "verify":
            sys.exit(uvloop.run(self._verify(settings, whole=args.whole)))
        if args.verb in commands.VERBS:
            sys.exit(uvloop.run(commands.carry_out(args, self.name, self.router(), settings.worker_database_url)))
        uvloop.run(self.serve(settings, args.kind))

    async def _verify(self, settings: Settings, *, whole: bool) -> int:
        """Print what is wrong with the books, as they are at one moment; 1 if anything is."""
        prove = (whole and self.verify_whole) or self.verify
        if prove is None:
            print(f"{self.name}: nothing to verify")  # noqa: T201
            return 0
        database = await Database.open(settings.worker_database_url, size=1, name=f"{self.name}-verify")
        try:
            async with database.transaction() as conn:
                await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                wrong = await prove(conn)
        except (OSError, asyncpg.PostgresError) as error:
            wrong = [f"the database does not answer ({type(error).__name__})"]
        finally:
            await database.close()
        print("\n".join(f"{self.name}: {sentence}" for sentence in wrong) or f"{self.name}: clean")  # noqa: T201
        return 1 if wrong else 0


def build(
    name: str,
    *,
    settings: type[Settings] = Settings,
    consumers: Router | None = None,
    api: Api | None = None,
    timers: Sequence[Timer] = (),
    verify: Verify | None = None,
    verify_whole: Verify | None = None,
    known_customers: bool = True,
    wrap: Wrap | None = None,
    figures: Figures | None = None,
    at_work: AtWork = replies.unanswered,
) -> Service:
    """A service of this name.

    ``verify`` returns what is wrong with its data, a sentence each, and may keep how far it was found clean, which
    ``verify_whole`` does not rely on; ``figures`` is what it adds to ``/metrics``; ``at_work`` says which requests are
    still being worked on, where it does not ask other services for them by their own ids.
    """
    return Service(
        name, settings, consumers, api, timers, verify, verify_whole, known_customers, wrap, figures, at_work
    )


def _server(app: ASGIApp, settings: Settings) -> Server:
    """HTTP/1.1 only, with a limit on the time a head may take: connections that say nothing shut nobody out."""
    return Server(
        app,
        settings.host,
        settings.port,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=_HEAD_MS),
        websockets=False,
        backlog=1024,
        backpressure=_CONNECTIONS,
        log_enabled=False,
    )


def _spare_the_lasting() -> None:
    """Collect garbage seldom, and never look again at what was loaded at the start: a twentieth of a busy process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


async def _run_all(stack: contextlib.AsyncExitStack, work: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Run coroutines as tasks that end with the stack."""
    tasks = [asyncio.create_task(coroutine) for coroutine in work]

    async def end() -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    stack.push_async_callback(end)


async def _close(*databases: Database) -> None:
    for database in databases:
        await database.close()


async def _drained(runtime: Runtime) -> None:
    deadline = asyncio.get_running_loop().time() + _DRAIN
    while runtime.in_flight and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110  (a count, no event)
        await asyncio.sleep(0.02)
