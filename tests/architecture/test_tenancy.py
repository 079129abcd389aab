"""Every tenant table has row-level security, and a connection with no store set reads nothing (design §1)."""

import asyncpg
import pytest

SERVICES = ["customers", "wallet", "affiliates", "fraud_block", "carts", "gateway"]

# Tables without a store's rows, or insert-only and select-only ones (design §4 says which and why).
EXEMPT = {
    "migration",
    "epoch",
    "outbox",
    "outbox_unsendable",
    "inbox",
    "parked",
    "dead_letter",
    "rewound",
    "answer",
}
API_ON_EXEMPT = {("migration", "SELECT"), ("epoch", "SELECT"), ("answer", "SELECT"), ("outbox", "INSERT")}


@pytest.fixture(scope="module", params=SERVICES)
async def database(request, clone, template):
    for service in SERVICES:
        await template(service)  # all roles are there
    return request.param, await clone(request.param)


async def fetch(url: str, sql: str, *args):
    conn = await asyncpg.connect(url)
    try:
        return await conn.fetch(sql, *args)
    finally:
        await conn.close()


async def tables(url: str) -> set[str]:
    return {
        row["relname"]
        for row in await fetch(
            url, "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
        )
    }


async def unprotected(url: str) -> set[str]:
    """Tables without forced row-level security and both roles' policies."""
    protected = await fetch(
        url,
        """
        SELECT c.relname FROM pg_class c JOIN pg_policy p ON p.polrelid = c.oid
        WHERE c.relrowsecurity AND c.relforcerowsecurity
        GROUP BY c.relname HAVING array_agg(p.polname::text ORDER BY p.polname) = '{every_store,one_store}'
        """,
    )
    return await tables(url) - {row["relname"] for row in protected}


async def test_every_tenant_table_has_row_level_security(database):
    _, its = database
    assert await unprotected(its.admin_url) == EXEMPT


async def test_a_new_table_without_a_policy_is_found(database):
    _, its = database
    await fetch(its.admin_url, "CREATE TABLE forgotten (store_id text)")
    assert await unprotected(its.admin_url) == EXEMPT | {"forgotten"}
    await fetch(its.admin_url, "DROP TABLE forgotten")


async def test_every_unique_and_list_index_starts_with_the_store(database):
    _, its = database
    rows = await fetch(
        its.admin_url,
        """
        SELECT i.indexrelid::regclass::text AS index, c.relname
        FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
        WHERE c.relnamespace = 'public'::regnamespace AND i.indisunique AND a.attname <> 'store_id'
        """,
    )
    assert {row["index"] for row in rows if row["relname"] not in EXEMPT} <= {
        "ask_pkey",
        "api_key_pkey",
        "merchant_store_slug",
        "merchant_store_host",
    }


async def test_the_api_role_may_do_little_where_no_policy_guards(database):
    service, its = database
    granted = await fetch(
        its.admin_url,
        "SELECT table_name, privilege_type FROM information_schema.role_table_grants WHERE grantee = $1 AND table_name = ANY($2)",
        f"{service}_api",
        list(EXEMPT),
    )
    assert {tuple(row) for row in granted} == API_ON_EXEMPT


async def test_a_connection_with_no_store_set_reads_nothing(database):
    _, its = database
    for table in sorted(await tables(its.admin_url) - EXEMPT):
        try:
            rows = await fetch(its.api_url, f'SELECT * FROM "{table}" LIMIT 1')
        except asyncpg.InsufficientPrivilegeError:
            rows = []
        assert rows == [], table


async def test_a_store_sees_its_own_rows_only(database):
    """The policy is what hides: the same rows are there for the worker."""
    _, its = database
    mine, other = "store_00000000000000000000000001", "store_00000000000000000000000002"
    for store in (mine, other):
        await fetch(
            its.worker_url,
            "INSERT INTO known_customer (store_id, id, version, state) VALUES ($1, 'x', 1, 'active')",
            store,
        )
    conn = await asyncpg.connect(its.api_url)
    try:
        async with conn.transaction():
            await conn.execute(f"SET LOCAL app.store_id = '{mine}'")
            seen = await conn.fetch("SELECT store_id FROM known_customer")
    finally:
        await conn.close()
    assert [row["store_id"] for row in seen] == [mine]


async def test_no_service_reaches_another_ones_database(database, parts):
    service, its = database
    for other in SERVICES:
        if other != service:
            url = its.api_url.replace(f"{service}_api", f"{other}_api")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await asyncpg.connect(url)


async def test_no_role_bypasses_row_level_security(database):
    service, its = database
    rows = await fetch(
        its.admin_url,
        "SELECT rolsuper OR rolbypassrls AS above FROM pg_roles WHERE rolname = ANY($1)",
        [f"{service}_api", f"{service}_worker", f"{service}_owner"],
    )
    assert [row["above"] for row in rows] == [False] * 3
