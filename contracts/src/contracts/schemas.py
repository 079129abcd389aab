"""The committed JSON Schema of every event: ``python -m contracts.schemas write|check``."""

import importlib
import json
import pkgutil
import sys
from pathlib import Path

import contracts
from contracts.event import Event

FOLDER = Path(__file__).parents[2] / "schemas"


def events() -> list[type[Event]]:
    """Every event of the contracts, by type."""
    for module in pkgutil.iter_modules(contracts.__path__):
        importlib.import_module(f"contracts.{module.name}")
    declared = (cls for cls in Event.__subclasses__() if cls.__module__.startswith("contracts."))
    return sorted(declared, key=lambda cls: cls.TYPE)


def schema(event: type[Event]) -> str:
    """The JSON Schema of an event's body, with its topic and key."""
    body = event.model_json_schema()
    body["properties"].pop("store_id")
    body["required"].remove("store_id")
    described = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": event.TYPE,
        "x-topic": event.TOPIC.name,
        "x-key": event.KEY,
    } | body
    return json.dumps(described, indent=2) + "\n"


def expected() -> dict[str, str]:
    """What the folder must hold: file name to text."""
    return {f"{event.TYPE}.json": schema(event) for event in events()}


def found() -> dict[str, str]:
    """What the folder holds."""
    return {path.name: path.read_text() for path in FOLDER.glob("*.json")}


def write() -> None:
    """Make the folder say what the contracts say."""
    FOLDER.mkdir(exist_ok=True)
    for name in found().keys() - expected().keys():
        (FOLDER / name).unlink()
    for name, text in expected().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    if sys.argv[1:] == ["write"]:
        write()
    elif found() != expected():
        sys.exit("contracts/schemas is out of date: run `python -m contracts.schemas write`")
