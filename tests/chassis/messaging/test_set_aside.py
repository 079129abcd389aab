"""Dead letters and parked events until somebody hands them back: what stays and why, what is tried now, what is listed."""

import json

import pytest

from chassis import ids, inbox, repair, set_aside
from chassis.handlers import Group
from chassis.set_aside import ANY, Choice
from contracts.topics import EPHEMERAL

pytestmark = pytest.mark.usefixtures("at_once")


def everything_goes(patch) -> None:
    async def remove(conn, _found):
        return {row["seq"] for row in await conn.rows("DELETE FROM dead_letter RETURNING seq")}

    patch.setattr(repair, "_remove", remove)


@pytest.mark.parametrize("fault", [None, everything_goes])
async def test_what_cannot_be_handed_back_stays_and_says_why(world, tallying, planted, fault):
    contract, secret = await world.contract(), await world.contract(kept=EPHEMERAL)
    good = {"ce_id": str(ids.new_uuid()), "ce_type": "thing.added", "store_id": world.store_id}
    body = b'{"subject": "a", "number": 1}'
    for topic, value, headers in (
        (contract.topic, body, {"ce_id": good["ce_id"]}),
        (contract.topic, body, good | {"ce_id": "7"}),
        (contract.topic, b'{"subject": 7}', good),
        (secret.topic, b'{"subject": 7}', good),
    ):
        await world.raw(topic.name, "a", value, headers)
    await world.send(contract.removed(store_id=world.store_id, subject="a"))
    both = tallying(contract.added)
    both.include(tallying(secret.added))

    @both.on(contract.removed)
    async def on_removed(event, conn) -> None:
        await conn.execute("SELECT 1 / 0")

    async with world.consuming(both):
        await world.until("SELECT count(*) FROM dead_letter", equals=5)
    without_removed = tallying(contract.added)
    without_removed.include(tallying(secret.added))
    with planted(fault):
        outcome = await world.hand_back(without_removed)
        assert (outcome.handed_back, outcome.since) == ([], [])
        assert await world.count("dead_letter") == 5
        async with world.database.transaction() as conn:
            left = await set_aside.letters(conn, ANY, 10)
        assert {(letter.topic == secret.topic.name, letter.offset): outcome.left[letter.number] for letter in left} == {
            (False, 0): "it came without ce_type and store_id",
            (False, 1): "today's code cannot read it either (unreadable)",
            (False, 2): "today's code cannot read it either (subject: string_type)",
            (False, 3): "nothing handles thing.removed here any more",
            (True, 0): "its body is not kept, since it may hold personal data: whoever asked sends it again",
        }


def nobody_hurries(patch) -> None:
    async def leave_it(_conn, _choice):
        return 0

    patch.setattr(repair, "retry_now", leave_it)


@pytest.mark.parametrize("fault", [None, nobody_hurries])
async def test_a_parked_event_is_tried_now_when_an_operator_says_so(world, tallying, planted, fault):
    contract, waiting = await world.contract(), {1}
    await world.send(*world.things(contract, 1))
    async with world.consuming(tallying(contract.added, waiting=waiting)):
        await world.until("SELECT max(attempts) > 0 FROM parked")
        await world.admin.execute("UPDATE parked SET retry_at = now() + interval '5 minutes'")
        waiting.clear()
        with planted(fault):
            async with world.database.transaction() as conn:
                assert await repair.retry_now(conn, Choice(kind="another reason")) == 0
                await repair.retry_now(conn, Choice(kind="gate"))
            await world.until("SELECT count(*) FROM parked", equals=0, seconds=2 if fault else 60)


async def test_a_kafka_made_anew_buries_nobody_in_anothers_place(world, tallying):
    """Its offsets start at zero again, and the letters of the old one are still there."""
    contract = await world.contract()
    router = tallying(contract.added, {1, 2})
    consumer = inbox.Inbox(world.service, router, world.database)
    await world.send(*world.things(contract, 1, 2))
    first, second = await world.published(contract.topic)
    await consumer.process(Group.FACTS, [first])
    second.__dict__["offset"] = first.offset
    await consumer.process(Group.FACTS, [second])
    assert await world.count("dead_letter") == 2


async def test_letters_are_counted_and_the_latest_are_shown(world):
    await world.admin.executemany(
        "INSERT INTO dead_letter (consumer_group, topic, key, headers, error_class, error) VALUES ('w', 't', $1, $2, $3, 'x')",
        [(f"k{n}", json.dumps({"ce_type": f"thing.{n % 2}"}), ("A", "B")[n % 3 == 0]) for n in range(10)],
    )
    async with world.database.transaction() as conn:
        assert sum(count.rows for count in await set_aside.letter_counts(conn, ANY)) == 10
        assert [letter.key for letter in await set_aside.letters(conn, ANY, 3)] == ["k9", "k8", "k7"]
        chosen = Choice("A", "thing.1")
        assert await set_aside.letter_counts(conn, chosen) == [("A", "thing.1", 3)]
        assert [letter.key for letter in await set_aside.letters(conn, chosen, 10)] == ["k7", "k5", "k1"]
        numbers = await repair.chosen(conn, chosen)
        assert [letter.key for letter in await set_aside.letters_of(conn, numbers)] == ["k1", "k5", "k7"]
