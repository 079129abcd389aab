"""Consuming: each event exactly once in effect, whatever the wire does (design §3).

A batch is one transaction: inbox rows, what the handlers write and announce, what is parked or given up. When the
database or the broker is away the same batch is tried again, never given up; when an event is at fault the batch
falls apart into single events, and the one at fault ends in ``dead_letter``.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Sequence
from typing import Any

import structlog

from chassis import known_customers, metrics, telemetry, tracing
from chassis.db import Conn, Database
from chassis.handlers import Group, Router
from chassis.known_customers import Known, Pair
from chassis.parking import Parking
from chassis.received import Dead, Received, bury, dead, read_all
from chassis.verdicts import NotYet, is_transient, place_of
from chassis.waves import waves
from contracts.customers import CustomerCreated

__all__ = ["Inbox", "NotYet", "Router"]

log = structlog.get_logger()

LONGEST = 60.0  # seconds in one call, far below max.poll.interval.ms; then the broker hands out the rest again
_LONGEST_BACK_OFF = 5.0
_AGAIN = (0.1, 0.4, 1.0, 1.5)  # seconds between the attempts at an event that fails alone
_PATIENCE = 1.0  # seconds that an event which may not be parked waits for its customer


class _TooEarly(Exception):  # noqa: N818
    """An event that may not be parked came before its customer did."""


class Inbox:
    """Takes what the broker hands over and decides what becomes of it. ``service`` names its consumer groups."""

    def __init__(self, service: str, router: Router, database: Database) -> None:
        self._service = service
        self._router = router
        self._database = database
        self._sizes = metrics.BATCHES.labels(service, "events")
        fold = router.handler(CustomerCreated.TOPIC.name, CustomerCreated.TYPE)
        self._checks_customers = fold is not None and fold.run is known_customers.on_customer_created
        self._closing = asyncio.Event()
        self.skipped = 0  # events of ephemeral topics that came too early; their asker sends them again

    def close(self) -> None:
        """Wait no longer: what is not done is handed out again by the broker."""
        self._closing.set()

    async def process(self, group: Group, records: Sequence[Any]) -> int:
        """Do a batch of Kafka records, each partition's in order; how many of them were for us.

        Raises what keeps it from being done if that takes too long. Nothing of it is lost then, and what is done is
        not done again when it comes back.
        """
        items, unreadable = read_all(self._router, records)
        if not items and not unreadable:
            return 0
        self._sizes.observe(len(items))
        with telemetry.batch("events", (item.event.traceparent for item in items)):
            await self._process(group.of(self._service), items, unreadable)
        return len(items)

    async def _process(self, name: str, items: Sequence[Received], unreadable: Sequence[Dead]) -> None:
        turn = _Turn(self._closing)
        try:
            await self._patiently(name, items, unreadable, turn)
        except Exception as error:
            if is_transient(error):
                raise
            _report("batch_falls_apart", error, group=name, events=len(items))
        else:
            return
        await self._patiently(name, [], unreadable, turn)
        for item in items:
            await self._alone(name, item, turn)

    async def retry(self, conn: Conn, item: Received) -> None:
        """Do one parked event again in the caller's transaction. Raises ``NotYet`` if it is still too early."""
        pair = self._customer_of(item)
        if pair is not None:
            known = (await known_customers.acting(conn, [pair])).get(pair)
            if known is None:
                raise NotYet("customer")
            item = item.acting_as(known.acting_id)
        await self._run(conn, [item])

    async def _patiently(
        self, group: str, items: Sequence[Received], unreadable: Sequence[Dead], turn: "_Turn"
    ) -> None:
        """One transaction for all of it, again while the database is to blame."""
        while True:
            try:
                await self._once(group, items, unreadable, turn)
            except NotYet:
                turn.careful = True
            except _TooEarly:
                await asyncio.sleep(0.05)
            except Exception as error:
                if not is_transient(error):
                    raise
                await turn.back_off(error)
            else:
                return

    async def _alone(self, group: str, item: Received, turn: "_Turn") -> None:
        """One event; if it fails again and again it is given up, so that those behind it go on."""
        for pause in (*_AGAIN, None):
            try:
                await self._patiently(group, [item], [], turn)
            except Exception as error:
                if is_transient(error):
                    raise
                if pause is not None:
                    await turn.pause(pause, error)
                    continue
                await self._give_up(group, item, error, turn)
            return

    async def _give_up(self, group: str, item: Received, error: Exception, turn: "_Turn") -> None:
        _report("event_given_up", error, event_id=str(item.event_id), type=item.event.TYPE)
        while True:
            try:
                async with self._database.transaction() as conn:
                    if await _first_seen(conn, [item]):
                        await bury(conn, group, [dead(item, error)])
            except Exception as away:
                if not is_transient(away):
                    raise
                await turn.back_off(away)
            else:
                return

    async def _once(self, group: str, items: Sequence[Received], unreadable: Sequence[Dead], turn: "_Turn") -> None:
        async with self._database.transaction() as conn:
            await bury(conn, group, unreadable)
            fresh = await _first_seen(conn, items)
            if not fresh:
                return
            parking = await Parking.behind_what_waits(conn, group, fresh)
            ready = await self._with_customers(
                conn, [item for item in fresh if not parking.queues(item)], parking, turn
            )
            for together in waves(ready, key=lambda item: (item.topic, item.key), kind=lambda item: item.handler.event):
                await (self._run_carefully(conn, together, parking) if turn.careful else self._run(conn, together))
            await parking.store(conn)
        for item, reason in parking.skipped:
            self.skipped += 1
            log.warning("event_skipped", event_id=str(item.event_id), type=item.event.TYPE, reason=reason)

    async def _with_customers(
        self, conn: Conn, items: Sequence[Received], parking: Parking, turn: "_Turn"
    ) -> list[Received]:
        """The events whose customer is known, each in the name of the one who acts; the others are parked."""
        pairs = {item.event_id: pair for item in items if (pair := self._customer_of(item)) is not None}
        known = await known_customers.acting(conn, pairs.values())
        if turn.is_patient and any(
            item.ephemeral and known_customers.is_young(pairs[item.event_id][1])
            for item in items
            if item.event_id in pairs and pairs[item.event_id] not in known
        ):
            raise _TooEarly
        return [
            acting
            for item in items
            if not parking.queues(item)
            and (acting := _acting(item, pairs.get(item.event_id), known, parking)) is not None
        ]

    async def _run(self, conn: Conn, together: Sequence[Received]) -> None:
        """Hand events of one type to their handler, singly or all at once as it asks."""
        handler = together[0].handler
        group = (self._router.group_of(together[0].topic) or Group.FACTS).of(self._service)
        timed = metrics.HANDLERS.labels(self._service, handler.event.TYPE)
        metrics.EVENTS.labels(self._service, handler.event.TYPE).inc(len(together))
        if handler.batch:
            with timed.time(), telemetry.processing(group, together):
                await handler.run([item.event for item in together], conn)
            return
        for item in together:
            with timed.time(), telemetry.processing(group, [item]):
                before = tracing.current.set(item.event.traceparent)
                try:
                    await handler.run(item.event, conn)
                finally:
                    tracing.current.reset(before)

    async def _run_carefully(self, conn: Conn, together: Sequence[Received], parking: Parking) -> None:
        """The same, parking what is not yet due and undoing what its handler had written."""
        calls = [list(together)] if together[0].handler.batch else [[item] for item in together]
        for call in calls:
            rest = call
            while rest := [item for item in rest if not parking.queues(item)]:
                try:
                    async with conn.savepoint():
                        await self._run(conn, rest)
                except NotYet as verdict:
                    rest = _park_late(rest, verdict, parking)
                else:
                    break

    def _customer_of(self, item: Received) -> Pair | None:
        """Whose event it is, where that has to be known; what tells of customers cannot wait for them."""
        if not self._checks_customers or item.topic == CustomerCreated.TOPIC.name:
            return None
        customer_id = getattr(item.event, "customer_id", None)
        return None if customer_id is None else (item.event.store_id, customer_id)


