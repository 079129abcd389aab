"""Every event has a golden sample, and whatever was committed once can be read today."""

import json
import re
from typing import Any
from uuid import UUID

import pytest
from pydantic import create_model

from chassis import ids
from contracts import samples, schemas
from contracts.event import Event
from contracts.ids import SUFFIX, CustomerId, OrderId
from contracts.topics import CLAIMS, ORDERS

EVENTS = schemas.events()
SAMPLES = samples.samples()


def event(topic=ORDERS, key="customer_id", **more: Any) -> type[Event]:
    """An event of tomorrow."""
    fields: dict[str, Any] = {"order_id": (OrderId, ...), "customer_id": (CustomerId, ...), "stars": (int, ...)} | more
    return create_model(
        "Praised", __base__=Event, __cls_kwargs__={"type": "order.praised", "topic": topic, "key": key}, **fields
    )


@pytest.fixture
def folder(tmp_path):
    """Samples of an event with its first fields."""
    samples.write([event()], tmp_path)
    return tmp_path


def test_every_event_has_a_sample_and_each_still_says_what_it_said():
    assert samples.flaws(EVENTS, SAMPLES) == []


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.file)
def test_a_sample_is_plausible(sample):
    """Every id was minted at some time, by the noun it names; the envelope is the relay's."""
    said = json.dumps([sample.headers, sample.payload])
    found = re.findall(r'"([a-z_]+_[0-9a-z]{26})"', said)
    prefixes = {value for name, value in vars(samples.ids).items() if name.isupper() and name != "SUFFIX"}
    assert {typeid.rpartition("_")[0] for typeid in found} <= prefixes
    assert all(re.fullmatch(SUFFIX, typeid[-26:]) and ids.age_seconds(typeid) > 0 for typeid in found)
    assert UUID(sample.headers["ce_id"]).version == 7
    assert sample.file.startswith(sample.headers["ce_type"])
    assert sample.headers["ce_source"].removeprefix("/regulars/") in {
        name for declared in EVENTS if declared.TOPIC.name == sample.topic for name in declared.TOPIC.producers
    }


def test_an_event_without_a_sample_is_told_what_to_run(tmp_path):
    (told,) = samples.flaws([event()], samples.samples(tmp_path))
    assert told.startswith("no sample of order.praised shows customer_id, order_id, stars: run `python -m contracts.")


def test_what_is_made_up_is_a_sample_and_never_written_again(folder):
    (path,) = folder.iterdir()
    before = path.read_bytes()
    assert samples.flaws([event()], samples.samples(folder)) == []
    assert samples.write([event()], folder) == []
    assert path.read_bytes() == before


def test_a_field_that_is_added_needs_a_sample_of_its_own_beside_the_old_one(folder):
    grown = event(tip_minor=(int, 0))
    assert "shows tip_minor" in samples.flaws([grown], samples.samples(folder))[0]
    assert [path.name for path in samples.write([grown], folder)] == ["order.praised.2.json"]
    assert samples.flaws([grown], samples.samples(folder)) == []


def test_a_text_that_says_its_own_name_is_not_real(folder):
    wordy = event(remark=(str | None, None))
    samples.write([wordy], folder)
    assert samples.flaws([wordy], samples.samples(folder)) == [
        "order.praised.2.json is not made real: remark says remark"
    ]


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (event(colour=(str, ...)), "does not load any more"),
        (event(stars=(str, ...)), "does not load any more"),
        (event(order_id=(CustomerId, ...)), "does not load any more"),
        (event(topic=CLAIMS), "went to orders"),
        (event(key="order_id"), "went to orders under cus_"),
        (event(stars=(float, ...), order_id=(OrderId | None, None)), None),
    ],
    ids=["new required field", "type", "noun", "topic", "key", "what still reads the same"],
)
def test_a_sample_that_reads_differently_is_noticed(folder, broken, says):
    wrong = samples.flaws([broken], samples.samples(folder))
    assert any(says in sentence for sentence in wrong) if says else wrong == []


def test_a_field_that_is_lost_on_the_way_is_noticed(folder):
    (path,) = folder.iterdir()
    record = json.loads(path.read_text())
    record["payload"]["lines"] = [{"sku": "TEE"}]
    path.write_text(json.dumps(record))
    assert samples.flaws([event()], samples.samples(folder)) == ["order.praised.json loses lines"]


def test_a_sample_of_an_event_that_is_no_more_is_noticed(folder):
    assert "order.praised.json is of no event of ours" in samples.flaws([], samples.samples(folder))
