"""The stores this service has heard of: a projection of the topic ``stores``.

A store that we have not heard of yet is ``NotYet`` everywhere: a consumer parks the event, HTTP answers 503
(``problems.Unavailable``), since the gateway lets in only callers of stores that exist.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from chassis.db import Conn
from chassis.handlers import Router
from chassis.verdicts import NotYet
from contracts.stores import StoreCreated

router = Router()

_currencies: dict[str, str] = {}  # a store's currency never changes


@dataclass(frozen=True, slots=True)
class Store:
    """What a service may know of a store."""

    slug: str
    currency: str
    locale: str
    url: str


@router.on(StoreCreated)
async def on_store_created(events: Sequence[StoreCreated], conn: Conn) -> None:
    """Know the stores. The first word counts: what may change later comes with a version of its own."""
    await conn.execute(
        """
        INSERT INTO store (store_id, slug, currency, locale, url)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
        ON CONFLICT (store_id) DO NOTHING
        """,
        [event.store_id for event in events],
        [event.slug for event in events],
        [event.currency for event in events],
        [event.locale for event in events],
        [event.url for event in events],
    )


async def currency(conn: Conn, store_id: str) -> str:
    """The store's settlement currency. Raises ``NotYet`` when the store has not been heard of."""
    known = _currencies.get(store_id)
    if known is None:
        known = _currencies[store_id] = (await store(conn, store_id)).currency
    return known


async def store(conn: Conn, store_id: str) -> Store:
    """The store as last heard of. Raises ``NotYet`` when it has not been."""
    row = await conn.row("SELECT slug, currency, locale, url FROM store WHERE store_id = $1", store_id)
    if row is None:
        raise NotYet("store")
    return Store(**row)
