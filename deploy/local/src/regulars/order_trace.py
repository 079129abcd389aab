"""`regulars trace ORDER_ID`: the way of one order through all services, put together from topics and inboxes."""

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from rich.console import Console
from rich.table import Table

from contracts import ids, topics
from regulars import programs
from regulars.ports import SERVICES
from regulars.stack import Stack
from regulars.trouble import Trouble

# What belongs to one order alone: an event that names one of these is part of its way, and so is all of its trace.
_ITS_OWN = re.compile(
    rf"(?:{ids.ORDER}|{ids.CART}|{ids.HOLD}|{ids.INVOICE}|{ids.COMMISSION}|{ids.SCREENING})_{ids.SUFFIX}"
)
_TRACE = re.compile("^00-([0-9a-f]{32})-")
_TOLD = ("status", "decision", "reason", "type", "amount_minor", "gross_minor", "currency", "stage", "version")


@dataclass
class Step:
    """An event on the way: announced with its transaction, published by the relay, handled by whom and when."""

    event_id: str
    type: str
    source: str
    announced: datetime
    published: datetime
    links: frozenset[str]
    about: dict[str, Any]
    handled: dict[str, datetime] = field(default_factory=dict)
    waits: list[str] = field(default_factory=list)


def show(stack: Stack, order_id: str, out: Console) -> None:
    """Print the way of an order. Raises ``Trouble`` where there is none."""
    if not re.fullmatch(f"{ids.ORDER}_{ids.SUFFIX}", order_id):
        raise Trouble(f"{order_id} is not the id of an order: those look like order_01jd….")
    steps = asyncio.run(way_of(stack, order_id))
    if not steps:
        raise Trouble(f"No event of this stack names {order_id}.")
    out.print(_table(steps))
    out.print(_summary(steps))


async def way_of(stack: Stack, order_id: str) -> list[Step]:
    """The events of an order in the order they were announced, with who has handled them."""
    start = {order_id} | await _cart_of(stack, order_id)
    steps = _connected(await _history(stack.kafka_bootstrap), start)
    await asyncio.gather(*(_note_handling(stack, service, steps) for service in SERVICES))
    return sorted(steps, key=lambda step: step.announced)


def _connected(steps: Sequence[Step], start: set[str]) -> list[Step]:
    """The steps that name one of these, share a trace with one that does, or name what such a step names."""
    of: dict[str, list[Step]] = defaultdict(list)
    for step in steps:
        for link in step.links:
            of[link].append(step)
    found: dict[str, Step] = {}
    links, seen = list(start), set(start)
    while links:
        for step in of[links.pop()]:
            found[step.event_id] = step
            links += step.links - seen
            seen |= step.links
    return list(found.values())


async def _history(bootstrap: str) -> list[Step]:
    """Every event that the topics keep; of a repeat the first counts."""
    places = [TopicPartition(topic.name, number) for topic in topics.ALL for number in range(topic.partitions)]
    steps: dict[str, Step] = {}
    reader = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest")
    await reader.start()
    try:
        reader.assign(places)
        await reader.seek_to_beginning()
        ends = await reader.end_offsets(places)
        while any([await reader.position(place) < end for place, end in ends.items()]):
            for records in (await reader.getmany(timeout_ms=500, max_records=5_000)).values():
                for step in map(_step, records):
                    steps.setdefault(step.event_id, step)
    finally:
        await reader.stop()
    return list(steps.values())


def _step(record: Any) -> Step:
    headers = {name: value.decode(errors="replace") for name, value in record.headers}
    text = (record.value or b"").decode(errors="replace")
    try:
        body = json.loads(text)
    except ValueError:
        body = {}
    published = datetime.fromtimestamp(record.timestamp / 1000, UTC)
    return Step(
        event_id=headers.get("ce_id", ""),
        type=headers.get("ce_type", "?"),
        source=headers.get("ce_source", "").rpartition("/")[2],
        announced=datetime.fromisoformat(headers["ce_time"]) if "ce_time" in headers else published,
        published=published,
        links=frozenset([*_ITS_OWN.findall(text), *_TRACE.findall(headers.get("traceparent", ""))]),
        about={name: body[name] for name in _TOLD if isinstance(body, dict) and name in body},
    )


async def _cart_of(stack: Stack, order_id: str) -> set[str]:
    rows = await _rows(stack, "carts", 'SELECT cart_id AS id FROM "order" WHERE order_id = $1', order_id)
    return {row["id"] for row in rows}


async def _note_handling(stack: Stack, service: str, steps: Iterable[Step]) -> None:
    by_id = {step.event_id: step for step in steps}
    rows = await _rows(
        stack,
        service,
        """
        SELECT id, received_at, (SELECT reason FROM parked WHERE event_id::text = id) AS parked,
               EXISTS (SELECT FROM dead_letter WHERE headers ->> 'ce_id' = id) AS dead
        FROM unnest($1::text[]) AS id
        LEFT JOIN inbox ON event_id = CASE WHEN pg_input_is_valid(id, 'uuid') THEN id::uuid END
        """,
        list(by_id),
    )
    for row in rows:
        step = by_id[row["id"]]
        if row["received_at"] is not None:
            step.handled[service] = row["received_at"]
        if row["dead"]:
            step.waits.append(f"{service}: dead letter")
        elif row["parked"]:
            step.waits.append(f"{service}: parked ({row['parked']})")


async def _rows(stack: Stack, service: str, sql: str, *args: object) -> list[asyncpg.Record]:
    conn = await asyncpg.connect(stack.admin_database_url(programs.database(service)))
    try:
        found: list[asyncpg.Record] = await conn.fetch(sql, *args)
        return found
    finally:
        await conn.close()


def _table(steps: Sequence[Step]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("at, ms", "service", "announced", "published", "handled by", "about"):
        table.add_column(title, justify="right" if title in {"at, ms", "published"} else "left")
    began = steps[0].announced
    for step in steps:
        handled = [f"{service} +{_ms(at, step.announced)}" for service, at in sorted(step.handled.items())]
        about = " ".join(f"{name}={value}" for name, value in step.about.items())
        waits = "".join(f" [red]{what}[/]" for what in step.waits)
        published = f"+{max(0, _ms(step.published, step.announced))}"
        table.add_row(
            str(_ms(step.announced, began)), step.source, step.type, published, ", ".join(handled), about + waits
        )
    return table


def _summary(steps: Sequence[Step]) -> str:
    last = max((at for step in steps for at in step.handled.values()), default=steps[-1].announced)
    services = {step.source for step in steps} | {service for step in steps for service in step.handled}
    return (
        f"{len(steps)} events, {len(services)} services, {_ms(last, steps[0].announced)} ms from the first event to the"
        f" last handler. Times after a + are ms after the event was announced; the first began {steps[0].announced:%F %T} UTC."
    )


def _ms(later: datetime, earlier: datetime) -> int:
    return round((later - earlier).total_seconds() * 1000)
