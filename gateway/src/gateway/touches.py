"""The affiliates' links a browser has followed: a cookie for each store, told to carts when a cart is opened.

The cookie is the browser's own word, and proves no more than following the link again would.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from gateway.headers import Raw

_HEADER = "x-regulars-touches"

_EPOCH = datetime.fromtimestamp(0, UTC)
_MOST = 10
_LONGEST = 1024
_KEPT = 365 * 24 * 3600  # how long a click counts is for the program to say
_TOUCH = re.compile(r"([a-z0-9][a-z0-9_-]{0,63})\.(?:([1-9][0-9]{12})|([1-9][0-9]{0,10}))")  # old ones hold seconds


class Touch(NamedTuple):
    """A link that was followed, and when, in milliseconds of business time."""

    code: str
    at: int


def cookie_name(store_id: str) -> str:
    """Each store has a cookie of its own: a host may serve several."""
    return f"regulars_ref_{store_id[-8:]}"


def of(sent: Raw, store_id: str, now: datetime) -> tuple[Touch, ...]:
    """The touches that a request's cookie holds for a store. None of a cookie that is not as ours are."""
    name, latest = cookie_name(store_id), _milliseconds(now)
    for key, value in _cookies(sent):
        if key == name and len(value) <= _LONGEST:
            read = [_TOUCH.fullmatch(part) for part in value.split("~")]
            touches = [Touch(found[1], int(found[2] or found[3] + "000")) for found in read if found]
            if len(touches) == len(read):
                return _newest(touch for touch in touches if touch.at <= latest)
    return ()


def followed(before: Iterable[Touch], code: str, at: datetime) -> tuple[Touch, ...]:
    """The touches with one more, the newest first. A code is held once, whatever capitals it was typed in."""
    return _newest([Touch(code.lower(), _milliseconds(at)), *before])


def told(sent: Raw, store_id: str, now: datetime) -> list[tuple[str, str]]:
    """The header that tells a service of the touches, where there are any."""
    touches = of(sent, store_id, now)
    return [(_HEADER, _written(touches))] if touches else []


def cookie(store_id: str, touches: Iterable[Touch], *, secure: bool) -> tuple[bytes, bytes]:
    """The header that leaves them with the browser."""
    end = f"; Max-Age={_KEPT}; Path=/; HttpOnly; SameSite=Lax{'; Secure' if secure else ''}"
    return b"set-cookie", f"{cookie_name(store_id)}={_written(touches)}{end}".encode()


def _milliseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(milliseconds=1)


def _newest(touches: Iterable[Touch]) -> tuple[Touch, ...]:
    newest: dict[str, Touch] = {}
    for touch in sorted(touches, key=lambda touch: touch.at, reverse=True):
        newest.setdefault(touch.code, touch)
    return tuple(newest.values())[:_MOST]


def _written(touches: Iterable[Touch]) -> str:
    return "~".join(f"{code}.{at}" for code, at in touches)


def _cookies(sent: Raw) -> Iterable[tuple[str, str]]:
    for name, value in sent:
        if name == b"cookie":
            for pair in value.decode("latin-1").split(";"):
                key, _, held = pair.strip(" \t").partition("=")
                yield key, held
