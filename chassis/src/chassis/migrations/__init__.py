"""Preparing a service's database: ``python -m chassis.migrations SERVICE``.

A step of its own under a deployer's login (``REGULARS_DEPLOYER_URL``): services never migrate, their readiness checks
the version. Their two logins get ``REGULARS_PASSWORD``. Migrations are applied once, in order, under one advisory
lock, forward only.
"""

import argparse
import asyncio
import hashlib
import os
from importlib.resources import files
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from chassis.db import Raw

_LOCK = 7_201_988  # any number, the same for all


class Migration(NamedTuple):
    """One step of a schema. ``package`` is ``chassis`` or the service's module."""

    package: str
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the statements: an applied migration is never edited."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def expected(service: str) -> list[Migration]:
    """Every migration of a service's database in order: the chassis' own, then the service's."""
    return [
        Migration(package, path.name, path.read_text())
        for package in ("chassis", service)
        for path in sorted(files(package).joinpath("migrations").iterdir(), key=lambda path: path.name)
        if path.name.endswith(".sql")
    ]


async def missing(conn: Raw, service: str) -> list[Migration]:
    """The migrations a database has not had. Raises ``ValueError`` if an applied one was edited since."""
    applied = {
        (row["package"], row["name"]): row["checksum"]
        for row in await conn.fetch("SELECT package, name, checksum FROM migration")
    }
    wanted = expected(service)
    for migration in wanted:
        if applied.get((migration.package, migration.name), migration.checksum) != migration.checksum:
            raise ValueError(f"migration {migration.package}/{migration.name} was edited after it was applied")
    return [migration for migration in wanted if (migration.package, migration.name) not in applied]


async def foreign(url: str, service: str) -> list[str]:
    """Migrations that a database has had and that are not in this code, or are there with other statements.

    Where services are deployed one by one this is nothing wrong: the schema is always the first to be new. It is where
    somebody went back to older code.
    """
    try:
        conn = await asyncpg.connect(url)
    except asyncpg.InvalidCatalogNameError:
        return []
    try:
        applied = await conn.fetch("SELECT package, name, checksum FROM migration ORDER BY applied_at, package, name")
    except asyncpg.UndefinedTableError:
        return []
    finally:
        await conn.close()
    known = {(migration.package, migration.name): migration.checksum for migration in expected(service)}
    return [
        f"{row['package']}/{row['name']}"
        for row in applied
        if known.get((row["package"], row["name"])) != row["checksum"]
    ]


async def prepare(admin_url: str, service: str, *, database: str | None = None, password: str) -> None:
    """Make the roles, the database and its schema, whatever of them is missing.

    ``admin_url`` is of a login that may create roles and databases; it need be no superuser.
    """
    database = database or f"regulars_{service}"
    admin = await asyncpg.connect(admin_url, server_settings={"createrole_self_grant": "set, inherit"})
    try:
        await _make_roles(admin, service, password)
        await _make_database(admin, service, database)
    finally:
        await admin.close()
    owner = await asyncpg.connect(_with_database(admin_url, database))
    try:
        await owner.execute(f'SET ROLE "{service}_owner"')
        await _migrate(owner, service)
    finally:
        await owner.close()


async def _make_roles(admin: asyncpg.Connection, service: str, password: str) -> None:
    async with admin.transaction():
        await admin.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        present = {row["rolname"] for row in await admin.fetch("SELECT rolname FROM pg_roles")}
        if f"{service}_owner" not in present:
            await admin.execute(f'CREATE ROLE "{service}_owner" NOLOGIN')
        for role in (f"{service}_api", f"{service}_worker"):
            if role not in present:
                await admin.execute(f'CREATE ROLE "{role}" LOGIN NOBYPASSRLS')
            secret = await admin.fetchval("SELECT quote_literal($1::text)", password)
            await admin.execute(f'ALTER ROLE "{role}" PASSWORD {secret}')


async def _make_database(admin: asyncpg.Connection, service: str, database: str) -> None:
    if not await admin.fetchval("SELECT true FROM pg_database WHERE datname = $1", database):
        await admin.execute(f'CREATE DATABASE "{database}" OWNER "{service}_owner"')
        await admin.execute(f'REVOKE ALL ON DATABASE "{database}" FROM PUBLIC')
        await admin.execute(f'GRANT CONNECT ON DATABASE "{database}" TO "{service}_api", "{service}_worker"')


async def _migrate(owner: asyncpg.Connection, service: str) -> None:
    async with owner.transaction():
        await owner.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await owner.execute(
            "SELECT set_config('chassis.service', $1, true), set_config('lock_timeout', '10s', true)", service
        )
        await owner.execute(
            """
            CREATE TABLE IF NOT EXISTS migration (
                package text, name text, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now(),
                PRIMARY KEY (package, name)
            )
            """
        )
        for migration in await missing(owner, service):
            await owner.execute(migration.sql)
            await owner.execute(
                "INSERT INTO migration (package, name, checksum) VALUES ($1, $2, $3)",
                migration.package,
                migration.name,
                migration.checksum,
            )


def _with_database(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


def main() -> None:
    """Prepare one service's database from the command line."""
    parser = argparse.ArgumentParser(prog="python -m chassis.migrations")
    parser.add_argument("service", help="the service's module, such as fraud_block")
    parser.add_argument("--database", help="regulars_SERVICE unless told")
    args = parser.parse_args()
    url, password = os.environ["REGULARS_DEPLOYER_URL"], os.environ["REGULARS_PASSWORD"]
    asyncio.run(prepare(url, args.service, database=args.database, password=password))
