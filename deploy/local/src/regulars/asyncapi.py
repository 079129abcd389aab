"""The platform's AsyncAPI document, from the contracts and the handlers: ``python -m regulars.asyncapi write|check``.

It lies in the gateway, which serves it. Who publishes is said by the topic, who listens by the handlers that run.
"""

import inspect
import json
import re
import sys
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import affiliates.main
import carts.main
import customers.main
import fraud_block.main
import gateway.main
import wallet.main
from chassis import topics
from chassis.handlers import Group
from chassis.service import Service
from contracts import samples, schemas
from contracts.event import Event
from contracts.samples import Sample
from contracts.topics import ALL, Topic

Json = dict[str, Any]

FILE = Path(gateway.main.__file__).parent / "asyncapi.json"
SERVICES = tuple(part.main.service for part in (affiliates, carts, customers, fraud_block, gateway, wallet))

_KAFKA = {"bindingVersion": "0.5.0"}
_HEARD = {Group.FACTS: "facts", Group.ASK: "ask"}
_INFO = """Every topic of the platform, the events on it, who publishes them and who listens.

Events are CloudEvents in Kafka's binary mode: the value is the event's own JSON, the envelope travels as headers. Any
event may come twice, with the same `ce_id`. Order holds within a key. Fields are only ever added, and optional; a
breaking change is a new type (`….v2`): ignore what you do not know. Amounts are integers of minor units."""


def document() -> Json:
    """AsyncAPI 3 of the whole platform."""
    events = schemas.events()
    by_topic = {topic: [event for event in events if event.TOPIC is topic] for topic in ALL}
    messages, payloads = _messages(events)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Regulars", "version": version("regulars-contracts"), "description": _INFO},
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic, its) for topic, its in by_topic.items()},
        "operations": _sent(by_topic) | _received(),
        "components": {"messages": messages, "schemas": {"headers": _headers(), **payloads}},
    }


def _channel(topic: Topic, events: list[type[Event]]) -> Json:
    kept = "for ever" if topic.kept is None else f"{topic.kept.total_seconds() / 86400:g} days"
    ephemeral = "one hour, and never copied: it may carry personal data"
    keys = " or ".join(sorted({event.KEY for event in events}))
    return {
        "address": topic.name,
        "description": f"Keyed by {keys}; kept {ephemeral if topic.ephemeral else kept}.",
        "messages": {event.TYPE: {"$ref": f"#/components/messages/{event.TYPE}"} for event in events},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {
                    name: int(value) if name.endswith(".ms") else [value]
                    for name, value in topics.config(topic).items()
                },
                **_KAFKA,
            }
        },
        "x-ephemeral": topic.ephemeral,
    }


def _sent(by_topic: dict[Topic, list[type[Event]]]) -> Json:
    return {
        f"{service}.sends.{topic.name}": _operation("send", service, topic.name, [event.TYPE for event in its])
        for topic, its in by_topic.items()
        for service in topic.producers
    }


def _received() -> Json:
    operations: Json = {}
    for service in SERVICES:
        heard: defaultdict[tuple[str, Group], list[str]] = defaultdict(list)
        for handler, group in service.router().handlers():
            heard[handler.event.TOPIC.name, group].append(handler.event.TYPE)
        for (topic, group), types in sorted(heard.items()):
            operations[f"{service.name}.receives.{topic}"] = _heard(service, topic, group, types)
    return operations


def _heard(service: Service, topic: str, group: Group, types: list[str]) -> Json:
    return _operation("receive", service.name, topic, types) | {
        "bindings": {"kafka": {"groupId": {"type": "string", "enum": [group.of(service.name)]}, **_KAFKA}},
        "x-group": _HEARD[group],
    }


def _operation(action: str, service: str, topic: str, types: list[str]) -> Json:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{topic}"},
        "summary": f"{service} {action}s {', '.join(sorted(types))}",
        "messages": [{"$ref": f"#/channels/{topic}/messages/{type_}"} for type_ in sorted(types)],
        "x-service": service,
    }


def _messages(events: list[type[Event]]) -> tuple[Json, Json]:
    """The messages by type, and the schemas of their payloads and of what lies in these."""
    golden = samples.samples()
    messages: Json = {}
    payloads: Json = {}
    for event in events:
        text = schemas.schema(event).replace('"#/$defs/', '"#/components/schemas/')
        payload = {name: its for name, its in json.loads(text).items() if not name.startswith(("$", "x-"))}
        for name, its in json.loads(text).get("$defs", {}).items():
            if payloads.setdefault(name, its) != its:
                raise ValueError(f"two contracts call different things {name}")
        payloads[event.TYPE] = payload
        messages[event.TYPE] = _message(event, payload, [its for its in golden if its.of == event.TYPE])
    return messages, payloads


def _message(event: type[Event], payload: Json, golden: list[Sample]) -> Json:
    says = [inspect.getdoc(its) or "" for its in event.__mro__[: event.__mro__.index(Event)]]
    kind = {"type": "object", "properties": {"ce_type": {"const": event.TYPE}}}
    key = payload["properties"].get(event.KEY) or _headers()["properties"][event.KEY]
    return {
        "name": event.TYPE,
        "summary": re.split(r"(?<=[.?!])\s", says[0])[0],
        "description": "\n\n".join(says),
        "headers": {"allOf": [{"$ref": "#/components/schemas/headers"}, kind]},
        "payload": {"$ref": f"#/components/schemas/{event.TYPE}"},
        "bindings": {"kafka": {"key": {**key, "description": event.KEY}, **_KAFKA}},
        "examples": [{"name": its.file, "headers": its.headers, "payload": its.payload} for its in golden],
    }


def _headers() -> Json:
    store_id = Event.model_json_schema()["properties"]["store_id"]
    says = {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": {"type": "string", "format": "uuid", "description": "The event; the same again is a repeat"},
        "ce_type": {"type": "string", "description": "What happened; a breaking change is a new type"},
        "ce_source": {"type": "string", "pattern": "^/regulars/[a-z-]+$", "description": "The service that tells it"},
        "ce_time": {"type": "string", "format": "date-time", "description": "When it was written down"},
        "content-type": {"type": "string", "const": "application/json"},
        "store_id": {**store_id, "description": "Whose it is"},
    }
    traced = {"type": "string", "pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"}
    return {
        "type": "object",
        "description": "The envelope: CloudEvents and the store",
        "properties": says | {"traceparent": traced | {"description": "W3C trace context, where there is one"}},
        "required": list(says),
    }


def text() -> str:
    """The document's bytes."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["write"]:
        FILE.write_text(text())
    elif not FILE.exists() or FILE.read_text() != text():
        sys.exit("gateway/asyncapi.json is out of date: run `just fix`")
