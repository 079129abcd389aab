"""A bounded memory of a few seconds."""

import time
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """What was learnt less than ``seconds`` ago, at most ``size`` of it; the oldest goes first."""

    def __init__(self, seconds: float, size: int = 10_000) -> None:
        self._seconds = seconds
        self._size = size
        self._held: dict[K, tuple[float, V]] = {}  # in the order it was learnt

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: K) -> V | None:
        """The value, if it is still recent."""
        learnt_at, value = self._held.get(key, (float("-inf"), None))
        return value if time.monotonic() - learnt_at < self._seconds else None

    def put(self, key: K, value: V, learnt_at: float | None = None) -> None:
        """Remember a value, as of ``learnt_at`` on the monotonic clock."""
        self._held.pop(key, None)
        while len(self._held) >= self._size:
            del self._held[next(iter(self._held))]
        self._held[key] = (time.monotonic() if learnt_at is None else learnt_at, value)
