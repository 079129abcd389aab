"""Whether a consumer group gets on in this process.

A client that lived through its broker's death may poll for ever and be given nothing. Read in aiokafka 0.14: an
answer that its heartbeat does not expect, or an error in its fetcher, ends that task, and nothing starts it again
(aio-libs/aiokafka#1154 is one of these). Nobody can list such states, so what is watched is progress itself.
"""

import contextlib
import time
from collections.abc import Iterator
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

PATIENCE = 15.0  # seconds; a rebalance may take as long as a killed process keeps its partitions, 6 s


class Position(NamedTuple):
    """How far a group is in the partitions of this process: records that wait, and the offsets it has committed."""

    behind: int
    done: dict[TopicPartition, int]


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
        return Position(0, {})
    ends, starts = await consumer.end_offsets(mine), await consumer.beginning_offsets(mine)
    # ``committed`` asks for one partition at a time: sixty questions where one will do.
    committed = await consumer._coordinator.fetch_committed_offsets(mine)  # noqa: SLF001
    done = {one: max(committed[one].offset if one in committed else 0, starts[one]) for one in mine}
    return Position(sum(ends[one] - done[one] for one in mine), done)
