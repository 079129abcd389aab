"""The test clock: a file with the offset, in seconds, that every program adds to the system time."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from regulars import memory


@dataclass(frozen=True)
class ClockFile:
    """Moves business time for all programs of the stack at once; they look every 100 ms."""

    path: Path

    @property
    def offset(self) -> timedelta:
        """How far business time is ahead of the system's."""
        return timedelta(seconds=float(self.path.read_text()))

    def advance(self, by: timedelta) -> None:
        """Move business time forward."""
        self.set(self.offset + by)

    def set(self, offset: timedelta) -> None:
        """Put business time this far ahead of the system's."""
        memory.replace(self.path, str(offset.total_seconds()))

    def set_if_missing(self) -> None:
        """Begin at the system's time."""
        if not self.path.exists():
            self.set(timedelta())
