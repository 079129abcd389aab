"""A process that dies on a statement: what it does must then be done whole or not at all."""

from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import pytest

from chassis.db import Conn


class DiedError(Exception):
    """The process is gone."""


async def dies(
    call: Callable[[], Awaitable[Any]], monkeypatch: pytest.MonkeyPatch, *, after: int, once_done: bool = False
) -> bool:
    """Whether a call has more statements than these, and died on the one that follows, or ``once_done`` after it."""
    statements = count()

    def dying(run: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def statement(self: Conn, *args: Any) -> Any:
            if not once_done and next(statements) == after:
                raise DiedError
            found = await run(self, *args)
            if once_done and next(statements) == after:
                raise DiedError
            return found

        return statement

    with monkeypatch.context() as patched:
        for name in ("rows", "row", "value", "execute"):
            patched.setattr(Conn, name, dying(getattr(Conn, name)))
        try:
            reply = await call()
        except DiedError:
            return True
    return getattr(reply, "status", None) == 500
