"""Which customers this service knows of: a projection of the topic ``customers``.

The highest version of a customer wins, whatever order and however often its events come. An id that was merged acts
as the one it was merged into. Customers are this service's own copy, so a fresh one may take a moment to arrive:
HTTP waits for it briefly, without holding a connection; a consumer parks.
"""

import asyncio
import contextvars
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from chassis import ids
from chassis.db import Conn, Database
from chassis.handlers import Router
from contracts.customers import CustomerCreated, CustomerState, CustomerUpdated
from contracts.ids import CUSTOMER

_YOUNG = 60.0  # seconds: an older id that we do not know does not exist
_SKEW = 5.0  # seconds that another machine\'s clock may be ahead
_PATIENCE = 2.0
_POLL = 0.025

Pair = tuple[str, str]  # (store id, customer id)

router = Router()


class Known(NamedTuple):
    """Who acts for an id. ``erased``: there is nobody left to act."""

    acting_id: str
    erased: bool


@router.on(CustomerCreated)
async def on_customer_created(events: Sequence[CustomerCreated], conn: Conn) -> None:
    """Know the customers, unless a later version is known already."""
    await _fold(conn, events)


@router.on(CustomerUpdated)
async def on_customer_updated(events: Sequence[CustomerUpdated], conn: Conn) -> None:
    """Follow the customers, unless a later version is known already."""
    await _fold(conn, events)


async def _fold(conn: Conn, events: Sequence[CustomerCreated | CustomerUpdated]) -> None:
    ordered = sorted(events, key=lambda event: (event.store_id, event.customer_id, event.version))
    newest = {(event.store_id, event.customer_id): event for event in ordered}
    await conn.execute(
        """
        INSERT INTO known_customer AS known (store_id, id, version, state, merged_into)
        SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::text[])
        ON CONFLICT (store_id, id) DO UPDATE
        SET version = excluded.version, state = excluded.state, merged_into = excluded.merged_into
        WHERE known.version < excluded.version
        """,
        [event.store_id for event in newest.values()],
        [event.customer_id for event in newest.values()],
        [event.version for event in newest.values()],
        [event.state for event in newest.values()],
        [event.merged_into for event in newest.values()],
    )


async def acting(conn: Conn, pairs: Iterable[Pair]) -> dict[Pair, Known]:
    """Who acts for each (store id, customer id), merges followed to their end; unknown ones are left out."""
    wanted = sorted(set(pairs))
    if not wanted:
        return {}
    rows = await conn.rows(
        """
        WITH RECURSIVE follow AS (
            SELECT known.store_id, known.id AS asked, known.id, known.state, known.merged_into, 1 AS hops
            FROM unnest($1::text[], $2::text[]) AS wanted (store_id, id)
            JOIN known_customer AS known USING (store_id, id)
            UNION ALL
            SELECT follow.store_id, follow.asked, known.id, known.state, known.merged_into, hops + 1
            FROM follow
            JOIN known_customer AS known ON known.store_id = follow.store_id AND known.id = follow.merged_into
            WHERE hops < 50
        )
        SELECT store_id, asked, id, state FROM follow WHERE merged_into IS NULL
        """,
        [store_id for store_id, _ in wanted],
        [customer_id for _, customer_id in wanted],
    )
    return {(row["store_id"], row["asked"]): Known(row["id"], row["state"] == CustomerState.ERASED) for row in rows}


def is_young(customer_id: str) -> bool:
    """Whether an id was minted so lately that we may not have heard of it yet."""
    age = ids.age_seconds(customer_id)
    return age is not None and -_SKEW < age < _YOUNG


class KnownCustomers:
    """Looks customers up for HTTP: the lookups that wait are one query per store and turn."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._asked: dict[str, list[tuple[str, asyncio.Future[Known | None]]]] = {}
        self._loads: set[asyncio.Task[None]] = set()
        self._tick: asyncio.Future[None] | None = None

    async def resolve(self, store_id: str, customer_id: str) -> str | None:
        """The id that acts for a customer of a store; ``None``: no such customer, or erased.

        An unknown id younger than 60 s is waited for, up to 2 s.
        """
        if not customer_id.startswith(f"{CUSTOMER}_") or ids.age_seconds(customer_id) is None:
            return None
        until = time.monotonic() + (_PATIENCE if is_young(customer_id) else 0)
        while (known := await self._look_up(store_id, customer_id)) is None and time.monotonic() < until:
            await self._next_poll()
        return None if known is None or known.erased else known.acting_id

    async def _look_up(self, store_id: str, customer_id: str) -> Known | None:
        answer: asyncio.Future[Known | None] = asyncio.get_running_loop().create_future()
        if store_id in self._asked:
            self._asked[store_id].append((customer_id, answer))
        else:
            self._asked[store_id] = [(customer_id, answer)]
            load = asyncio.create_task(self._load(store_id), context=contextvars.Context())  # nobody's trace
            self._loads.add(load)
            load.add_done_callback(self._loads.discard)
        return await answer

    async def _load(self, store_id: str) -> None:
        """Answer a store's lookups, those that come meanwhile in the next turn, until none waits."""
        while asked := self._asked[store_id]:
            self._asked[store_id] = []
            try:
                async with self._database.transaction(store_id) as conn:
                    known = await acting(conn, [(store_id, customer_id) for customer_id, _ in asked])
            except Exception as error:  # noqa: BLE001  (each waiting request gets it)
                for _, answer in asked:
                    if not answer.done():
                        answer.set_exception(error)
                continue
            for customer_id, answer in asked:
                if not answer.done():
                    answer.set_result(known.get((store_id, customer_id)))
        del self._asked[store_id]

    async def _next_poll(self) -> None:
        """Wake together with all who wait, so that their lookups are one query."""
        if self._tick is None or self._tick.done():
            loop = asyncio.get_running_loop()
            self._tick = loop.create_future()
            loop.call_later(_POLL, self._tick.set_result, None)
        await asyncio.shield(self._tick)
