"""Golden samples: records as they lie on the topics, and must be readable for ever.

``contracts/samples/<type>.json``, and ``<type>.2.json`` and so on for what was added later. One that is committed is
never written again. ``python -m contracts.samples check`` says what is wrong; ``write`` makes up what is missing.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from contracts import ids
from contracts.event import Event
from contracts.fields import Json, fields, resolved, shown
from contracts.schemas import events

FOLDER = Path(__file__).parents[2] / "samples"

_SUFFIX = "01kbcs5q3rf0x8m2p7v9w4t6yz"
_UUID = "019ad992-dc78-7839-b5a3-aef4b74db3a9"
_INSTANT = "2025-12-01T09:30:00Z"


@dataclass(frozen=True)
class Sample:
    """A record: what Kafka keeps of an event."""

    file: str
    topic: str
    key: str
    headers: dict[str, str]
    payload: Json

    @property
    def of(self) -> str:
        """The event's type."""
        return self.headers["ce_type"]

    def flaw(self, event: type[Event]) -> str | None:
        """Why it is not today's event, if it is not."""
        try:
            read = event.parse(self.headers["store_id"], json.dumps(self.payload).encode())
        except ValueError as error:
            return f"does not load any more: {error}"
        if (read.TOPIC.name, read.key) != (self.topic, self.key):
            return f"went to {self.topic} under {self.key}, and would go to {read.TOPIC.name} under {read.key} now"
        lost = _lost(self.payload, json.loads(read.body()))
        return f"loses {', '.join(lost)}" if lost else None


def samples(folder: Path = FOLDER) -> list[Sample]:
    """All of them, each type's first one first."""
    files = sorted(folder.glob("*.json"), key=lambda path: path.stem)
    return [Sample(path.name, **json.loads(path.read_text())) for path in files]


def flaws(declared: list[type[Event]], found: list[Sample]) -> list[str]:
    """What is wrong with the samples, a sentence each."""
    by_type = {event.TYPE: event for event in declared}
    wrong = []
    for sample in found:
        event = by_type.get(sample.of)
        flaw = "is of no event of ours" if event is None else sample.flaw(event)
        if flaw:
            wrong.append(f"{sample.file} {flaw}")
        wrong += [f"{sample.file} is not made real: {path} says {path}" for path in _made_up(sample.payload)]
    for event, paths in missing(declared, found):
        wrong.append(
            f"no sample of {event.TYPE} shows {', '.join(paths)}: run `python -m contracts.samples write`, "
            "make what it made up real, and commit it"
        )
    return wrong


def missing(declared: list[type[Event]], found: list[Sample]) -> list[tuple[type[Event], list[str]]]:
    """The events with fields that no sample shows, and these."""
    lacking = []
    for event in declared:
        its = [shown(sample.payload) for sample in found if sample.of == event.TYPE]
        paths = sorted(fields(event).keys() - set().union(*its))
        if paths or not its:
            lacking.append((event, paths or ["it"]))
    return lacking


def write(declared: list[type[Event]], folder: Path = FOLDER) -> list[Path]:
    """Make up a sample with all fields for each event that needs one. Writes no file that is there."""
    folder.mkdir(exist_ok=True)
    made = []
    for event, _ in missing(declared, samples(folder)):
        names = (f"{event.TYPE}{'' if number == 1 else f'.{number}'}.json" for number in count(1))
        path = next(folder / name for name in names if not (folder / name).exists())
        path.write_text(json.dumps(_record(event), indent=2, ensure_ascii=False) + "\n")
        made.append(path)
    return made


def _record(event: type[Event]) -> Json:
    """What an event could look like on its topic."""
    schema = event.model_json_schema()
    everything = _value("", schema, schema.get("$defs", {}))
    store_id = everything.pop("store_id")
    headers = {
        "ce_specversion": "1.0",
        "ce_id": _UUID,
        "ce_type": event.TYPE,
        "ce_source": f"/regulars/{event.TOPIC.producers[0]}",
        "ce_time": _INSTANT,
        "content-type": "application/json",
        "store_id": store_id,
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    }
    key = everything.get(event.KEY, store_id)
    return {"topic": event.TOPIC.name, "key": key, "headers": headers, "payload": everything}


def _value(name: str, schema: Json, defs: Json) -> Any:
    schema, _ = resolved(schema, defs)
    if "enum" in schema:
        return schema["enum"][0]
    match schema["type"]:
        case "object":
            return {name: _value(name, its, defs) for name, its in schema["properties"].items()}
        case "array":
            return [_value(name, schema["items"], defs)]
        case "integer":
            return 2500 if name.endswith("_minor") else 1
        case "boolean":
            return True
        case "string":
            return _text(name, schema)
    raise ValueError(f"contracts.samples cannot make up {name}: a {schema['type']}")


def _text(name: str, schema: Json) -> str:
    says: str = schema.get("format") or schema.get("pattern") or ""
    if ids.SUFFIX in says:
        return f"{says.removeprefix('^').removesuffix(f'{ids.SUFFIX}$')}{_SUFFIX}"
    return {"date-time": _INSTANT, "uuid": _UUID, "^[A-Z]{3}$": "EUR", "^[A-Z]{2}$": "DE"}.get(says, name)


def _made_up(payload: Any, name: str = "") -> Iterator[str]:
    """The texts that only say their own name."""
    if isinstance(payload, dict):
        for its, value in payload.items():
            yield from _made_up(value, its)
    elif isinstance(payload, list):
        for value in payload:
            yield from _made_up(value, name)
    elif payload == name:
        yield name


def _lost(before: Any, after: Any, path: str = "") -> list[str]:
    """Where something was and is not, or is not the same."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [lost for name in before for lost in _lost(before[name], after.get(name), f"{path}.{name}".lstrip("."))]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = zip(before, after, strict=True)
        return [lost for was, now in pairs for lost in _lost(was, now, f"{path}[]")]
    return [] if before == after else [path]


if __name__ == "__main__":
    if sys.argv[1:] == ["write"]:
        for made in write(events()):
            print(f"{made.name} is made up: make it real before you commit it")  # noqa: T201
    elif wrong := flaws(events(), samples()):
        sys.exit("\n".join(wrong))
