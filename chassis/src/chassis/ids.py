"""Minting ids: TypeIDs for things, UUIDv7 for events and requests."""

import re
import time
from uuid import UUID

import uuid_utils.compat
from typeid import TypeID

from contracts.ids import SUFFIX

_BASE32 = "0123456789abcdefghjkmnpqrstvwxyz"
_SUFFIX = re.compile(SUFFIX)


def new(prefix: str) -> str:
    """A fresh id such as ``cus_01jd…``; prefixes are in ``contracts.ids``."""
    return str(TypeID(prefix=prefix))


def new_uuid() -> UUID:
    """A fresh UUIDv7."""
    return uuid_utils.compat.uuid7()


def age_seconds(typeid: str) -> float | None:
    """How long ago an id was minted, by its UUIDv7; ``None`` when it is no id. In seconds of real time."""
    suffix = typeid.rpartition("_")[2]
    if not _SUFFIX.fullmatch(suffix):
        return None
    minted_ms = 0
    for letter in suffix[:10]:  # 48 bits of milliseconds, behind the two that base32 has too many
        minted_ms = minted_ms << 5 | _BASE32.index(letter)
    return time.time() - minted_ms / 1000
