"""Idempotency keys: one effect and one reply per key, kept in the service's own transaction (design §4).

A key belongs to a store, a principal, a method and a concrete path. Its row is inserted first, so a second request
with it waits for the first to commit; what is stored then is repeated byte for byte.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import NamedTuple
from weakref import WeakValueDictionary

from chassis.db import Conn
from chassis.problems import IdempotencyKeyInvalid, InFlight
from chassis.reply import Rendered

WAIT = 5.0
KEPT = timedelta(hours=24)

AtWork = Callable[[Conn, Collection[tuple[str, str]]], Awaitable[set[tuple[str, str]]]]
"""Says of requests, by store and id, which are still being worked on."""

_SLICE = 500
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
    given = dict(zip(keys, fingerprints, strict=True))
    claimed: dict[Key, Claimed] = {}
    while left := {key: given[key] for key in keys if key not in claimed}:  # again: what was swept before it was read
        fresh = await _insert(conn, left)
        claimed |= {key: Claimed(given[key]) for key in fresh}
        if taken := [key for key in left if key not in fresh]:
            claimed |= await _find(conn, taken)
    return claimed


async def _insert(conn: Conn, keys: Mapping[Key, bytes]) -> set[Key]:
    rows = await conn.rows(
        """
        INSERT INTO idempotency (store_id, principal, key, method, path, fingerprint)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[])
        ON CONFLICT DO NOTHING
        RETURNING store_id, principal, key, method, path
        """,
        *_columns(keys),
        list(keys.values()),
    )
    return {Key(*row) for row in rows}


async def _find(conn: Conn, keys: Sequence[Key]) -> dict[Key, Claimed]:
    rows = await conn.rows(
        """
        SELECT i.* FROM idempotency i
        JOIN unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) AS k (store_id, principal, key, method, path)
          USING (store_id, principal, key, method, path)
        """,
        *_columns(keys),
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
        *_columns([key for key, _ in replies]),
        [reply.status for _, reply in replies],
        [reply.body for _, reply in replies],
        [reply.media_type for _, reply in replies],
    )


async def kept(conn: Conn, key: Key) -> Rendered | None:
    """The reply pinned under a key; ``None`` also where the key was swept meanwhile."""
    found = (await _find(conn, [key])).get(key)
    return None if found is None else found.reply


async def forget(conn: Conn, keys: Sequence[Key]) -> None:
    """Free keys: their request came to nothing, or is long over."""
    if not keys:
        return
    await conn.execute(
        """
        DELETE FROM idempotency i
        USING unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
              AS k (store_id, principal, key, method, path)
        WHERE (i.store_id, i.principal, i.key, i.method, i.path) = (k.store_id, k.principal, k.key, k.method, k.path)
        """,
        *_columns(keys),
    )


async def sweep(conn: Conn, at_work: AtWork) -> int:
    """Drop keys older than a day whose work has ended, and keep the others for another day; how many there were.

    Goes by real time.
    """
    rows = await conn.rows(
        """
        SELECT store_id, principal, key, method, path, CASE WHEN status IS NULL THEN request_id END AS open
        FROM idempotency WHERE created_at < now() - $1::interval
        ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED
        """,
        KEPT,
        _SLICE,
    )
    asked = {(row["store_id"], row["open"]) for row in rows if row["open"] is not None}
    working = await at_work(conn, asked) if asked else set()
    old = {Key(*row[:5]): (row["store_id"], row["open"]) in working for row in rows}
    await _keep_on(conn, [key for key, is_open in old.items() if is_open])
    await forget(conn, [key for key, is_open in old.items() if not is_open])
    return len(rows)


async def _keep_on(conn: Conn, keys: Sequence[Key]) -> None:
    if not keys:
        return
    await conn.execute(
        """
        UPDATE idempotency i SET created_at = now()
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
             AS k (store_id, principal, key, method, path)
        WHERE (i.store_id, i.principal, i.key, i.method, i.path) = (k.store_id, k.principal, k.key, k.method, k.path)
        """,
        *_columns(keys),
    )


def _columns(keys: Iterable[Key]) -> list[list[str]]:
    """Keys, of which there are some, as a query takes them."""
    return [list(column) for column in zip(*keys, strict=True)]
