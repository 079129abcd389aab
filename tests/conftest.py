"""Real parts for every test: one PostgreSQL and one Kafka per session, a cloned database per module, all services on demand."""

import asyncio
import itertools
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass

import asyncpg
import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from regulars import leash, programs
from regulars.stack import Stack

MARKERS = (
    "journeys: several services over real Kafka, on the fixture `stack`",
    "faults: processes are killed or held back, on the fixture `stack`",
    "bench: a tiny run of the whole bench; only by `just bench-check`",
)
WITH_ALL_SERVICES = ("tests/faults/", "tests/journeys/", "tests/local/")
MINTED = re.compile(r"(?<=[a-z])_[0-7][0-9a-z]{25}")
numbers = itertools.count(1)

# No example fails for a busy machine; ten times as many by hand: `--hypothesis-profile thorough`. On CI they are always the same.
settings.register_profile(
    "regulars",
    settings.get_profile(settings.get_current_profile_name()),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.register_profile("thorough", settings.get_profile("regulars"), max_examples=1_000)
settings.load_profile("regulars")


@dataclass(frozen=True)
class Database:
    """A service's database of its own for one test module; the URLs are DSNs."""

    name: str
    api_url: str
    worker_url: str
    admin_url: str


Template = Callable[[str], Awaitable[str]]
Clone = Callable[[str], Awaitable[Database]]


def pytest_configure(config):
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)


def pytest_xdist_auto_num_workers(config) -> int:
    """Two processes for the whole suite, which waits more than it works; none for a part that somebody asks for."""
    return 2 if config.args == config.getini("testpaths") else 0


def pytest_make_parametrize_id(val) -> str | None:
    """A test's name is the same in every process; an id that a parameter mints is not."""
    return MINTED.sub("_minted", val) if isinstance(val, str) and MINTED.search(val) else None


class Scheduling(LoadScopeScheduling):
    """What needs all services stays in one process; of the rest, each module does."""

    def _split_scope(self, nodeid):
        return "stack" if nodeid.startswith(WITH_ALL_SERVICES) else nodeid.split("::")[0]


def pytest_xdist_make_scheduler(config, log) -> Scheduling:
    return Scheduling(config, log)


def kind() -> type[Stack]:
    """The embedded parts, or containers of the public images where REGULARS_STACK says so."""
    if os.environ.get("REGULARS_STACK", "embedded") == "embedded":
        return Stack
    from contained import Contained  # noqa: PLC0415 - asks for a Docker engine

    return Contained


@pytest.fixture(scope="session")
def parts(tmp_path_factory, collector) -> Iterator[Stack]:
    """PostgreSQL and Kafka on free ports; gone after the session, also if it is killed."""
    with leash.temporary(tmp_path_factory.mktemp("stack"), kind()) as stack:
        with collector.told():  # what their supervisor starts later inherits it
            stack.up_parts()
        yield stack


@pytest.fixture(scope="session")
def stack(parts) -> Stack:
    """The same parts with the gateway and all services, and a test clock."""
    parts.up()
    return parts


@pytest.fixture(scope="session")
def admin_url(parts) -> str:
    """The superuser's DSN."""
    return parts.admin_database_url()


@pytest.fixture(scope="session")
async def kafka_bootstrap(parts) -> str:
    """A broker that has the topics of contracts."""
    from chassis import topics  # noqa: PLC0415

    await topics.apply(parts.kafka_bootstrap)
    return parts.kafka_bootstrap


@pytest.fixture(scope="session")
def template(parts, admin_url) -> Template:
    """`await template("wallet")` is the name of a migrated database to clone, made once."""
    made: set[str] = set()
    one_at_a_time = asyncio.Lock()

    async def prepared(service: str) -> str:
        from chassis import migrations  # noqa: PLC0415

        name = f"template_{programs.module(service)}"
        async with one_at_a_time:
            if name not in made:
                await migrations.prepare(admin_url, programs.module(service), database=name, password=parts.password)
                made.add(name)
        return name

    return prepared


@pytest.fixture(scope="module")
async def clone(parts, admin_url, template) -> AsyncIterator[Clone]:
    """`await clone("wallet")` is a fresh, migrated database with an epoch of its own, dropped after the module."""
    made: list[str] = []

    async def cloned(service: str) -> Database:
        source, name = await template(service), f"{programs.module(service)}_{next(numbers)}"
        await execute(admin_url, *cloning(programs.module(service), source, name))
        made.append(name)
        await execute(parts.admin_database_url(name), "UPDATE epoch SET id = uuidv7()")
        urls = (parts.database_url(service, role, name) for role in ("api", "worker"))
        return Database(name, *urls, parts.admin_database_url(name))

    yield cloned
    await execute(admin_url, *(f'DROP DATABASE "{name}" WITH (FORCE)' for name in made))


def cloning(owner: str, source: str, name: str) -> tuple[str, ...]:
    """A clone does not inherit who may connect."""
    return (
        f'CREATE DATABASE "{name}" TEMPLATE "{source}" OWNER "{owner}_owner"',
        f'REVOKE ALL ON DATABASE "{name}" FROM PUBLIC',
        f'GRANT CONNECT ON DATABASE "{name}" TO "{owner}_api", "{owner}_worker"',
    )


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