def _acting(item: Received, pair: Pair | None, known: dict[Pair, Known], parking: Parking) -> Received | None:
    if pair is None:
        return item
    if pair not in known:
        parking.park(item, "customer")
        return None
    return item.acting_as(known[pair].acting_id)


async def _first_seen(conn: Conn, items: Sequence[Received]) -> list[Received]:
    """The events not done before, each once. Sorted, so that two consumers of the same events do not deadlock."""
    by_id = {item.event_id: item for item in reversed(items)}
    rows = await conn.rows(
        "INSERT INTO inbox (event_id) SELECT unnest($1::uuid[]) ON CONFLICT DO NOTHING RETURNING event_id",
        sorted(by_id),
    )
    fresh = {row["event_id"] for row in rows}
    return [item for item in items if item.event_id in fresh and by_id[item.event_id] is item]


def _park_late(call: list[Received], verdict: NotYet, parking: Parking) -> list[Received]:
    """Park the events a handler named, all of them if it named none; what is left to try."""
    named = {id(event) for event in verdict.events or ()}
    late = [item for item in call if id(item.event) in named] or call
    for item in late:
        if not parking.queues(item):
            parking.park(item, verdict.reason)
    parked = {item.event_id for item in late}
    return [item for item in call if item.event_id not in parked]


class _Turn:
    """One call of ``process``: how long it may take, how often it failed, and whether it expects ``NotYet``."""

    def __init__(self, closing: asyncio.Event) -> None:
        now = time.monotonic()
        self._closing = closing
        self._until = now + LONGEST
        self._patient_until = now + _PATIENCE
        self._failures = 0
        self.careful = False

    @property
    def is_patient(self) -> bool:
        """Whether there is time to wait for a customer."""
        return time.monotonic() < self._patient_until

    async def back_off(self, error: Exception) -> None:
        """Wait ever longer. Raises the error when the time is up or the process ends."""
        self._failures += 1
        _report("batch_again", error, failures=self._failures)
        await self.pause(min(0.05 * 2**self._failures, _LONGEST_BACK_OFF) * random.uniform(0.5, 1), error)  # noqa: S311

    async def pause(self, seconds: float, error: Exception) -> None:
        """Wait. Raises ``TimeoutError`` when the time is up or the process ends: hand the rest out again."""
        if time.monotonic() + seconds < self._until:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), seconds)
            if not self._closing.is_set():
                return
        raise TimeoutError("the rest has to be handed out again") from error


def _report(what: str, error: Exception, **about: object) -> None:
    report = log.warning if is_transient(error) else log.error
    report(what, error=type(error).__name__, place=place_of(error), **about)
