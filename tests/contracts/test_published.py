"""What was published stays, whoever breaks it and regenerates."""

import json
from enum import StrEnum
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, ValidationError, create_model

from contracts import published, schemas
from contracts.event import Country, Event, Instant
from contracts.ids import CustomerId, OrderId
from contracts.topics import CLAIMS, ORDERS, Topic

Mood = StrEnum("Mood", {"GOOD": "good", "BAD": "bad"})
OneMood = StrEnum("OneMood", {"GOOD": "good"})
ThreeMoods = StrEnum("ThreeMoods", {"GOOD": "good", "BAD": "bad", "MIXED": "mixed"})


class Line(BaseModel):
    sku: str
    size: str | None = None


class LineWithoutSize(BaseModel):
    sku: str


class LineWithMore(BaseModel):
    sku: str
    size: str | None = None
    colour: str


class LineWithNote(BaseModel):
    sku: str
    size: str | None = None
    note: str | None = None


FIELDS: dict[str, Any] = {
    "order_id": (OrderId, ...),
    "customer_id": (CustomerId, ...),
    "mood": (Mood, ...),
    "quantity": (Annotated[int, Field(gt=0, lt=100)], ...),
    "country": (Country | None, None),
    "note": (Annotated[str, Field(max_length=80)] | None, None),
    "revision": (int, 1),
    "at": (Instant, ...),
    "lines": (tuple[Line, ...], ...),
}


def event(*, named="order.praised", topic: Topic = ORDERS, key="customer_id", without=(), **fields: Any) -> type[Event]:
    """`order.praised` as it was published, but for what is given. Not one of `contracts`, so nobody else finds it."""
    made = {name: its for name, its in (FIELDS | fields).items() if name not in without}
    return create_model("Praised", __base__=Event, __cls_kwargs__={"type": named, "topic": topic, "key": key}, **made)


BREAKS = {
    "an event removed": [],
    "a type renamed": [event(named="order.lauded")],
    "a topic changed": [event(topic=CLAIMS)],
    "a key changed": [event(key="order_id")],
    "a number of partitions changed": [event(topic=Topic("orders", partitions=12))],
    "an optional field removed": [event(without=["note"])],
    "a required field removed": [event(without=["quantity"])],
    "a field renamed": [event(without=["note"], remark=(str | None, None))],
    "a nested field removed": [event(lines=(tuple[LineWithoutSize, ...], ...))],
    "an optional field made required": [event(country=(Country, ...))],
    "a required field made optional": [event(quantity=(Annotated[int, Field(gt=0, lt=100)], 1))],
    "a required field made nullable": [event(mood=(Mood | None, ...))],
    "an enum value removed": [event(mood=(OneMood, ...))],
    "an enum value added": [event(mood=(ThreeMoods, ...))],
    "free text made an enum": [event(note=(Mood | None, None))],
    "a type narrowed": [event(quantity=(Annotated[str, Field()], ...))],
    "a type widened": [event(quantity=(Annotated[float, Field(gt=0, lt=100)], ...))],
    "one made many": [event(note=(tuple[str, ...], ()))],
    "a pattern tightened": [event(country=(Annotated[str, Field(pattern="^DE$")] | None, None))],
    "an id of another noun": [event(order_id=(CustomerId, ...))],
    "a limit tightened": [event(quantity=(Annotated[int, Field(gt=0, lt=10)], ...))],
    "a limit loosened": [event(quantity=(Annotated[int, Field(gt=0, lt=1000)], ...))],
    "a length tightened": [event(note=(Annotated[str, Field(max_length=40)] | None, None))],
    "an instant made free text": [event(at=(str, ...))],
    "a default changed": [event(revision=(int, 2))],
    "a new required field": [event(colour=(str, ...))],
    "a new required field in what is nested": [event(lines=(tuple[LineWithMore, ...], ...))],
}
ADDITIONS = {
    "a new optional field": [event(tip_minor=(int, 0))],
    "a new optional field that may be null": [event(tip_minor=(int | None, None))],
    "a new optional field in what is nested": [event(lines=(tuple[LineWithNote, ...], ...))],
    "a new optional object with required fields": [event(best=(Line | None, None))],
    "a new event": [event(), event(named="order.praised.v2", colour=(str, ...))],
    "new words": [event(note=(Annotated[str, Field(max_length=80, description="Words")] | None, None))],
}


@pytest.fixture
def committed(tmp_path):
    """`published.json` when there was one event and one sample."""
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "order.praised.json").write_text("a record")
    file = tmp_path / "published.json"
    file.write_text(published.text(now(tmp_path, [event()])))
    return file


def now(folder, declared):
    return published.today(declared, folder / "samples")


@pytest.mark.parametrize("declared", BREAKS.values(), ids=BREAKS)
def test_a_break_is_refused_and_regenerating_does_not_hide_it(committed, declared):
    before = committed.read_bytes()
    for verb in ("write", "check"):
        assert "what was published stays" in published.main(verb, now(committed.parent, declared), committed)
    assert committed.read_bytes() == before


@pytest.mark.parametrize("declared", ADDITIONS.values(), ids=ADDITIONS)
def test_an_addition_is_published_once_and_stays(committed, declared):
    added = now(committed.parent, declared)
    changed = added != now(committed.parent, [event()])
    assert ("just publish" in (published.main("check", added, committed) or "")) is changed
    assert published.main("write", added, committed) is None
    assert published.main("check", added, committed) is None
    if changed:
        assert published.breaks(added, now(committed.parent, [event()]))


@pytest.mark.parametrize("spoil", [lambda sample: sample.unlink(), lambda sample: sample.write_text("another")])
def test_a_golden_sample_that_is_gone_or_was_changed_is_refused(committed, spoil):
    spoil(committed.parent / "samples" / "order.praised.json")
    assert "samples/order.praised.json is" in published.main("write", now(committed.parent, [event()]), committed)


def test_all_contracts_and_samples_are_published():
    assert published.main("check", published.today(schemas.events())) is None


def test_every_break_planted_in_a_real_event_is_refused():
    """Each fact of each published event matters: taking it away or changing it is a break."""
    real = published.today(schemas.events())
    for name, said in real["events"].items():
        for path in said:
            spoiled = json.loads(json.dumps(real))
            spoiled["events"][name][path] += " const=1"
            assert published.breaks(real, spoiled) == [
                f"{name}: {path} was `{said[path]}` and is `{said[path]} const=1`"
            ]
            del spoiled["events"][name][path]
            assert published.breaks(real, spoiled) == [f"{name}: {path} is gone"]


def test_no_reader_takes_an_enum_value_that_it_does_not_know():
    """So a new value is a break. An enum that learns to take any (`_missing_`) turns this red: then teach the check."""
    with_enums = 0
    for declared in schemas.events():
        for name, field in declared.model_fields.items():
            if isinstance(field.annotation, type) and issubclass(field.annotation, StrEnum):
                with_enums += 1
                with pytest.raises(ValidationError, match=rf"{name}\n.*Input should be"):
                    declared.model_validate({name: "a value of tomorrow"})
    assert with_enums


def test_what_cannot_be_compared_is_not_published():
    with pytest.raises(ValueError, match="cannot compare additionalProperties"):
        published.today([event(labels=(dict[str, str], {}))])
