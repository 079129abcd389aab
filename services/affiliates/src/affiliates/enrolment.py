"""Affiliates and their links (features A1)."""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from affiliates.journal import NOTHING, Balances

CODE = "^[a-z0-9-]{3,32}$"

_CODE = re.compile(CODE)
_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"  # nothing that is read as something else
_LENGTH = 8


class State(StrEnum):
    """Where an affiliate stands: only an active one earns and takes."""

    PENDING = "pending"
    ACTIVE = "active"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True)
class Affiliate:
    """A customer who refers others, and where their money is."""

    store_id: str
    affiliate_id: str
    customer_id: str
    state: State
    enrolled_at: datetime
    balances: Balances = NOTHING


@dataclass(frozen=True, slots=True)
class Link:
    """A code and what came of it, in minor units of the store's currency."""

    code: str
    total_clicks: int
    total_sales: int
    total_revenue_minor: int


def new_code() -> str:
    """A code for somebody who chose none."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))


def canonical(code: str) -> str | None:
    """A code as it is kept: people type links in capitals too. ``None`` when it can be nobody's."""
    lower = code.strip().lower()
    return lower if _CODE.fullmatch(lower) else None


def url(store_url: str, code: str) -> str:
    """The address an affiliate shares: the one that the gateway's ``/r/`` link leads to."""
    scheme, _, rest = store_url.partition("://")
    if "/" not in rest:
        rest += "/"
    return f"{scheme}://{rest}{'&' if '?' in rest else '?'}ref={code}"
