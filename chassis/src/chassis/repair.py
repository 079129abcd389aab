"""Repair: a dead letter gets another chance, a parked event gets it sooner (design §3).

A letter is never sent through Kafka again: the inbox would drop it, and others read that topic too. In one
transaction it moves to ``parked``, behind what waits for its key, and is a parked event like any other from there on:
done once, or dead again with its new error. Whoever dies in between leaves a letter or a parked event, never both.

Which inbox row is a letter's own? An event that its handler failed has entered the inbox by the time it dies. One that
could not be read has not, so handing it back enters it. A row that is neither means that the event came again and was
taken care of: by code that could read it, or because the inbox forgets after 14 days. Such a letter is only removed.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from chassis import set_aside, tracing
from chassis.db import Conn, Database
from chassis.handlers import Group, Router
from chassis.parking import Parking
from chassis.received import Received, flaws
from chassis.set_aside import Choice, Letter

_AT_ONCE = 200
_LOCK = 7_201_990  # any number, the same for all who hand back
_POLL = 0.1


@dataclass(slots=True)
class Outcome:
    """What became of letters: the events handed back, those ``since`` done without us, and why others stay."""

    handed_back: list[UUID] = field(default_factory=list)
    since: list[int] = field(default_factory=list)
    left: dict[int, str] = field(default_factory=dict)


class Fate(NamedTuple):
    """What became of events that were handed back."""

    done: int
    died_again: int
    waiting: int


class Unfit(Exception):  # noqa: N818  (it is a finding, for a person to read)
    """Why a letter cannot be handed back."""


async def chosen(conn: Conn, choice: Choice, numbers: Sequence[int] | None = None) -> list[int]:
    """The chosen letters, or those of ``numbers`` that are there; those of a key in the order of the broker.

    It is not that of their deaths: what could not be read died at once, before earlier ones that were tried again.
    """
    rows = await conn.rows(
        """
        SELECT seq FROM dead_letter
        WHERE ($1::text IS NULL OR error_class = $1) AND ($2::text IS NULL OR headers ->> 'ce_type' = $2)
          AND ($3::bigint[] IS NULL OR seq = ANY($3))
        ORDER BY topic, partition NULLS FIRST, "offset", seq
        """,
        *choice,
        numbers,
    )
    return [row["seq"] for row in rows]


async def hand_back(database: Database, service: str, router: Router, numbers: Sequence[int]) -> Outcome:
    """Park letters to be tried at once, in this order. Any number of people may at once."""
    outcome = Outcome()
    for start in range(0, len(numbers), _AT_ONCE):
        async with database.transaction() as conn:
            await conn.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            found = await set_aside.letters_of(conn, numbers[start : start + _AT_ONCE])
            part = await _move(conn, service, router, found)
        outcome.handed_back += part.handed_back
        outcome.since += part.since
        outcome.left |= part.left
    return outcome


async def fate(database: Database, event_ids: Sequence[UUID], seconds: float) -> Fate:
    """Wait until none of the events is parked any more, or the time is over."""
    until = time.monotonic() + seconds
    while True:
        async with database.transaction() as conn:
            row = await conn.row(
                """
                SELECT (SELECT count(*) FROM parked WHERE event_id = ANY($1)) AS waiting,
                       (SELECT count(*) FROM dead_letter
                        WHERE headers ->> 'ce_id' = ANY($1::uuid[]::text[]) AND NOT unread) AS died
                """,
                event_ids,
            )
        assert row is not None, "a row of counts"
        if not row["waiting"] or time.monotonic() > until:
            return Fate(len(event_ids) - row["waiting"] - row["died"], row["died"], row["waiting"])
        await asyncio.sleep(_POLL)


async def retry_now(conn: Conn, choice: Choice) -> int:
    """Make parked events due; how many. One that is being tried at this moment is left to whoever tries it."""
    return await conn.execute(
        """
        UPDATE parked SET retry_at = clock_timestamp() WHERE seq IN (
            SELECT seq FROM parked
            WHERE ($1::text IS NULL OR reason = $1) AND ($2::text IS NULL OR type = $2)
            FOR UPDATE SKIP LOCKED
        )
        """,
        *choice,
    )


def read(router: Router, letter: Letter) -> Received:
    """The event as today's code reads it.

    Raises:
        Unfit: it cannot be handed back, and why.
    """
    headers = letter.headers
    if missing := [name for name in ("ce_id", "ce_type", "store_id") if name not in headers]:
        raise Unfit(f"it came without {' and '.join(missing)}")
    handler = router.handler(letter.topic, headers["ce_type"])
    if handler is None:
        raise Unfit(f"nothing handles {headers['ce_type']} here any more")
    if letter.payload is None or handler.event.TOPIC.ephemeral:
        raise Unfit("its body is not kept, since it may hold personal data: whoever asked sends it again")
    try:
        event_id, trace = UUID(headers["ce_id"]), headers.get("traceparent")
        event = handler.event.parse(headers["store_id"], letter.payload, trace and tracing.accept(trace))
    except ValueError as error:
        raise Unfit(f"today's code cannot read it either ({flaws(error)})") from error
    if handler.where is not None and not handler.where(event):
        raise Unfit("it is not meant for this service")
    return Received(event_id, event, handler, event.key, letter.payload, letter.partition, letter.offset)


async def _move(conn: Conn, service: str, router: Router, found: Sequence[Letter]) -> Outcome:
    """Move letters from one table to the other. The inbox comes first: whoever handles one of them waits, or has."""
    outcome, ready = Outcome(), list[tuple[Letter, Received]]()
    for letter in found:
        try:
            ready.append((letter, read(router, letter)))
        except Unfit as why:
            outcome.left[letter.number] = str(why)
    items = [item for _, item in ready]
    entered, received_at = await _enter(conn, [item.event_id for item in items])
    removed = await _remove(conn, [letter for letter, _ in ready])
    parkings = {group: Parking(group.of(service), items) for group in Group}
    for letter, item in ready:
        in_time = received_at.get(item.event_id, letter.died_at) <= letter.died_at
        own = item.event_id in entered or (in_time and not letter.unread)
        entered.discard(item.event_id)  # a second letter of the same event is not its own
        if letter.number not in removed:
            outcome.left[letter.number] = "it died again just now"
        elif not own:
            outcome.since.append(letter.number)
        else:  # in the group that reads its topic today, so that what arrives meanwhile queues behind it
            parkings[router.group_of(item.topic) or Group.FACTS].park(item, "replayed")
            outcome.handed_back.append(item.event_id)
    for parking in parkings.values():
        await parking.store(conn)
    return outcome


async def _enter(conn: Conn, event_ids: Sequence[UUID]) -> tuple[set[UUID], dict[UUID, datetime]]:
    """Enter events into the inbox: those that it did not know, and when each was received."""
    fresh = await conn.rows(
        "INSERT INTO inbox (event_id) SELECT unnest($1::uuid[]) ON CONFLICT DO NOTHING RETURNING event_id",
        sorted(event_ids),
    )
    known = await conn.rows("SELECT event_id, received_at FROM inbox WHERE event_id = ANY($1)", event_ids)
    return {row["event_id"] for row in fresh}, {row["event_id"]: row["received_at"] for row in known}


async def _remove(conn: Conn, found: Sequence[Letter]) -> set[int]:
    """Remove letters, but none that has died again since it was read; the numbers of those removed."""
    rows = await conn.rows(
        """
        DELETE FROM dead_letter USING unnest($1::bigint[], $2::timestamptz[]) AS found (seq, died_at)
        WHERE dead_letter.seq = found.seq AND dead_letter.died_at = found.died_at
        RETURNING dead_letter.seq
        """,
        [letter.number for letter in found],
        [letter.died_at for letter in found],
    )
    return {row["seq"] for row in rows}
