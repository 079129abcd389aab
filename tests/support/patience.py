"""Waiting for what tells nobody that it has happened: another process, another connection, a count."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any


async def until(read: Callable[[], Any], happened: Callable[[Any], bool] = bool, seconds: float = 90) -> Any:
    """Read, awaiting what is to be awaited, until it has happened; what was read.

    Raises:
        AssertionError: it did not happen in time; says what was read last.
    """
    seen = None
    try:
        async with asyncio.timeout(seconds) as limit:
            while True:
                seen = read()
                if inspect.isawaitable(seen):
                    seen = await seen
                if happened(seen):
                    return seen
                await asyncio.sleep(0.02)
    except TimeoutError:
        if not limit.expired():
            raise
        raise AssertionError(f"not within {seconds} s; the last was {seen!r}") from None
