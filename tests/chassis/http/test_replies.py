"""Ask and wait: the answer comes over Kafka, the caller waits without a connection (design §4)."""

import asyncio

import pytest
import specimen
from patience import until
from serving import merchant, new_store

from chassis import idempotency, replies


@pytest.fixture(scope="module")
async def client(clone, serve):
    return await serve(specimen.service, await clone("specimen"))


@pytest.fixture
async def shop(client, monkeypatch):
    monkeypatch.setattr(replies.Waiters.wait, "__defaults__", (90.0,))
    return client.as_(merchant(new_store()))


@pytest.fixture
def impatient(monkeypatch, shop):
    """Nobody answers in time."""
    monkeypatch.setattr(replies.Waiters.wait, "__defaults__", (0.2,))


async def answer(client, status: str, delay: float = 0.0) -> None:
    """Answer every question of the store, once there is one, as the consumer of an answer does."""
    await asyncio.sleep(delay)
    await until(lambda: _answered(client, status))


async def _answered(client, status: str) -> list:
    async with client.runtime.worker.transaction() as conn:
        rows = await conn.rows(
            "UPDATE parcel SET status = $2 WHERE store_id = $1 RETURNING parcel_id", client.caller.store_id, status
        )
        for row in rows:
            await replies.answered(conn, row["parcel_id"], specimen.ParcelAsked)
            await replies.answer(conn, row["parcel_id"])
        return rows


async def asked(client) -> list[int]:
    async with client.runtime.worker.transaction() as conn:
        rows = await conn.rows("SELECT attempts FROM ask WHERE store_id = $1", client.caller.store_id)
        return [row["attempts"] for row in rows]


async def test_the_answer_in_time_is_the_reply(shop):
    reply, _ = await asyncio.gather(shop.post("/questions", {"amount": 25}, key="k"), answer(shop, "FOUND", 0.1))
    assert (reply.status, reply.data["status"]) == (200, "FOUND")
    assert await asked(shop) == []


@pytest.mark.usefixtures("impatient")
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
    await until(lambda: asked(shop), lambda questions: len(questions) >= 20)
    assert (await shop.post("/parcels", {"amount": 1}, key="p")).status == 201
    await answer(shop, "FOUND")
    assert {reply.status for reply in await asyncio.gather(*waiting)} == {200}


@pytest.mark.usefixtures("impatient")
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


async def swept_days_later(client) -> int:
    """Sweep the keys of the store as if two days had passed; how many are left."""
    async with client.runtime.worker.transaction() as conn:
        aged = "UPDATE idempotency SET created_at = created_at - interval '2 days' WHERE store_id = $1"
        await conn.execute(aged, client.caller.store_id)
        await idempotency.sweep(conn, specimen.service.at_work)
        return await conn.value("SELECT count(*) FROM idempotency WHERE store_id = $1", client.caller.store_id)


async def test_a_key_with_its_reply_is_kept_for_a_day(shop):
    await shop.post("/parcels", {"amount": 25}, key="k")
    async with shop.runtime.worker.transaction() as conn:
        assert await idempotency.sweep(conn, specimen.service.at_work) == 0
    assert await swept_days_later(shop) == 0


@pytest.mark.usefixtures("impatient")
async def test_a_key_is_kept_until_the_work_ends(shop):
    late = await shop.post("/questions", {"amount": 25}, key="k")
    assert await swept_days_later(shop) == 1
    assert (await shop.post("/questions", {"amount": 25}, key="k")).data["id"] == late.data["id"]
    await answer(shop, "FOUND")
    assert await swept_days_later(shop) == 0


@pytest.mark.usefixtures("impatient")
async def test_a_key_that_is_kept_is_left_alone_for_another_day(shop):
    """The timer goes on as long as it finds a full slice: what it finds twice, it would find for ever."""
    await shop.post("/questions", {"amount": 25}, key="k")
    assert await swept_days_later(shop) == 1
    async with shop.runtime.worker.transaction() as conn:
        assert await idempotency.sweep(conn, specimen.service.at_work) == 0


@pytest.mark.usefixtures("impatient")
async def test_who_comes_back_while_their_key_is_swept_gets_their_reply(shop, monkeypatch):
    late = await shop.post("/questions", {"amount": 25}, key="k")
    await answer(shop, "FOUND")
    left = []

    async def swept_meanwhile(_waiters, _request_id):
        left.append(await swept_days_later(shop))

    monkeypatch.setattr(replies.Waiters, "wait", swept_meanwhile)
    back = await shop.post("/questions", {"amount": 25}, key="k")
    assert left == [0]
    assert back.data == {"id": late.data["id"], "amount": 25, "status": "FOUND"}
