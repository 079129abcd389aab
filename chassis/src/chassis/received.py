"""Reading what the broker hands over, and writing down what nobody can read or handle."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from pydantic import ValidationError

from chassis import tracing
from chassis.db import Conn
from chassis.handlers import Handler, Router
from chassis.verdicts import place_of
from contracts.event import Event

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Received:
    """An event that has a handler, and where it came from. ``key`` is the one it was sent under."""

    event_id: UUID
    event: Event
    handler: Handler
    key: str
    payload: bytes
    partition: int | None = None
    offset: int | None = None

    @property
    def topic(self) -> str:
        """The topic's name."""
        return self.event.TOPIC.name

    @property
    def ephemeral(self) -> bool:
        """Whether it may carry personal data, and is not to be kept."""
        return self.event.TOPIC.ephemeral

    def acting_as(self, customer_id: str) -> "Received":
        """The same event of the customer that its own was merged into."""
        if customer_id == getattr(self.event, "customer_id", None):
            return self
        return replace(self, event=self.event.model_copy(update={"customer_id": customer_id}))


class Dead(NamedTuple):
    """An event given up. ``payload`` is ``None`` where it may hold personal data; ``unread`` ones have no inbox row."""

    topic: str
    partition: int | None
    offset: int | None
    key: str | None
    headers: dict[str, str]
    payload: bytes | None
    error_class: str
    error: str
    unread: bool = False


def read_all(router: Router, records: Iterable[Any]) -> tuple[list[Received], list[Dead]]:
    """The events that have a handler, and what cannot be read; the rest is skipped by its header, undecoded."""
    items: list[Received] = []
    unreadable: list[Dead] = []
    for record in records:
        headers = dict(record.headers)
        event_type = headers.get("ce_type")
        if event_type is None:
            unreadable.append(_unreadable(record, headers, KeyError("ce_type"), keep=False))
            continue
        handler = router.handler(record.topic, event_type.decode(errors="replace"))
        if handler is None:
            continue
        result = _read(record, headers, handler)
        if isinstance(result, Dead):
            unreadable.append(result)
        elif handler.where is None or handler.where(result.event):
            items.append(result)
    return items, unreadable


def _read(record: Any, headers: dict[str, bytes], handler: Handler) -> Received | Dead:
    try:
        event_id = UUID(headers["ce_id"].decode())
        traceparent = tracing.accept(headers["traceparent"].decode()) if "traceparent" in headers else None
        event = handler.event.parse(headers["store_id"].decode(), record.value, traceparent)
    except Exception as error:  # noqa: BLE001  (whatever is wrong with it, it must not stop the others)
        return _unreadable(record, headers, error, keep=not handler.event.TOPIC.ephemeral)
    return Received(event_id, event, handler, event.key, record.value, record.partition, record.offset)


def _unreadable(record: Any, headers: dict[str, bytes], error: Exception, *, keep: bool) -> Dead:
    log.error("event_unreadable", topic=record.topic, partition=record.partition, offset=record.offset)
    return Dead(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=_text(record.key) if record.key is not None else None,
        headers={name: _text(value) for name, value in headers.items()},
        payload=record.value if keep else None,
        error_class=type(error).__name__,
        error=flaws(error),
        unread=True,
    )


def dead(item: Received, error: Exception) -> Dead:
    """What to remember of an event that its handler could not take."""
    headers = {"ce_id": str(item.event_id), "ce_type": item.event.TYPE, "store_id": item.event.store_id}
    if item.event.traceparent is not None:
        headers["traceparent"] = item.event.traceparent
    payload = None if item.ephemeral else item.payload
    key = _text(item.key.encode())
    return Dead(item.topic, item.partition, item.offset, key, headers, payload, type(error).__name__, place_of(error))


def flaws(error: Exception) -> str:
    """Which fields are wrong and how, without what was in them."""
    if not isinstance(error, ValidationError):
        return "unreadable"
    found = error.errors(include_input=False, include_url=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, flaw['loc']))}: {flaw['type']}" for flaw in found)[:1000]


def _text(value: bytes | None) -> str:
    """Whatever came, as text that PostgreSQL takes."""
    return (value or b"").decode(errors="replace").replace("\0", "\ufffd")


async def bury(conn: Conn, group: str, given_up: Iterable[Dead]) -> None:
    """Keep what was given up. The same record again changes nothing, unless it could be read this time and failed."""
    rows = list(given_up)
    if rows:
        await conn.executemany(
            """
            INSERT INTO dead_letter
                   (consumer_group, topic, partition, "offset", key, headers, payload, error_class, error, unread)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
            ON CONFLICT (consumer_group, topic, partition, "offset", coalesce(headers ->> 'ce_id', '')) DO UPDATE
            SET key = excluded.key, headers = excluded.headers, payload = excluded.payload, unread = false,
                error_class = excluded.error_class, error = excluded.error, died_at = excluded.died_at
            WHERE NOT excluded.unread
            """,
            [(group, *row[:4], json.dumps(row.headers), *row[5:]) for row in rows],
        )
