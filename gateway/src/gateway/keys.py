"""API keys: ``rg_live_<id>_<secret>_<crc>``, and ``rg_pub_…`` for those a storefront shows to everybody.

The prefix lets scanners find a leaked key, the checksum turns away typing errors and guesses before any query, and
of the secret only an HMAC is stored.
"""

import hashlib
import hmac
import re
import secrets
import string
import zlib
from dataclasses import dataclass, field
from typing import Literal

from chassis import ids
from contracts.ids import API_KEY, SUFFIX

Kind = Literal["secret", "publishable"]

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_SECRET_LENGTH = 32  # 190 bits
_TAGS: dict[Kind, str] = {"secret": "live", "publishable": "pub"}
_KINDS = {tag: kind for kind, tag in _TAGS.items()}
_KEY = re.compile(
    rf"(?P<body>rg_(?P<tag>live|pub)_(?P<id>{SUFFIX})_(?P<secret>[0-9A-Za-z]{{{_SECRET_LENGTH}}}))_(?P<crc>[0-9A-Za-z]{{6}})"
)


@dataclass(frozen=True, slots=True)
class Key:
    """A key in the clear. ``text`` is shown to its owner once and stored nowhere."""

    kind: Kind
    key_id: str
    secret: str = field(repr=False)

    @property
    def text(self) -> str:
        """The key as its owner writes it."""
        body = f"rg_{_TAGS[self.kind]}_{self.key_id.removeprefix(f'{API_KEY}_')}_{self.secret}"
        return f"{body}_{_checksum(body)}"


def mint(kind: Kind) -> Key:
    """A new key."""
    return Key(kind, ids.new(API_KEY), "".join(secrets.choice(_BASE62) for _ in range(_SECRET_LENGTH)))


def read(text: str) -> Key | None:
    """The key somebody wrote; ``None`` if its form or checksum is not right."""
    found = _KEY.fullmatch(text)
    if found is None or not hmac.compare_digest(_checksum(found["body"]), found["crc"]):
        return None
    return Key(_KINDS[found["tag"]], f"{API_KEY}_{found['id']}", found["secret"])


def digest(pepper: str, secret: str) -> bytes:
    """What is stored of a secret."""
    return hmac.digest(pepper.encode(), secret.encode(), hashlib.sha256)


def is_secret_of(stored: bytes, pepper: str, secret: str) -> bool:
    """Whether a secret is the stored one; takes the same time either way."""
    return hmac.compare_digest(stored, digest(pepper, secret))


def _checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, len(_BASE62))
        digits = _BASE62[digit] + digits
    return digits
