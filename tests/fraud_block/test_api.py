"""Adding, showing, listing and deleting rules over HTTP."""

import asyncio
import base64
import json
from datetime import timedelta

import pytest
from paging import listed
from serving import customer, merchant

from chassis import clock, ids
from contracts.ids import CUSTOMER, RULE
from fraud_block.identifiers import RuleType
from fraud_block.main import service

ANN = {"type": "email", "value": "ann@example.com"}


@pytest.fixture(scope="module")
async def server(serve, database):
    return await serve(service, database)


@pytest.fixture
async def client(server, shop):
    return server.as_(merchant(shop.store_id))


async def announced(shop):
    """What the outbox holds of this store, oldest first."""
    async with shop.worker.transaction() as conn:
        rows = await conn.rows("SELECT type, payload FROM outbox WHERE store_id = $1 ORDER BY seq", shop.store_id)
    return [(row["type"], json.loads(row["payload"])) for row in rows]


async def test_a_rule_is_added_shown_and_announced_without_its_value(client, shop):
    expires_at = (clock.now() + timedelta(days=1)).isoformat()
    body = {"type": "email", "value": " Ann@Example.COM", "reason": "return_abuse", "note": "three times"}
    reply = await client.post("/dev/v1/blocks", body | {"expires_at": expires_at})
    assert reply.status == 201
    assert reply.data == {
        "id": reply.data["id"],
        "type": "email",
        "value": "ann@example.com",
        "effect": "block",
        "reason": "return_abuse",
        "note": "three times",
        "active": True,
        "expires_at": expires_at.replace("+00:00", "Z"),
        "hits": 0,
        "last_hit_at": None,
        "created_at": reply.data["created_at"],
        "created_by": "merchant:key_test",
        "deleted_at": None,
        "deleted_by": None,
    }
    assert (await client.get(f"/dev/v1/blocks/{reply.data['id']}")).data == reply.data
    ((event_type, payload),) = await announced(shop)
    assert event_type == "block.added"
    assert payload == {
        "rule_id": reply.data["id"],
        "rule_type": "email",
        "effect": "block",
        "expires_at": reply.data["expires_at"],
    }


async def test_a_rule_acts_at_once_and_stops_when_deleted(client, shop):
    rule_id = (await client.post("/dev/v1/blocks", ANN)).data["id"]
    assert await shop.decision(email="ann@example.com") == ("block", (rule_id,))
    assert (await client.get(f"/dev/v1/blocks/{rule_id}")).data["hits"] == 1
    deleted = await client.delete(f"/dev/v1/blocks/{rule_id}")
    assert (deleted.status, deleted.body) == (204, b"")
    assert await shop.decision(email="ann@example.com") == ("allow", ())
    shown = (await client.get(f"/dev/v1/blocks/{rule_id}")).data
    assert (shown["active"], shown["deleted_by"]) == (False, "merchant:key_test")
    assert (await client.get("/dev/v1/blocks")).data == []


async def test_deleting_twice_is_told_once(client, shop):
    rule_id = (await client.post("/dev/v1/blocks", ANN)).data["id"]
    replies = await asyncio.gather(*(client.delete(f"/dev/v1/blocks/{rule_id}") for _ in range(10)))
    assert {reply.status for reply in replies} == {204}
    assert [event_type for event_type, _ in await announced(shop)] == ["block.added", "block.removed"]


async def test_added_removed_and_added_again_is_blocked(client, shop):
    first = (await client.post("/dev/v1/blocks", ANN)).data["id"]
    await client.delete(f"/dev/v1/blocks/{first}")
    second = (await client.post("/dev/v1/blocks", ANN)).data["id"]
    assert await shop.decision(email="ann@example.com") == ("block", (second,))


async def test_the_same_rule_twice_is_refused_and_the_first_named(client, shop):
    first = await client.post("/dev/v1/blocks", ANN)
    again = await client.post("/dev/v1/blocks", {"type": "email", "value": "ANN@example.com", "reason": "fraud"})
    assert (again.status, again.code) == (409, "already_blocked")
    assert again.json["detail"] == f"{first.data['id']} does this already"
    assert len(await announced(shop)) == 1


async def test_fifty_posts_at_once_add_one_rule(client):
    replies = await asyncio.gather(*(client.post("/dev/v1/blocks", ANN) for _ in range(50)))
    assert sorted(reply.status for reply in replies) == [201] + [409] * 49


async def test_an_expired_rule_makes_way_for_the_same_one(client, shop):
    expired = await shop.rule(RuleType.EMAIL, "ann@example.com", expires_in=timedelta(seconds=-1))
    assert [(row["id"], row["active"]) for row in (await client.get("/dev/v1/blocks")).data] == [(expired, False)]
    again = await client.post("/dev/v1/blocks", ANN)
    assert again.status == 201
    assert [row["id"] for row in (await client.get("/dev/v1/blocks")).data] == [again.data["id"]]
    assert (await client.get(f"/dev/v1/blocks/{expired}")).data["deleted_by"] == "expiry"


