"""Whose turn it is at a service: so many requests at once, and whoever asks for little is not kept waiting by the rest.

Each store has a few turns of its own; all beyond those, of whichever stores, share half of the service. So stores whose
requests are many, or take long because another service is away, wait for each other. Those who wait go store by store.
"""

import asyncio
from collections import Counter, deque

from gateway.refusals import TooManyAtOnce, UpstreamBusy

_FEW = 16  # of that many turns a store has one of its own
_WAITING = 4  # for each that is at work


class Turns:
    """``most`` requests are at work at once, and four times as many wait."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._few = max(1, most // _FEW)
        self._shared = max(1, most // 2)
        self._at_work: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # whose turn is next comes first

    async def take(self, store_id: str, seconds: float) -> None:
        """Wait for a turn, so long at most; ``give_back`` ends it. Raises ``TooManyAtOnce`` or ``UpstreamBusy``."""
        if store_id not in self._waiting and self._may(store_id):
            self._at_work[store_id] += 1
            return
        waiting = len(self._waiting.get(store_id, ()))
        if waiting >= self._shared * _WAITING:
            raise TooManyAtOnce
        if waiting >= self._few and sum(map(len, self._waiting.values())) >= self._most * _WAITING:
            raise UpstreamBusy
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(store_id, deque()).append(turn)
        try:
            async with asyncio.timeout(seconds):
                await turn
        except BaseException as error:
            if not turn.cancelled():  # it came in the moment we left
                self.give_back(store_id)
            else:
                self._forget(store_id, turn)
            if isinstance(error, TimeoutError):
                raise (TooManyAtOnce if self._at_work[store_id] >= self._few else UpstreamBusy) from None
            raise

    def give_back(self, store_id: str) -> None:
        """The request is answered, or will not be."""
        self._at_work[store_id] -= 1
        if not self._at_work[store_id]:
            del self._at_work[store_id]
        for store in list(self._waiting):
            while store in self._waiting and self._may(store):
                if self._hand_to(store):
                    return

    def _may(self, store_id: str) -> bool:
        if self._at_work.total() >= self._most:
            return False
        beyond = sum(max(0, count - self._few) for count in self._at_work.values())
        return self._at_work[store_id] < self._few or beyond < self._shared

    def _hand_to(self, store_id: str) -> bool:
        """Give a turn to who of a store has waited longest, unless they have left; the store is the last to have another."""
        waiting = self._waiting.pop(store_id)
        turn = waiting.popleft()
        if waiting:
            self._waiting[store_id] = waiting
        if turn.done():
            return False
        turn.set_result(None)
        self._at_work[store_id] += 1
        return True

    def _forget(self, store_id: str, turn: asyncio.Future[None]) -> None:
        waiting = self._waiting.get(store_id, deque())
        if turn in waiting:
            waiting.remove(turn)
            if not waiting:
                del self._waiting[store_id]
