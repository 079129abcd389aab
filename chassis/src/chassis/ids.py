"""Minting ids: TypeIDs for things, UUIDv7 for events and requests."""

import time
from uuid import UUID

import uuid_utils.compat
from typeid import TypeID
from typeid.errors import TypeIDException


def new(prefix: str) -> str:
    """A fresh id such as ``cus_01jd…``; prefixes are in ``contracts.ids``."""
    return str(TypeID(prefix=prefix))


def new_uuid() -> UUID:
    """A fresh UUIDv7."""
    return uuid_utils.compat.uuid7()


def age_seconds(typeid: str) -> float | None:
    """How long ago an id was minted, by its UUIDv7; ``None`` when it is no id. In seconds of real time."""
    try:
        minted_ms = int.from_bytes(TypeID.from_string(typeid).uuid.bytes[:6])
    except (TypeIDException, ValueError):
        return None
    return time.time() - minted_ms / 1000
