"""The event catalogue against the wire: what really lies on Kafka, and who really reads it."""

import json
import time

import pytest

from regulars import asyncapi

pytestmark = pytest.mark.journeys

DOCUMENT = json.loads(asyncapi.FILE.read_text())
ENVELOPE = DOCUMENT["components"]["schemas"]["headers"]


def operations(action: str) -> list[tuple[str, str, set[str], str]]:
    """Service, topic, types and consumer group of every operation."""
    return [
        (
            its["x-service"],
            its["channel"]["$ref"].rpartition("/")[2],
            {message["$ref"].rpartition("/")[2] for message in its["messages"]},
            its.get("bindings", {}).get("kafka", {}).get("groupId", {}).get("enum", [""])[0],
        )
        for its in DOCUMENT["operations"].values()
        if its["action"] == action
    ]


async def test_every_record_is_told_by_whom_the_catalogue_says(world):
    from regulars.demo import Story  # noqa: PLC0415

    began = time.time() * 1000  # earlier tests put records of their own there
    await Story(world.shop).tell()
    await world.settle()
    promised = {
        (f"/regulars/{service}", topic, type_) for service, topic, types, _ in operations("send") for type_ in types
    }
    told = set()
    for record in await world.history():
        if record.timestamp < began:
            continue
        headers = {name: value.decode() for name, value in record.headers}
        assert set(ENVELOPE["required"]) <= headers.keys() <= ENVELOPE["properties"].keys()
        assert record.key.decode()
        told.add((headers["ce_source"], record.topic, headers["ce_type"]))
    assert told <= promised
    assert len(told) > 10


async def test_every_group_reads_the_topics_that_the_catalogue_says(world):
    promised: dict[str, set[str]] = {}
    for _, topic, _, group in operations("receive"):
        promised.setdefault(group, set()).add(topic)
    read = {group: {place.topic for place in places} for group, places in (await world.committed(*promised)).items()}
    assert all(read.values())
    assert [group for group in read if not read[group] <= promised[group]] == []
