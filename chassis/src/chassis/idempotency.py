"""Idempotency keys: one effect and one reply per key, kept in the service's own transaction (design §4).

A key belongs to a store, a principal, a method and a concrete path. Its row is inserted first, so a second request
with it waits for the first to commit; what is stored then is repeated byte for byte.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import NamedTuple
from weakref import WeakValueDictionary

from chassis.db import Conn
from chassis.problems import IdempotencyKeyInvalid, InFlight
from chassis.reply import Rendered

WAIT = 5.0
KEPT = timedelta(hours=24)

_PRINTABLE = re.compile(r"[\x20-\x7e]{1,255}")


class Key(NamedTuple):
    """Whose key this is, and for what. Sorting keys gives the order in which batches claim them."""

    store_id: str
    principal: str
    key: str
    method: str
    path: str


class Claimed(NamedTuple):
    """What stands under a key. All ``None`` but the fingerprint: it is ours to fill."""

    fingerprint: bytes
    request_id: str | None = None
    reply: Rendered | None = None


def parse_header(header: str) -> str:
    """The key in an ``Idempotency-Key`` header: bare as Stripe has it, or quoted as the IETF draft does."""
    key = header[1:-1] if len(header) > 1 and header[0] == header[-1] == '"' else header
    if not _PRINTABLE.fullmatch(key):
        raise IdempotencyKeyInvalid
    return key


def fingerprint(body: bytes) -> bytes:
    """What tells one body from another under the same key."""
    return hashlib.sha256(body).digest()


class Turns:
    """Lets the requests of this process that carry one key go one at a time, without a connection while they wait."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, key: Key | None) -> AsyncIterator[None]:
        """Wait for the others. Raises ``InFlight`` after ``WAIT`` seconds."""
        if key is None:
            yield
            return
        lock = self._locks.setdefault(key, asyncio.Lock())
        try:
            async with asyncio.timeout(WAIT):
                await lock.acquire()
        except TimeoutError:
            raise InFlight from None
        try:
            yield
        finally:
            lock.release()


async def claim(conn: Conn, keys: Sequence[Key], fingerprints: Sequence[bytes]) -> dict[Key, Claimed]:
    """Claim distinct keys, given sorted; the ones another request holds are waited for.

    A key that comes back with neither a reply nor an open request was free and is ours in this transaction.
    """
    columns = [list(column) for column in zip(*keys, strict=True)]
    fresh = await conn.rows(
        """
        INSERT INTO idempotency (store_id, principal, key, method, path, fingerprint)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[])
        ON CONFLICT DO NOTHING
        RETURNING store_id, principal, key, method, path
        """,
        *columns,
        list(fingerprints),
    )
    claimed = {Key(*row): Claimed(b"") for row in fresh}
    taken = [key for key in keys if key not in claimed]
    found = await _find(conn, taken) if taken else {}
    given = dict(zip(keys, fingerprints, strict=True))
    return {key: Claimed(given[key]) if key in claimed else found[key] for key in keys}


async def _find(conn: Conn, keys: Sequence[Key]) -> dict[Key, Claimed]:
    rows = await conn.rows(
        """
        SELECT i.* FROM idempotency i
        JOIN unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) AS k (store_id, principal, key, method, path)
          USING (store_id, principal, key, method, path)
        """,
        *[list(column) for column in zip(*keys, strict=True)],
    )
    return {
        Key(row["store_id"], row["principal"], row["key"], row["method"], row["path"]): Claimed(
            row["fingerprint"],
            row["request_id"],
            None if row["status"] is None else Rendered(row["status"], row["body"], row["media_type"]),
        )
        for row in rows
    }


async def leave_open(conn: Conn, key: Key, request_id: str) -> None:
    """Another service is at work on this; whoever comes with the key waits for the answer to ``request_id``."""
    await conn.execute(
        """
        UPDATE idempotency SET request_id = $6
        WHERE store_id = $1 AND principal = $2 AND key = $3 AND method = $4 AND path = $5
        """,
        *key,
        request_id,
    )


async def keep(conn: Conn, replies: Sequence[tuple[Key, Rendered]]) -> int:
    """Pin replies under their keys; one that is there stays. The number pinned."""
    return await conn.execute(
        """
        UPDATE idempotency i SET status = r.status, body = r.body, media_type = r.media_type
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::bytea[], $8::text[])
             AS r (store_id, principal, key, method, path, status, body, media_type)
        WHERE (i.store_id, i.principal, i.key, i.method, i.path) = (r.store_id, r.principal, r.key, r.method, r.path)
          AND i.status IS NULL
        """,
        *[list(column) for column in zip(*[key for key, _ in replies], strict=True)],
        [reply.status for _, reply in replies],
        [reply.body for _, reply in replies],
        [reply.media_type for _, reply in replies],
    )


async def kept(conn: Conn, key: Key) -> Rendered | None:
    """The reply pinned under a key."""
    return (await _find(conn, [key]))[key].reply


async def forget(conn: Conn, keys: Sequence[Key]) -> None:
    """Free keys whose request came to nothing."""
    await conn.execute(
        """
        DELETE FROM idempotency i
        USING unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
              AS k (store_id, principal, key, method, path)
        WHERE (i.store_id, i.principal, i.key, i.method, i.path) = (k.store_id, k.principal, k.key, k.method, k.path)
        """,
        *[list(column) for column in zip(*keys, strict=True)],
    )


async def sweep(conn: Conn, _now: datetime) -> int:
    """Drop keys older than a day whose work has ended; the number dropped. Goes by real time."""
    return await conn.execute(
        """
        DELETE FROM idempotency WHERE (store_id, principal, key, method, path) IN (
            SELECT store_id, principal, key, method, path FROM idempotency
            WHERE created_at < now() - $1::interval AND status IS NOT NULL
            LIMIT 500
        )
        """,
        KEPT,
    )
