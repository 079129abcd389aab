"""The links of affiliates: their codes, who may have which, and what came of them (features A2, A4)."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

CODE = "^[a-z0-9-]{3,32}$"
NEW_CODE = "^[a-z0-9][a-z0-9-]{2,31}$"  # codes with a dash first were given once; the gateway follows none
MOST = 50  # of one affiliate, removed ones too: their codes stay taken; and so many rejected requests are shown
TAKEN_UP = 50  # times that one is: each stretch in which it was active is read with every order

_CODE, _NEW_CODE = re.compile(CODE), re.compile(NEW_CODE)
_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"  # nothing that is read as something else
_LENGTH = 8


class State(StrEnum):
    """Where a link stands. A removed code is never given to anybody else.

    A rejected one is free again: it is shown to who asked for it, and is no link that anything can come of.
    """

    REQUESTED = "requested"
    ACTIVE = "active"
    REMOVED = "removed"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Link:
    """A code and what came of it, in minor units of the store's currency. ``custom``: somebody chose it.

    ``reason``: what staff said when they rejected it.
    """

    code: str
    affiliate_id: str
    state: State
    custom: bool
    added_at: datetime
    active_from: datetime | None
    removed_at: datetime | None
    total_clicks: int
    unique_clicks: int
    total_sales: int
    total_revenue_minor: int
    reason: str | None = None


def new_code() -> str:
    """A code for somebody who chose none."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))


def new_link(affiliate_id: str, chosen: str | None, now: datetime, *, needs_approval: bool = False) -> Link:
    """A link by the code that was chosen, which may have to wait for somebody who approves it, or by a made-up one."""
    waits = chosen is not None and needs_approval
    return Link(
        code=chosen or new_code(),
        affiliate_id=affiliate_id,
        state=State.REQUESTED if waits else State.ACTIVE,
        custom=chosen is not None,
        added_at=now,
        active_from=None if waits else now,
        removed_at=None,
        total_clicks=0,
        unique_clicks=0,
        total_sales=0,
        total_revenue_minor=0,
    )


def approve(link: Link, now: datetime) -> Link | None:
    """A requested link as an active one; the same if it is; ``None`` if it was removed."""
    if link.state is State.REQUESTED:
        return replace(link, state=State.ACTIVE, active_from=now)
    return link if link.state is State.ACTIVE else None


def is_last(links: Sequence[Link], link: Link) -> bool:
    """Whether a link is the only active one of all these."""
    return [each.code for each in links if each.state is State.ACTIVE] == [link.code]


def canonical(code: str) -> str | None:
    """A code as it is kept: people type links in capitals too. ``None`` when it can be nobody's."""
    lower = code.strip().lower()
    return lower if _CODE.fullmatch(lower) else None


def chosen(code: str) -> str | None:
    """A code that somebody chose, as it is kept; ``None`` when nobody can have it."""
    kept = canonical(code)
    return kept if kept is not None and _NEW_CODE.fullmatch(kept) else None


def url(store_url: str, code: str) -> str:
    """The address an affiliate shares: the one that the gateway's ``/r/`` link leads to."""
    scheme, _, rest = store_url.partition("://")
    if "/" not in rest:
        rest += "/"
    return f"{scheme}://{rest}{'&' if '?' in rest else '?'}ref={code}"


def conversion_percent(sales: int, unique_clicks: int) -> float | None:
    """Sales per hundred visits, in hundredths; ``None`` where nobody came. More than 100: some bought twice."""
    return round(100 * sales / unique_clicks, 2) if unique_clicks else None
