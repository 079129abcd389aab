"""The affiliates' links a buyer had followed, as the gateway tells of them: ``code.milliseconds~…`` (features A3)."""

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from contracts.carts import Touch

_MOST = 20
_TOUCH = re.compile(r"([A-Za-z0-9_.-]{1,64})\.(?:([0-9]{13})|([0-9]{1,11}))")  # the gateway told seconds once
_EPOCH = datetime.fromtimestamp(0, UTC)
_CLOCKS_DIFFER = timedelta(minutes=5)


def read(told: str | None, now: datetime) -> tuple[Touch, ...]:
    """The touches that are told. What is none is left out, and what lies in the future; a fast clock's is of now."""
    found = (_TOUCH.fullmatch(part) for part in (told or "").split("~"))
    touches = [(each[1], _EPOCH + timedelta(milliseconds=int(each[2] or each[3] + "000"))) for each in found if each]
    return newest(Touch(code=code, at=min(at, now)) for code, at in touches if at <= now + _CLOCKS_DIFFER)


def newest(touches: Iterable[Touch]) -> tuple[Touch, ...]:
    """The newest first, each code once, and not more than an order carries."""
    kept: dict[str, Touch] = {}
    for touch in sorted(touches, key=lambda touch: touch.at, reverse=True):
        kept.setdefault(touch.code, touch)
    return tuple(kept.values())[:_MOST]


def written(touches: Iterable[Touch]) -> str:
    """The touches as a column holds them."""
    return json.dumps([[touch.code, touch.at.isoformat()] for touch in touches])


def kept(column: str) -> tuple[Touch, ...]:
    """The touches that a column holds."""
    return tuple(Touch(code=code, at=datetime.fromisoformat(at)) for code, at in json.loads(column))
