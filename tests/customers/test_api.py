"""Making, showing and listing customers over HTTP."""

import asyncio
import base64
import json
import re

import asyncpg
import pytest
from paging import pages
from serving import merchant

from chassis import ids
from contracts.ids import CUSTOMER
from customers import consumers
from customers.main import service


@pytest.fixture(scope="module")
async def server(serve, database):
    return await serve(service, database)


@pytest.fixture
async def client(server, shop):
    return server.as_(merchant(shop.store_id))


@pytest.fixture
async def create(client):
    async def made(email="ann@example.com", **more):
        reply = await client.post("/dev/v1/customers", {"email": email} | more)
        assert reply.status == 201, reply.body
        return reply.data

    return made


async def listed(client, query=""):
    reply = await client.get(f"/dev/v1/customers?{query}")
    assert reply.status == 200, reply.body
    return [row["email"] for row in reply.data]


async def test_a_customer_is_made_and_shown(client, create):
    made = await create("Ann@Example.com", name="Ann", phone="0170 1234567", country="DE")
    assert made == {
        "id": made["id"],
        "email": "Ann@example.com",
        "name": "Ann",
        "phone": "+491701234567",
        "country": "DE",
        "stage": "lead",
        "state": "active",
        "currency": "EUR",
        "orders": 0,
        "total_spent": 0,
        "average_order": 0,
        "last_order": None,
        "balance": 0,
        "registered_at": None,
        "first_completed_order_at": None,
        "created_at": made["created_at"],
        "lifetime_value": {"gross": 0, "refunded": 0, "net": 0, "by_gateway": []},
    }
    assert (await client.get(f"/dev/v1/customers/{made['id']}")).data == made


async def test_figures_are_exact_numbers_of_major_units(client, create, shop):
    ann = (await create())["id"]
    completed = shop.order(ann, gross=2550, refunded_minor=1000, number="1007")
    yen = shop.order(ann, gross=3000, currency="JPY", gateway="stripe", day=-1)
    await shop.tell(consumers.on_orders_completed, completed, yen)
    await shop.tell(consumers.on_wallet_posted, shop.entry(ann, ids.new_uuid(), 1, 750))
    shown = (await client.get(f"/dev/v1/customers/{ann}")).data
    assert (shown["stage"], shown["orders"], shown["total_spent"], shown["average_order"], shown["balance"]) == (
        "customer",
        2,
        15.5,
        15.5,
        7.5,
    )
    assert shown["last_order"] == {
        "id": completed.order_id,
        "number": "1007",
        "completed_at": "2026-01-01T00:00:00Z",
    }
    assert shown["first_completed_order_at"] == "2025-12-31T00:00:00Z"
    assert shown["lifetime_value"] == {
        "gross": 25.5,
        "refunded": 10,
        "net": 15.5,
        "by_gateway": [
            {"currency": "EUR", "gateway": "sandbox", "orders": 1, "gross": 25.5, "refunded": 10, "net": 15.5},
            {"currency": "JPY", "gateway": "stripe", "orders": 1, "gross": 3000, "refunded": 0, "net": 3000},
        ],
    }


async def test_one_address_is_one_customer_and_the_refusal_names_it(client, create, shop):
    made = await create("ann@example.com")
    again = await client.post("/dev/v1/customers", {"email": "ANN@example.com", "name": "Bob"})
    assert (again.status, again.code) == (409, "customer_exists")
    assert again.json["detail"] == f"{made['id']} has this e-mail"
    assert again.json["errors"][0]["pointer"] == "/email"
    assert (await client.get(f"/dev/v1/customers/{made['id']}")).data["name"] is None
    assert await shop.meet("ann@example.com") == made["id"]


async def test_fifty_posts_at_once_make_one_customer(client, shop):
    replies = await asyncio.gather(*(client.post("/dev/v1/customers", {"email": "a@example.com"}) for _ in range(50)))
    assert sorted(reply.status for reply in replies) == [201] + [409] * 49
    assert await shop.count() == 1


