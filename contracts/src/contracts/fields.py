"""The fields of an event, each by its path (``lines[].sku``) with everything a reader checks of it.

Two fields of which the same is said read the same events; a title or a description changes nothing for a reader.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from contracts.event import Event

Json = dict[str, Any]

_STRUCTURE = {"$defs", "$ref", "anyOf", "description", "items", "properties", "required", "title", "type"}
_LIMITS = {
    "exclusiveMaximum",
    "exclusiveMinimum",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
}
_SAID = {"const", "default", "enum", "format", "pattern"} | _LIMITS


@dataclass(frozen=True, slots=True)
class Field:
    """A field, or an item of one. ``presence`` is ``required``, ``optional`` or, of an item, ``each``."""

    path: str
    presence: str
    nullable: bool
    schema: Json

    @property
    def said(self) -> str:
        """All that a reader checks, such as ``required integer exclusiveMinimum=0``."""
        schema: Json = {name: sorted(its) if name == "enum" else its for name, its in self.schema.items()}
        limits = [f"{name}={json.dumps(schema[name])}" for name in sorted(schema.keys() & _SAID)]
        return " ".join([self.presence, schema["type"] + ("|null" if self.nullable else ""), *limits])


def fields(event: type[Event]) -> dict[str, str]:
    """What is said of every field, by its path."""
    schema = event.model_json_schema()
    del schema["properties"]["store_id"]  # travels as a header
    return {field.path: field.said for field in below("", schema, schema.get("$defs", {}))}


def below(path: str, schema: Json, defs: Json) -> Iterator[Field]:
    """The fields of an object or array, and those that lie in them."""
    for name, its in schema.get("properties", {}).items():
        presence = "required" if name in schema.get("required", ()) else "optional"
        yield from _field(f"{path}.{name}" if path else name, presence, its, defs)
    if "items" in schema:
        yield from _field(f"{path}[]", "each", schema["items"], defs)


def _field(path: str, presence: str, schema: Json, defs: Json) -> Iterator[Field]:
    schema, nullable = resolved(schema, defs)
    yield Field(path, presence, nullable, schema)
    yield from below(path, schema, defs)


def shown(payload: Any, path: str = "") -> set[str]:
    """The paths of the fields that a payload has."""
    if isinstance(payload, dict):
        deeper = [shown(value, f"{path}.{name}" if path else name) for name, value in payload.items()]
    elif isinstance(payload, list):
        deeper = [shown(value, f"{path}[]") for value in payload]
    else:
        deeper = []
    return ({path} if path else set()).union(*deeper)


def resolved(schema: Json, defs: Json) -> tuple[Json, bool]:
    """A schema without its reference and its alternative ``null``, and whether it had that.

    Raises:
        ValueError: it says something that nobody here can compare yet.
    """
    nullable = False
    if "anyOf" in schema:
        alternatives = [each for each in schema["anyOf"] if each != {"type": "null"}]
        nullable = len(alternatives) < len(schema["anyOf"])
        if len(alternatives) > 1:
            raise ValueError("contracts.fields cannot compare a field of several types")
        schema = alternatives[0] | {name: said for name, said in schema.items() if name != "anyOf"}
    if "$ref" in schema:
        schema = defs[schema["$ref"].rpartition("/")[2]] | schema
    unknown = schema.keys() - _STRUCTURE - _SAID
    if unknown or "type" not in schema:
        raise ValueError(f"contracts.fields cannot compare {', '.join(sorted(unknown)) or 'any type'}")
    return schema, nullable
