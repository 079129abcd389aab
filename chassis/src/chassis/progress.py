"""Whether a consumer group gets on in this process.

A client that lived through its broker's death may poll for ever and be given nothing. Read in aiokafka 0.14: an
answer that its heartbeat does not expect, or an error in its fetcher, ends that task, and nothing starts it again
(aio-libs/aiokafka#1154 is one of these). Nobody can list such states, so what is watched is progress itself.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

_AGE = 2.0  # seconds to find out how old what waits is
PATIENCE = 15.0  # seconds; a rebalance may take as long as a killed process keeps its partitions, 6 s


class Position(NamedTuple):
    """How far a group is in the partitions of this process: records that wait, and the offsets it has committed."""

    done: dict[TopicPartition, int]
    ends: dict[TopicPartition, int]

    @property
    def behind(self) -> int:
        """How many records wait."""
        return sum(max(0, end - self.done[one]) for one, end in self.ends.items())


class Waiting(NamedTuple):
    """Records not handled yet, and when the oldest of them was sent (seconds since the epoch; ``None``: cannot be told)."""

    records: int
    since: float | None

    def age(self, now: float) -> float:
        """Of the oldest, in seconds; not a number where it cannot be told."""
        if not self.records:
            return 0.0
        return math.nan if self.since is None else max(0.0, now - self.since)


class Progress:
    """What is known of one group."""

    def __init__(self) -> None:
        self._fine_at = time.monotonic()
        self._done: dict[TopicPartition, int] | None = None
        self.at_hand = 0

    @contextlib.contextmanager
    def handling(self) -> Iterator[None]:
        """A batch is at hand, which may take its time."""
        self.at_hand += 1
        try:
            yield
        finally:
            self.at_hand -= 1
            self.fine()

    def fine(self) -> None:
        """It got on, or there is a reason outside of it why it does not."""
        self._fine_at = time.monotonic()

    def saw(self, position: Position | None) -> None:
        """Take note of where it is; ``None`` where the broker answers others, but not this client."""
        if position is not None and (position.behind <= 0 or position.done != self._done):
            self.fine()
        self._done = None if position is None else position.done

    @property
    def stuck(self) -> bool:
        """Whether it has had work, and a broker, and done nothing for longer than ``PATIENCE``."""
        return not self.at_hand and time.monotonic() - self._fine_at > PATIENCE


async def position(consumer: AIOKafkaConsumer) -> Position:
    """How far a consumer is. Raises ``KafkaError``, and may take as long as its client takes to notice that."""
    mine = consumer.assignment()
    if not mine:
        return Position({}, {})
    ends, starts = await consumer.end_offsets(mine), await consumer.beginning_offsets(mine)
    # ``committed`` asks for one partition at a time: sixty questions where one will do.
    committed = await consumer._coordinator.fetch_committed_offsets(mine)  # noqa: SLF001
    done = {one: max(committed[one].offset if one in committed else 0, starts[one]) for one in mine}
    return Position(done, ends)


async def waiting(bootstrap: str, positions: Sequence[Position]) -> Waiting:
    """What these leave to be done; where something waits, a reader of its own looks when that was sent."""
    first = {one: at for position in positions for one, at in position.done.items() if at < position.ends[one]}
    records = sum(position.behind for position in positions)
    return Waiting(records, await _sent_first(bootstrap, first) if first else None)


async def _sent_first(bootstrap: str, places: Mapping[TopicPartition, int]) -> float | None:
    """When the first of these records was sent, as far as the broker tells it in time."""
    reader = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest")
    sent: dict[TopicPartition, int] = {}
    try:
        async with asyncio.timeout(_AGE):
            await reader.start()
            reader.assign(list(places))
            for place, offset in places.items():
                reader.seek(place, offset)
            while left := places.keys() - sent.keys():
                for place, records in (await reader.getmany(*left, timeout_ms=200, max_records=1)).items():
                    sent[place] = records[0].timestamp
    except TimeoutError:
        pass
    finally:
        await reader.stop()
    return min(sent.values()) / 1000 if sent else None
