"""Every SQL statement of the gateway.

What is written is written under the worker role, which names the store itself; what is asked before a store is known
goes through the functions of the first migration.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from iso4217 import Currency

from chassis import clock, ids, money, outbox
from chassis.db import Conn
from contracts.ids import STORE
from contracts.stores import StoreCreated
from gateway import keys, landing
from gateway.keys import Key, Kind

# What ISO has no minor units for (gold, test codes) or others than our money is counted in is nothing to settle in.
_CURRENCIES = frozenset(known.code for known in Currency if known.exponent == money.digits(known.code))


@dataclass(frozen=True, slots=True)
class Store:
    """A store. ``url`` is its own address, ``host`` a name of its own that leads to us."""

    store_id: str
    slug: str
    currency: str
    locale: str
    url: str
    host: str | None


@dataclass(frozen=True, slots=True)
class StoredKey:
    """What is kept of a key."""

    store_id: str
    kind: Kind
    digest: bytes
    scopes: frozenset[str]
    expires_at: datetime | None
    revoked_at: datetime | None

    def opens(self, at: datetime) -> bool:
        """Whether the key is good at an instant of real time."""
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)


async def create_store(
    conn: Conn, *, slug: str, currency: str, locale: str, url: str, host: str | None = None
) -> Store | None:
    """Open a store and tell everybody; ``None`` if its slug or host is taken.

    ``currency`` is its settlement currency for ever. Raises ``ValueError`` for one that we do not know, and for a slug, URL
    or host that cannot be.
    """
    if currency not in _CURRENCIES:
        raise ValueError(f"{currency} is no currency of ISO 4217 that we know; its codes are three capitals, as in EUR")
    landing.check_store(slug, url, host)
    store = Store(ids.new(STORE), slug, currency, locale, url, host)
    created = StoreCreated(store_id=store.store_id, slug=slug, currency=currency, locale=locale, url=url)
    added = await conn.execute(
        """
        INSERT INTO merchant_store (store_id, slug, currency, locale, url, host, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING
        """,
        *(store.store_id, slug, currency, locale, url, host, clock.now()),
    )
    if not added:
        return None
    outbox.add(conn, created)
    return store


async def store_of(conn: Conn, slug: str) -> Store | None:
    """The store of a slug."""
    row = await conn.row("SELECT store_id, slug, currency, locale, url, host FROM merchant_store WHERE slug = $1", slug)
    return None if row is None else Store(*row)


async def every_store(conn: Conn) -> list[Store]:
    """All stores, also for the api role."""
    return [
        Store(*row) for row in await conn.rows("SELECT store_id, slug, currency, locale, url, host FROM every_store()")
    ]


async def create_key(
    conn: Conn, store_id: str, kind: Kind, scopes: Sequence[str], *, pepper: str, expires_at: datetime | None = None
) -> Key:
    """Give a store a key. Its text is in what is returned and nowhere else. Keys go by real time."""
    key = keys.mint(kind)
    await conn.execute(
        """
        INSERT INTO api_key (store_id, key_id, kind, digest, scopes, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        """,
        *(store_id, key.key_id, kind, keys.digest(pepper, key.secret), sorted(scopes), datetime.now(UTC), expires_at),
    )
    return key


async def revoke_key(conn: Conn, store_id: str, key_id: str) -> bool:
    """End a key; every gateway has seen it 5 s later. False if the store has no such key in force."""
    ended = await conn.execute(
        "UPDATE api_key SET revoked_at = $3 WHERE store_id = $1 AND key_id = $2 AND revoked_at IS NULL",
        *(store_id, key_id, datetime.now(UTC)),
    )
    return ended == 1


async def key_of(conn: Conn, key_id: str) -> StoredKey | None:
    """What is kept of a key, whichever store's, also for the api role."""
    row = await conn.row(
        "SELECT store_id, kind, digest, scopes, expires_at, revoked_at FROM key_of($1)",
        key_id,
    )
    if row is None:
        return None
    return StoredKey(
        row["store_id"], row["kind"], row["digest"], frozenset(row["scopes"]), row["expires_at"], row["revoked_at"]
    )


async def note_key_uses(conn: Conn, used_at: Mapping[str, datetime]) -> None:
    """Remember when keys were last used."""
    await conn.execute("SELECT note_key_uses($1::text[], $2::timestamptz[])", list(used_at), list(used_at.values()))
