"""A database of a service as it was before all migrations but the first."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from chassis import migrations


@asynccontextmanager
async def first_only(
    service: str, name: str, parts: Any, admin_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a database that had the first migration only; it is dropped afterwards."""
    whole = migrations.expected

    def first(its: str) -> list[migrations.Migration]:
        return [each for each in whole(its) if each.package != service or each.name.startswith("0001")]

    with monkeypatch.context() as patched:
        patched.setattr(migrations, "expected", first)
        await migrations.prepare(admin_url, service, database=name, password=parts.password)
    conn = await asyncpg.connect(parts.admin_database_url(name))
    yield conn
    await conn.close()
    admin = await asyncpg.connect(admin_url)
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()