async def test_fifty_posts_at_once_with_one_key_get_one_reply(client):
    replies = await asyncio.gather(
        *(client.post("/dev/v1/customers", {"email": "a@example.com"}, key="k") for _ in range(50))
    )
    assert {reply.status for reply in replies} == {201}
    assert len({reply.body for reply in replies}) == 1


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/email"]),
        ({"email": None}, ["/email"]),
        ({"email": "ann"}, ["/email"]),
        ({"email": "ann@example.com", "name": "n" * 10_000}, ["/name"]),
        ({"email": "ann@example.com", "phone": "0170 1234567"}, ["/phone"]),
        ({"email": "x" * 400 + "@example.com"}, ["/email"]),
        ({"email": "ann", "phone": "call me"}, ["/email", "/phone"]),
        ({"email": "ann@example.com", "country": "Germany"}, ["/country"]),
        ({"email": "ann@example.com", "balance": 100}, ["/balance"]),
        ({"email": "ann@example.com", "store_id": "store_x"}, ["/store_id"]),
    ],
)
async def test_a_body_that_does_not_fit_says_where(client, shop, body, pointers):
    reply = await client.post("/dev/v1/customers", body)
    assert reply.status == 422
    assert [flaw["pointer"] for flaw in reply.json["errors"]] == pointers
    assert await shop.count() == 0


@pytest.mark.parametrize("text", ["\x00", "\ud800"])
@pytest.mark.parametrize("field", ["email", "name", "phone"])
async def test_text_no_database_stores_is_refused(client, shop, field, text):
    reply = await client.post("/dev/v1/customers", {"email": "ann@example.com"} | {field: f"a{text}@example.com"})
    assert reply.status in {400, 422}
    assert await shop.count() == 0


async def test_another_stores_customer_is_not_there(client, create, server, new_shop):
    made = await create()
    other = server.as_(merchant((await new_shop()).store_id))
    assert (await other.get(f"/dev/v1/customers/{made['id']}")).status == 404
    assert await listed(other) == []
    assert await listed(other, "q=ann") == []
    assert (await other.post("/dev/v1/customers", {"email": "ann@example.com"})).status == 201


@pytest.mark.parametrize("customer_id", [ids.new(CUSTOMER), "cus_1", "%00", "'", "cus_" + "z" * 3000])
async def test_an_id_that_is_nobodys_is_not_there(client, customer_id):
    assert (await client.get(f"/dev/v1/customers/{customer_id}")).status == 404


async def test_reading_and_writing_are_scopes_of_their_own(server, shop):
    reader = server.as_(merchant(shop.store_id, ["customers.read"]))
    writer = server.as_(merchant(shop.store_id, ["customers.write"]))
    assert (await reader.post("/dev/v1/customers", {"email": "ann@example.com"})).status == 403
    assert (await writer.get("/dev/v1/customers")).status == 403
    assert (await server.as_(None).get("/dev/v1/customers")).status == 401


async def test_the_list_is_newest_first_and_each_page_goes_on_where_the_last_ended(client, create):
    emails = [(await create(f"c{n}@example.com"))["email"] for n in range(5)]
    seen = []
    async for page in pages(client, "/dev/v1/customers?limit=2"):
        seen += [row["email"] for row in page["data"]]
        await create(f"late{len(seen)}@example.com")
    assert seen == emails[::-1]


async def test_a_cursor_of_other_filters_is_refused(client, create):
    for n in range(2):
        await create(f"c{n}@example.com")
    cursor = (await client.get("/dev/v1/customers?limit=1")).json["next_cursor"]
    for query in (f"stage=lead&cursor={cursor}", "cursor=nonsense", "cursor=W10%3D"):
        reply = await client.get(f"/dev/v1/customers?{query}")
        assert (reply.status, reply.code) == (400, "invalid_cursor")


@pytest.mark.parametrize("keys", [[7], [], ["\0"], ["cus_1"], [None], ["x", "y"], {}])
async def test_a_cursor_with_other_things_in_it_is_refused(client, create, keys):
    for n in range(2):
        await create(f"c{n}@example.com")
    ours = (await client.get("/dev/v1/customers?limit=1")).json["next_cursor"]
    mark, _ = json.loads(base64.urlsafe_b64decode(ours))
    forged = base64.urlsafe_b64encode(json.dumps([mark, keys]).encode()).decode()
    reply = await client.get(f"/dev/v1/customers?cursor={forged}")
    assert (reply.status, reply.code) == (400, "invalid_cursor")


