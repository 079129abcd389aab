"""A time of its own for what waits: it passes when everybody waits, and only then, so a busy machine is late for nothing."""

import asyncio
import functools
import selectors
from collections.abc import Awaitable, Callable, Mapping
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


class _Selector(selectors.DefaultSelector):
    """Waits for nothing, and says how long it would have."""

    waited = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.waited += timeout or 0.0
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._passed = _Selector()
        super().__init__(self._passed)

    def time(self) -> float:
        return self._passed.waited


def ticking(*modules: ModuleType) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., None]]:
    """Run a test in such a time, by which these modules go as well. Only the loop's own waits pass it: no socket, no thread."""

    def decorate(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
        @functools.wraps(test)
        def run(*args: Any, **given: Mapping[str, Any]) -> None:
            with pytest.MonkeyPatch.context() as patch, asyncio.Runner(loop_factory=_Loop) as runner:
                for module in modules:
                    patch.setattr(module, "time", SimpleNamespace(monotonic=runner.get_loop().time))
                runner.run(test(*args, **given))

        return run

    return decorate
