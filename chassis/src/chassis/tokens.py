"""Who is calling: the gateway's signed word for it, good for 60 seconds and for one service.

EdDSA JWTs (RFC 8037). The gateway signs, every service verifies and keeps what it verified until it expires. Tokens
go by real time.
"""

import json
import time
from dataclasses import dataclass, field
from typing import Literal

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey

LIFETIME = 60
_ALGORITHMS = ["Ed25519"]
_CACHE_SIZE = 10_000

Actor = Literal["merchant", "storefront", "customer", "staff"]


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller. ``actor_id`` is a key id, a customer id or a staff id; ``persona`` whom staff act as."""

    store_id: str
    actor: Actor
    actor_id: str
    scopes: frozenset[str] = field(default_factory=frozenset)
    persona: str | None = None

    @property
    def principal(self) -> str:
        """Whose idempotency keys these are: a customer's, a staff member's, or the merchant's whatever the API key."""
        return self.actor if self.actor in {"merchant", "storefront"} else f"{self.actor}:{self.actor_id}"


class Signer:
    """Signs tokens with the gateway's private key."""

    def __init__(self, private_jwk: str) -> None:
        self._key = OKPKey.import_key(json.loads(private_jwk))
        self._header = {"alg": _ALGORITHMS[0], "kid": self._key.kid}

    def sign(self, caller: Caller, service: str) -> str:
        """A token for one service, valid for ``LIFETIME`` seconds."""
        claims = {
            "aud": service,
            "exp": int(time.time()) + LIFETIME,
            "store": caller.store_id,
            "act": caller.actor,
            "sub": caller.actor_id,
            "scopes": sorted(caller.scopes),
            "persona": caller.persona,
        }
        return jwt.encode(self._header, claims, self._key, algorithms=_ALGORITHMS)


class Verifier:
    """Verifies tokens addressed to one service."""

    def __init__(self, public_jwks: str, service: str) -> None:
        self._keys = KeySet.import_key_set(json.loads(public_jwks))
        self._service = service
        self._verified: dict[str, tuple[float, Caller]] = {}

    def verify(self, token: str) -> Caller | None:
        """Who a token speaks for; ``None`` when it is forged, expired or for another service."""
        known = self._verified.get(token)
        if known is None:
            known = self._read(token)
            if known is None:
                return None
            if len(self._verified) >= _CACHE_SIZE:
                self._verified.clear()
            self._verified[token] = known
        expires_at, caller = known
        return caller if expires_at > time.time() else None

    def _read(self, token: str) -> tuple[float, Caller] | None:
        try:
            claims = jwt.decode(token, self._keys, algorithms=_ALGORITHMS).claims
            if claims["aud"] != self._service:
                return None
            caller = Caller(
                claims["store"], claims["act"], claims["sub"], frozenset(claims["scopes"]), claims["persona"]
            )
            return float(claims["exp"]), caller
        except (JoseError, ValueError, KeyError, TypeError):
            return None
