"""Which clicks count."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from affiliates.links import canonical

# Longer than a batch is sent again, and shorter than batches and visitors are remembered: nothing counts twice.
LATEST = timedelta(days=14)
REMEMBERED = timedelta(days=15)
_AHEAD = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Click:
    """Somebody followed a link. ``visitor`` is the gateway's keyed hash of who."""

    code: str
    visitor: str
    bot: bool
    at: datetime


def counted(clicks: Iterable[Click], now: datetime) -> dict[tuple[str, date, str], int]:
    """Clicks by people, per code, day (UTC) and visitor.

    Left out is what cannot be a code, and what no honest sender says: clicks of two weeks ago, and of times to come.
    """
    return Counter(
        (code, click.at.astimezone(UTC).date(), click.visitor)
        for click in clicks
        if not click.bot and now - LATEST <= click.at <= now + _AHEAD and (code := canonical(click.code)) is not None
    )
