"""Ask and wait: the answer comes over Kafka, the caller waits without a connection (design §4)."""

import asyncio

import pytest
import specimen
from serving import merchant, new_store

from chassis import replies


@pytest.fixture(scope="module")
async def client(clone, serve):
    return await serve(specimen.service, await clone("specimen"))


@pytest.fixture
async def shop(client, monkeypatch):
    monkeypatch.setattr(replies.Waiters.wait, "__defaults__", (1.0,))
    return client.as_(merchant(new_store()))


async def answer(client, status: str, delay: float = 0.0) -> None:
    """Answer every question of the store, as the consumer of an answer does."""
    await asyncio.sleep(delay)
    async with client.runtime.worker.transaction() as conn:
        rows = await conn.rows(
            "UPDATE parcel SET status = $2 WHERE store_id = $1 RETURNING parcel_id", client.caller.store_id, status
        )
        for row in rows:
            await replies.answered(conn, row["parcel_id"], specimen.ParcelAsked)
            await replies.answer(conn, row["parcel_id"])


async def asked(client) -> list[int]:
    async with client.runtime.worker.transaction() as conn:
        rows = await conn.rows("SELECT attempts FROM ask WHERE store_id = $1", client.caller.store_id)
        return [row["attempts"] for row in rows]


async def test_the_answer_in_time_is_the_reply(shop):
    reply, _ = await asyncio.gather(shop.post("/questions", {"amount": 25}, key="k"), answer(shop, "FOUND", 0.1))
    assert (reply.status, reply.data["status"]) == (200, "FOUND")
    assert await asked(shop) == []


async def test_late_means_202_then_the_retry_gets_the_completed_body(shop):
    late = await shop.post("/questions", {"amount": 25}, key="k")
    assert (late.status, late.data["status"]) == (202, "SENT")
    assert late.headers["location"] == f"/parcels/{late.data['id']}"
    await answer(shop, "FOUND")
    retry = await shop.post("/questions", {"amount": 25}, key="k")
    assert (retry.status, retry.data) == (200, {"id": late.data["id"], "amount": 25, "status": "FOUND"})
    again = await shop.post("/questions", {"amount": 25}, key="k")
    assert again.body == retry.body
    assert again.headers["idempotent-replayed"] == "true"


async def test_fifty_with_one_key_ask_once_and_hear_the_same(shop):
    calls = [shop.post("/questions", {"amount": 25}, key="k") for _ in range(50)]
    *heard, _ = await asyncio.gather(*calls, answer(shop, "FOUND", 0.3))
    assert {reply.status for reply in heard} == {200}
    assert len({reply.body for reply in heard}) == 1


async def test_a_refusal_by_the_other_side_is_pinned(shop):
    calls = [shop.post("/questions", {"amount": 25}, key="k") for _ in range(5)]
    *heard, _ = await asyncio.gather(*calls, answer(shop, "LOST", 0.2))
    assert {reply.status for reply in heard} == {409}
    assert len({reply.body for reply in heard}) == 1


async def test_waiting_callers_hold_no_connection(shop):
    waiting = [asyncio.create_task(shop.post("/questions", {"amount": 1}, key=f"k{n}")) for n in range(20)]
    while len(await asked(shop)) < 20:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    assert (await shop.post("/parcels", {"amount": 1}, key="p")).status == 201
    await answer(shop, "FOUND")
    assert {reply.status for reply in await asyncio.gather(*waiting)} == {200}


async def test_an_unanswered_request_is_sent_again(shop):
    await shop.post("/questions", {"amount": 25}, key="k")
    async with shop.runtime.worker.transaction() as conn:
        await conn.execute("UPDATE ask SET ask_again_at = now() - interval '1 s'")
        await replies.ask_again(conn, None)
    assert await asked(shop) == [2]
    async with shop.runtime.worker.transaction() as conn:
        sent = await conn.rows("SELECT event_id, payload FROM outbox WHERE store_id = $1", shop.caller.store_id)
    assert len({row["event_id"] for row in sent}) == 2
    assert len({row["payload"] for row in sent}) == 1
