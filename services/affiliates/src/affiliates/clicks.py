"""Which clicks count."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime

from affiliates.enrolment import canonical


@dataclass(frozen=True, slots=True)
class Click:
    """Somebody followed a link. ``visitor`` is the gateway's keyed hash of who."""

    code: str
    visitor: str
    bot: bool
    at: datetime


def per_day(clicks: Iterable[Click]) -> dict[tuple[str, date], int]:
    """Clicks by people, per code and day (UTC). What cannot be a code is left out."""
    return dict(
        Counter(
            (code, click.at.astimezone(UTC).date())
            for click in clicks
            if not click.bot and (code := canonical(click.code)) is not None
        )
    )
