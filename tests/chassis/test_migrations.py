"""A database is prepared by a deployer, who need be no superuser."""

import asyncpg
import pytest

from chassis import migrations

DEPLOYER = "CREATE ROLE deployer LOGIN CREATEDB CREATEROLE PASSWORD 'deploys'"


@pytest.fixture
async def newcomer(admin_url, tmp_path, monkeypatch):
    """A service that no database has seen, and a deployer; both are gone after the test."""
    schema = tmp_path / "newcomer" / "migrations"
    schema.mkdir(parents=True)
    (tmp_path / "newcomer" / "__init__.py").touch()
    (schema / "0001_newcomer.sql").write_text("CREATE EXTENSION pg_trgm; CREATE TABLE thing (id text);")
    monkeypatch.syspath_prepend(tmp_path)
    admin = await asyncpg.connect(admin_url)
    await admin.execute(DEPLOYER)
    yield "newcomer"
    await admin.execute("DROP DATABASE IF EXISTS regulars_newcomer WITH (FORCE)")
    for role in ("newcomer_api", "newcomer_worker", "newcomer_owner", "deployer"):
        await admin.execute(f"DROP ROLE IF EXISTS {role}")
    await admin.close()


async def test_a_deployer_who_is_no_superuser_prepares_a_service_again_and_again(parts, newcomer):
    at = f"{parts.ports['postgres']}"
    for password in ("first", "second"):
        await migrations.prepare(f"postgresql://deployer:deploys@127.0.0.1:{at}/postgres", newcomer, password=password)
    api = await asyncpg.connect(f"postgresql://newcomer_api:second@127.0.0.1:{at}/regulars_newcomer")
    try:
        assert await migrations.missing(api, newcomer) == []
        row = await api.fetchrow("SELECT rolsuper OR rolbypassrls OR rolcreaterole FROM pg_roles WHERE rolname = user")
        assert row[0] is False
    finally:
        await api.close()