async def test_block_and_allow_of_one_value_stand_side_by_side(client, shop):
    await client.post("/dev/v1/blocks", ANN)
    assert (await client.post("/dev/v1/blocks", ANN | {"effect": "allow"})).status == 201
    assert (await shop.decision(email="ann@example.com"))[0] == "allow"
    shown = (await client.get("/dev/v1/blocks?effect=allow")).data
    assert [row["effect"] for row in shown] == ["allow"]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"type": "shoe_size"}, "/type"),
        ({"type": None}, "/type"),
        ({"value": "ann"}, "/value"),
        ({"value": None}, "/value"),
        ({"value": "x" * 10_000}, "/value"),
        ({"type": "ip", "value": "203.0.113.0/24"}, "/value"),
        ({"type": "ip", "value": 3405803783}, "/value"),
        ({"type": "customer", "value": "cus_1"}, "/value"),
        ({"effect": "maybe"}, "/effect"),
        ({"reason": "no reason"}, "/reason"),
        ({"note": "n" * 10_000}, "/note"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        ({"expires_at": "0001-01-01T00:00:00+23:59"}, "/expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-23:59"}, "/expires_at"),
        ({"expires_at": "2999-01-01T00:00:00"}, "/expires_at"),
        ({"expires_at": "soon"}, "/expires_at"),
        ({"hits": 7}, "/hits"),
    ],
)
async def test_a_body_that_does_not_fit_says_where(client, change, pointer):
    reply = await client.post("/dev/v1/blocks", ANN | change)
    assert reply.status == 422, reply.body
    assert [flaw["pointer"] for flaw in reply.json["errors"]] == [pointer]
    assert (await client.get("/dev/v1/blocks")).data == []


@pytest.mark.parametrize("field", ["value", "note"])
@pytest.mark.parametrize("text", ["\x00", "\ud800"])
async def test_text_no_database_stores_is_refused(client, field, text):
    assert (await client.post("/dev/v1/blocks", ANN | {field: text})).status in {400, 422}


async def test_another_stores_rule_is_not_there(client, server, new_shop):
    rule_id = (await client.post("/dev/v1/blocks", ANN)).data["id"]
    other = server.as_(merchant(new_shop().store_id))
    assert (await other.get(f"/dev/v1/blocks/{rule_id}")).status == 404
    assert (await other.delete(f"/dev/v1/blocks/{rule_id}")).status == 404
    assert (await other.get("/dev/v1/blocks")).data == []
    assert (await client.get(f"/dev/v1/blocks/{rule_id}")).data["active"] is True


@pytest.mark.parametrize("rule_id", [ids.new(RULE), "block_1", "%00", "block_" + "z" * 3000])
async def test_an_id_that_is_none_is_not_there(client, rule_id):
    assert (await client.get(f"/dev/v1/blocks/{rule_id}")).status == 404
    assert (await client.delete(f"/dev/v1/blocks/{rule_id}")).status == 404


async def test_reading_and_writing_are_scopes_of_their_own(server, shop):
    reader, writer = (server.as_(merchant(shop.store_id, [f"fraud.{verb}"])) for verb in ("read", "write"))
    assert (await reader.post("/dev/v1/blocks", ANN)).status == 403
    assert (await writer.get("/dev/v1/blocks")).status == 403
    assert (await server.as_(None).get("/dev/v1/blocks")).status == 401
    buyer = server.as_(customer(shop.store_id, ids.new(CUSTOMER), []))
    assert (await buyer.get("/dev/v1/blocks")).status == 403


async def test_the_list_is_newest_first_and_pages(client):
    rules = [(await client.post("/dev/v1/blocks", ANN | {"value": f"p{n}@example.com"})).data["id"] for n in range(5)]
    await client.post("/dev/v1/blocks", {"type": "ip", "value": "203.0.113.7"})
    assert await listed(client, "/dev/v1/blocks?type=email&limit=2", "id") == rules[::-1]


async def test_a_cursor_of_other_filters_is_refused(client):
    for n in range(2):
        await client.post("/dev/v1/blocks", ANN | {"value": f"p{n}@example.com"})
    cursor = (await client.get("/dev/v1/blocks?limit=1")).json["next_cursor"]
    for query in (f"type=ip&cursor={cursor}", "cursor=nonsense"):
        reply = await client.get(f"/dev/v1/blocks?{query}")
        assert (reply.status, reply.code) == (400, "invalid_cursor")
    assert (await client.get("/dev/v1/blocks?type=shoe_size")).status == 422


@pytest.mark.parametrize("keys", [[7], [], ["block_1"], ["x", "y"], {}])
async def test_a_cursor_with_other_things_in_it_is_refused(client, keys):
    for n in range(2):
        await client.post("/dev/v1/blocks", ANN | {"value": f"p{n}@example.com"})
    ours = (await client.get("/dev/v1/blocks?limit=1")).json["next_cursor"]
    mark, _ = json.loads(base64.urlsafe_b64decode(ours))
    forged = base64.urlsafe_b64encode(json.dumps([mark, keys]).encode()).decode()
    reply = await client.get(f"/dev/v1/blocks?cursor={forged}")
    assert (reply.status, reply.code) == (400, "invalid_cursor")
