"""The W3C trace context of the work at hand (https://www.w3.org/TR/trace-context/)."""

import random
import re
from contextvars import ContextVar
from typing import Protocol

_VALID = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class Traced(Protocol):
    """Something that belongs to a trace: an event that arrived, a request in a batch."""

    @property
    def traceparent(self) -> str | None:
        """Its W3C trace context."""


current: ContextVar[str | None] = ContextVar("traceparent", default=None)


def well_formed(traceparent: str | None) -> bool:
    """Whether somebody sent a context."""
    return traceparent is not None and _VALID.fullmatch(traceparent) is not None


def accept(traceparent: str | None) -> str:
    """The context a caller sent if it is well-formed, else a new one."""
    if traceparent is not None and well_formed(traceparent):
        return traceparent
    # No secrets, so no system call for them. Neither part may be zero.
    return f"00-{random.getrandbits(128) | 1:032x}-{random.getrandbits(64) | 1:016x}-01"
