"""Announcing: events are rows written in the transaction that makes them true; the relay publishes them.

``add`` collects, and the chassis inserts the rows as the last statement before the commit, so that every lock is
held when their sequence is drawn. The relay's order rests on that.
"""

from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from chassis import ids, tracing
from contracts.event import Event

if TYPE_CHECKING:
    from chassis.db import Conn, Raw

CHANNEL = "outbox"


class Announced(NamedTuple):
    """An event on its way into the outbox."""

    event_id: UUID
    event: Event
    traceparent: str | None


def add(conn: "Conn", event: Event, *, because: tracing.Traced | None = None) -> None:
    """Publish an event if this transaction commits. ``because``: the one of many events or requests that led to it."""
    traceparent = because.traceparent if because is not None else tracing.current.get()
    conn.announced.append(Announced(ids.new_uuid(), event, traceparent))


async def insert(raw: "Raw", announced: list[Announced]) -> None:
    """Write what was announced, in order. The last statement of a transaction."""
    if not announced:
        return
    await raw.execute(
        """
        INSERT INTO outbox (event_id, topic, key, type, store_id, payload, traceparent)
        SELECT event_id, topic, key, type, store_id, payload, traceparent
        FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::text[])
             WITH ORDINALITY AS e (event_id, topic, key, type, store_id, payload, traceparent, position)
        ORDER BY position
        """,
        [a.event_id for a in announced],
        [a.event.TOPIC.name for a in announced],
        [a.event.key for a in announced],
        [a.event.TYPE for a in announced],
        [a.event.store_id for a in announced],
        [a.event.body() for a in announced],
        [a.traceparent for a in announced],
    )