@pytest.mark.parametrize(
    "query",
    ["q=ELO", "q=%C3%A9lodie", "q=lodie+du", "q=dupr%C3%A9", "q=ELODIE%40", "q=%2B49170", "q=0170+12", "q=(0170)"],
)
async def test_the_search_is_partial_and_ignores_case_and_accents(client, create, query):
    await create("elodie@example.com", name="Élodie Dupré", phone="+491701234567")
    await create("bob@example.com", name="Bob")
    assert await listed(client, query) == ["elodie@example.com"]


@pytest.mark.parametrize("query", ["q=%25", "q=_", "q=%5C", "q=nobody", "q=example.com%0Aann"])
async def test_the_search_takes_signs_as_they_are(client, create, query):
    await create("bob@example.com")
    assert await listed(client, query) == []


@pytest.mark.parametrize("query", ["q=", "q=+"])
async def test_a_search_for_nothing_is_the_whole_list(client, create, query):
    await create("bob@example.com")
    assert await listed(client, query) == ["bob@example.com"]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "stage=vip", f"q={'x' * 201}"])
async def test_a_query_that_does_not_fit_is_refused(client, query):
    assert (await client.get(f"/dev/v1/customers?{query}")).status == 422


async def test_leads_and_customers_are_listed_apart(client, create, shop):
    ann = await create("ann@example.com")
    await create("bob@example.com")
    await shop.tell(consumers.on_orders_completed, shop.order(ann["id"]))
    assert await listed(client, "stage=customer") == ["ann@example.com"]
    assert await listed(client, "stage=lead") == ["bob@example.com"]
    assert await listed(client, "stage=lead&q=example") == ["bob@example.com"]


async def test_a_search_pages_too(client, create):
    emails = [(await create(f"c{n}@example.com"))["email"] for n in range(3)]
    first = (await client.get("/dev/v1/customers?q=example&limit=2")).json
    rest = (await client.get(f"/dev/v1/customers?q=example&limit=2&cursor={first['next_cursor']}")).json
    assert [row["email"] for row in first["data"] + rest["data"]] == emails[::-1]
    assert rest["has_more"] is False


async def plan_of(admin_url: str, store_id: str, sql: str) -> str:
    """How a statement of the api role, and what it calls, would go through a table too large to be read whole."""
    admin, seen = await asyncpg.connect(admin_url), []
    admin.add_log_listener(lambda _, message: seen.append(message.message))
    try:
        await admin.execute("LOAD 'auto_explain'; SET client_min_messages = log; SET auto_explain.log_min_duration = 0")
        await admin.execute("VACUUM ANALYZE customer")
        await admin.execute("SET auto_explain.log_nested_statements = on; SET enable_seqscan = off")
        await admin.execute("SET enable_indexscan = off; SET ROLE customers_api")
        async with admin.transaction():
            await admin.execute(f"SET LOCAL app.store_id = '{store_id}'")
            await admin.fetch(sql)
    finally:
        await admin.close()
    return "\n".join(seen)


async def test_the_search_goes_through_the_trigram_index(shop, database):
    """Under a store's policy LIKE never reaches the index, since it is not leakproof: the function is what helps."""
    condition = re.compile(r"Index Cond: .*search ~~ '%person2345%'")
    await shop.execute(
        """
        INSERT INTO customer (store_id, id, email, email_canonical, search, created_at)
        SELECT $1, e, e, e, e, now() FROM generate_series(1, 3000) AS n, concat('person', n, '@example.com') AS e
        """,
        shop.store_id,
    )
    plain = "SELECT id FROM customer WHERE search LIKE '%person2345%'"
    function = "SELECT id FROM search_customers('%person2345%', NULL, NULL, 20)"
    assert not condition.search(await plan_of(database.admin_url, shop.store_id, plain))
    assert condition.search(await plan_of(database.admin_url, shop.store_id, function))


async def test_a_search_without_a_store_finds_nothing(database, create):
    await create()
    api = await asyncpg.connect(database.api_url)
    try:
        assert await api.fetch("SELECT id FROM search_customers('%example%', NULL, NULL, 20)") == []
        assert await api.fetch("SELECT id FROM customer") == []
    finally:
        await api.close()
