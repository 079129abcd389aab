"""Who calls: an API key becomes a caller, and a caller a signed token for one service.

A key is looked up at most every 4 s and so is seen revoked within 5; what does not exist is remembered as well, apart
from what does, so that guesses push no real key out. While the database is away only what is remembered opens.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg
import structlog

from chassis.db import Database
from chassis.problems import Unauthenticated, Unavailable
from chassis.tokens import Actor, Caller, Signer
from gateway import keys, scopes, store
from gateway.keys import Key, Kind
from gateway.recent import Recent
from gateway.refusals import KeyNotValid
from gateway.store import StoredKey

log = structlog.get_logger()

DATABASE_AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

_REMEMBERED = 4.0
_TOKEN_REUSED = 30.0
_LOOK_UP_WITHIN = 2.0
_MOST_LOOK_UPS = 100
_NOTED_EVERY = 30.0


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller and the kind of key they came with."""

    kind: Kind
    caller: Caller


class Keyring:
    """The keys in use."""

    def __init__(self, database: Database, pepper: str) -> None:
        self._database = database
        self._pepper = pepper
        self._known: Recent[str, StoredKey] = Recent(_REMEMBERED)
        self._unknown: Recent[str, bool] = Recent(_REMEMBERED)
        self._looking_up: dict[str, asyncio.Task[StoredKey | None]] = {}
        self._used_at: dict[str, datetime] = {}

    async def principal(self, authorization: str) -> Principal:
        """Who an ``Authorization`` header names. Raises ``Unauthenticated``, ``Unavailable``."""
        scheme, _, text = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated
        key = keys.read(text.strip())
        if key is None:
            raise KeyNotValid
        stored = await self._stored(key.key_id)
        now = datetime.now(UTC)
        if stored is None or not self._is(key, stored) or not stored.opens(now):
            raise KeyNotValid
        self._used_at[key.key_id] = now
        actor: Actor = "merchant" if stored.kind == "secret" else "storefront"
        return Principal(stored.kind, Caller(stored.store_id, actor, key.key_id, stored.scopes))

    def _is(self, key: Key, stored: StoredKey) -> bool:
        return stored.kind == key.kind and keys.is_secret_of(stored.digest, self._pepper, key.secret)

    async def _stored(self, key_id: str) -> StoredKey | None:
        known = self._known.get(key_id)
        if known is not None or self._unknown.get(key_id):
            return known
        task = self._looking_up.get(key_id)
        if task is None:
            if len(self._looking_up) >= _MOST_LOOK_UPS:
                raise Unavailable
            task = self._looking_up[key_id] = asyncio.create_task(self._look_up(key_id))
            task.add_done_callback(lambda _: self._looking_up.pop(key_id))
        try:
            return await asyncio.shield(task)
        except DATABASE_AWAY as error:
            log.warning("key_not_looked_up", error=type(error).__name__)
            raise Unavailable from error

    async def _look_up(self, key_id: str) -> StoredKey | None:
        asked_at = time.monotonic()
        async with asyncio.timeout(_LOOK_UP_WITHIN), self._database.transaction() as conn:
            found = await store.key_of(conn, key_id)
        if found is None:
            self._unknown.put(key_id, value=True, learnt_at=asked_at)
        else:
            self._known.put(key_id, found, asked_at)
        return found

    async def note_uses(self) -> None:
        """Write down now and then when each key was last used; for ever."""
        while True:
            await asyncio.sleep(_NOTED_EVERY)
            await self.note_uses_now()

    async def note_uses_now(self) -> None:
        """Write down when each key was last used; a failure costs accuracy only."""
        used_at, self._used_at = self._used_at, {}
        if not used_at:
            return
        try:
            async with self._database.transaction() as conn:
                await store.note_key_uses(conn, used_at)
        except DATABASE_AWAY as error:
            log.warning("key_uses_not_noted", keys=len(used_at), error=type(error).__name__)


class Tokens:
    """The gateway's word for its callers: one token for a caller and a service, used for half its life."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._signed: Recent[tuple[Caller, str], str] = Recent(_TOKEN_REUSED)

    def token(self, caller: Caller, service: str) -> str:
        """A token that is good for 30 s at least."""
        token = self._signed.get((caller, service))
        if token is None:
            token = self._signer.sign(caller, service)
            self._signed.put((caller, service), token)
        return token

    def own_token(self, store_id: str, service: str) -> str:
        """A token for what only the gateway itself may ask."""
        return self.token(Caller(store_id, "storefront", "gateway", frozenset({scopes.INTERNAL})), service)
