"""What was published once, and stays: ``python -m contracts.published check|write``.

Topics keep their events for ever and services are deployed one by one, so new code reads old events and old code reads
new ones. Both hold only while nothing of what was published changes: events and optional fields may be added, anything
else is a new type (``….v2``). That goes for a new value of an enum too: no reader takes a value it does not know.
``write`` adds to ``contracts/published.json`` and refuses a break, so regenerating hides none.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import TypedDict

from contracts import samples
from contracts.event import Event
from contracts.fields import fields
from contracts.schemas import events

FILE = Path(__file__).parents[2] / "published.json"


Said = dict[str, str]  # of an event: each field by its path, and under ``*`` how it is sent


class Published(TypedDict):
    """Everything that stays: events by type, and the digests of the golden samples by file."""

    events: dict[str, Said]
    samples: dict[str, str]


def today(declared: list[type[Event]], folder: Path = samples.FOLDER) -> Published:
    """What the contracts and the samples say."""
    said = {event.TYPE: {"*": _sent(event), **fields(event)} for event in declared}
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.json")}
    return Published(events=said, samples=digests)


def _sent(event: type[Event]) -> str:
    return f"topic={event.TOPIC.name} key={event.KEY} partitions={event.TOPIC.partitions}"


def breaks(published: Published, now: Published) -> list[str]:
    """What is gone, what is not as it was, and what was added that old events lack; a sentence each."""
    broken = []
    for name, was in published["events"].items():
        if name in now["events"]:
            broken += [f"{name}: {flaw}" for flaw in _flaws(was, now["events"][name])]
        else:
            broken.append(f"{name} is gone")
    for file, digest in published["samples"].items():
        if now["samples"].get(file) != digest:
            broken.append(f"samples/{file} is {'changed' if file in now['samples'] else 'gone'}")
    return broken


def _flaws(was: Said, now: Said) -> list[str]:
    gone = [f"{path} is gone" for path in was if path not in now]
    other = [f"{path} was `{was[path]}` and is `{now[path]}`" for path in was if now.get(path, was[path]) != was[path]]
    lacked = [
        f"{path} is new and required: events sent before lack it"
        for path in now
        if path not in was and now[path].startswith("required") and _was_sent(path.rpartition(".")[0], was)
    ]
    return [*gone, *other, *lacked]


def _was_sent(parent: str, was: Said) -> bool:
    """Whether events were sent before with what a field lies in."""
    return not parent or parent in was


def text(published: Published) -> str:
    """The file's bytes: a field a line, so that a diff shows what changed."""
    return json.dumps(published, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def main(verb: str, now: Published, file: Path = FILE) -> str | None:
    """Why not, if a check fails or there is something that may not be written."""
    published: Published = json.loads(file.read_text())
    if broken := breaks(published, now):
        return "\n".join([*broken, "what was published stays: add an optional field or a new type (….v2) instead"])
    if verb == "write":
        file.write_text(text(now))
    elif published != now:
        return "what is new is not published yet: run `just publish` when it is as it shall be for ever"
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], today(events())))
