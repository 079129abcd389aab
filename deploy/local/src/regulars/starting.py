"""The steps that bring the stack up: parts side by side, then schemas and topics, then the services."""

import asyncio
import contextlib
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from regulars import jars, kafka, layout, memory, places, ports, postgres, programs, room, supervision, waiting, wheels
from regulars.ports import PROGRAMS
from regulars.supervision import Program
from regulars.trouble import Trouble

if TYPE_CHECKING:
    from regulars.stack import Stack

PARTS = ("postgres", "kafka")
PATIENCE = 180.0  # seconds that a program which runs has to answer: six start at once, on a machine that may be busy
TITLES = {"postgres": "PostgreSQL", "kafka": "Kafka"}
Say = Callable[[str], None]


def everything(stack: "Stack", say: Say) -> bool:
    """Start parts and services; False when all of it ran and was ready."""
    with _explained(stack), _alone(stack), _down_again_on_failure(stack):
        running = stack.pids()
        if running.keys() >= {*PARTS, *PROGRAMS} and all(stack.missing(name)() is None for name in PROGRAMS):
            return False
        _supervisor(stack, say)
        waiting.together(partial(_databases, stack, say), partial(_topics, stack, say))
        for name in PROGRAMS:
            _launch(stack, name)
        waiting.together(partial(_services_ready, stack, say), partial(_seed, stack))
        return True


def parts(stack: "Stack", say: Say) -> bool:
    """Start PostgreSQL and Kafka; False when both ran."""
    with _explained(stack), _alone(stack), _down_again_on_failure(stack):
        if stack.pids().keys() >= set(PARTS):
            return False
        _supervisor(stack, say)
        waiting.together(*(partial(_part, stack, name, say) for name in PARTS))
        return True


def wait_for(stack: "Stack", *names: str, seconds: float = PATIENCE, patient: bool = False) -> None:
    """Wait until the programs are ready; a patient wait allows for supervisord's restarts."""
    waits = (
        partial(waiting.until, stack.places, name, stack.missing(name), seconds, patient=patient) for name in names
    )
    waiting.together(*waits)


def _supervisor(stack: "Stack", say: Say) -> None:
    """Have supervisord running, with everything it can start prepared."""
    if stack.is_up:
        return
    supervision.sweep(stack.places)
    for name in stack.ports:
        _refuse_taken(stack, name)
    layout.refuse_foreign(stack.places)
    if short := room.shortage(stack.places, fresh=not postgres.cluster(stack.places).exists()):
        raise Trouble(short)
    layout.note(stack.places)
    stack.remember(memory.with_secrets(stack.state) | {"ports": stack.ports, "test_clock": stack.test_clock})
    stack.clock_file.set_if_missing()
    supervision.write(stack.places, [*stack.prepare_parts(say), *_services(stack)])
    supervision.start(stack.places)


def embedded_parts(stack: "Stack", say: Say) -> list[Program]:
    """Have PostgreSQL and Kafka on disk; how to run them."""
    if not jars.intact():
        again = f"again what is damaged in {jars.folder()}" if jars.folder().exists() else "45 MB, once"
        say(f"fetching Kafka {jars.VERSION} from Maven Central ({again})")
        jars.fetch()
    waiting.together(
        partial(postgres.prepare, stack.places, stack.password),
        partial(kafka.prepare, stack.places, stack.ports, stack.state["cluster_id"]),
    )
    owner = stack.places.owner
    server = postgres.command(stack.places, stack.ports)
    return [
        Program("postgres", server, user=owner.pw_name if owner else None, stop_signal="INT", retries=20),
        Program("kafka", kafka.command(stack.places), stop_seconds=20, retries=5),
    ]


def _services(stack: "Stack") -> list[Program]:
    return [
        Program(name, [sys.executable, "-m", programs.module(name), "--kind", "all"], stack.environment(name))
        for name in PROGRAMS
    ]


def _part(stack: "Stack", name: str, say: Say) -> None:
    _launch(stack, name)
    wait_for(stack, name)
    say(f"{TITLES[name]} answers on port {stack.ports[name]}")


def _launch(stack: "Stack", name: str) -> None:
    if name not in stack.pids():
        _refuse_taken(stack, name)
        supervision.launch(stack.places, name)


def _refuse_taken(stack: "Stack", name: str) -> None:
    port = stack.ports[name]
    if ports.in_use(port):
        free_it = "stop the program that holds it, or set REGULARS_PORT_BASE to the first of nine free ports"
        raise Trouble(f"Port {port}, which {name} needs, is in use: {free_it}.")


def _databases(stack: "Stack", say: Say) -> None:
    from chassis import migrations  # noqa: PLC0415 - loads while the server starts

    _part(stack, "postgres", say)

    async def migrate() -> None:
        url, password = stack.admin_database_url(), stack.password
        await asyncio.gather(*(migrations.prepare(url, programs.module(name), password=password) for name in PROGRAMS))

    layout.refuse_newer_schemas(stack.places, stack.ports, stack.password)
    _or_trouble("The databases could not be migrated", lambda: asyncio.run(migrate()))
    say(f"{len(PROGRAMS)} databases are migrated")


def _topics(stack: "Stack", say: Say) -> None:
    from chassis import topics  # noqa: PLC0415 - loads while the broker starts

    _part(stack, "kafka", say)
    _or_trouble("The topics could not be created", lambda: asyncio.run(topics.apply(stack.kafka_bootstrap)))
    say("the topics are there")


def _services_ready(stack: "Stack", say: Say) -> None:
    def one(name: str) -> None:
        wait_for(stack, name)
        say(f"{name} is ready on {stack.url(name)}")

    waiting.together(*(partial(one, name) for name in PROGRAMS))


def _seed(stack: "Stack") -> None:
    """Have the demo store; its keys are shown only once, so the first answer is kept."""
    if "api_key" in stack.state:
        return
    environment = {**os.environ, **stack.environment("gateway")}
    log = stack.places.log("seed")
    with log.open("ab") as output:
        command = [sys.executable, "-m", "gateway", "seed"]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=output, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines:
        raise Trouble(f"The demo store could not be made (exit {done.returncode}): see {log}.")
    stack.remember(json.loads(lines[-1]))


def _or_trouble(what: str, work: Callable[[], object]) -> None:
    try:
        work()
    except Trouble:
        raise
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise Trouble(f"{what}: {reason}") from error


@contextlib.contextmanager
def _alone(stack: "Stack") -> Iterator[None]:
    """One start at a time per folder; a second one waits and then finds everything running."""
    places.make(stack.places)
    with (stack.places.folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _explained(stack: "Stack") -> Iterator[None]:
    """Name the cause where what failed could not know it: a full disk, a damaged wheel."""
    before = room.mark(stack.places)
    try:
        yield
    except Exception as error:
        if cause := room.cause(stack.places, before, error) or wheels.cause(stack.places):
            raise Trouble(cause) from error
        raise


@contextlib.contextmanager
def _down_again_on_failure(stack: "Stack") -> Iterator[None]:
    """A start that fails, or is interrupted, leaves nothing running that it brought up."""
    was_up = stack.is_up
    try:
        yield
    except BaseException:
        if not was_up:
            stack.down()
        raise
