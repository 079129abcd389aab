"""The W3C trace context of the work at hand (https://www.w3.org/TR/trace-context/)."""

import re
import secrets
from contextvars import ContextVar

_VALID = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

current: ContextVar[str | None] = ContextVar("traceparent", default=None)


def accept(traceparent: str | None) -> str:
    """The context a caller sent if it is well-formed, else a new one."""
    if traceparent is not None and _VALID.fullmatch(traceparent):
        return traceparent
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
