"""Business time: what expiry, waiting periods and reminders go by (design §1 rule 11).

System time plus an offset that tests move for all processes at once: a file with a number of seconds, read at most
every 100 ms and only when the process was started with one. Tokens, leases, ids, metrics and logs use real time.
"""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

_READ_EVERY = 0.1


class _Offset:
    def __init__(self) -> None:
        self.follow(None)

    def follow(self, file: Path | None) -> None:
        self._file = file
        self._seconds = 0.0
        self._read_at = float("-inf")

    def seconds(self) -> float:
        if self._file is not None and time.monotonic() - self._read_at >= _READ_EVERY:
            self._read_at = time.monotonic()
            text = self._file.read_text() if self._file.exists() else ""
            self._seconds = float(text or 0)
        return self._seconds


_offset = _Offset()


def follow(file: Path | None) -> None:
    """Add the seconds this file holds to the time from now on; ``None``: go by system time."""
    _offset.follow(file)


def now() -> datetime:
    """The business time, in UTC."""
    return datetime.now(UTC) + timedelta(seconds=_offset.seconds())
