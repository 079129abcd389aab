"""What a batch cannot take yet, and what therefore has to queue behind it.

Later events of the same group, topic and key queue: none overtakes. The check for occupied keys comes after the
inbox insert, in a statement of its own, so it sees what a consumer that lost its partition to us committed last. A
retry that ends meanwhile is no danger: until it commits we still see its row, and queue.
"""

from collections.abc import Sequence

from chassis.db import Conn
from chassis.received import Received


class Parking:
    """The parked events of one transaction, stored as its last statement."""

    def __init__(self, group: str, fresh: Sequence[Received]) -> None:
        self._group = group
        self._position = {item.event_id: position for position, item in enumerate(fresh)}
        self._occupied: dict[tuple[str, str], int] = {}  # from which position on a key's events queue
        self._parked: list[tuple[Received, str]] = []
        self.skipped: list[tuple[Received, str]] = []

    @classmethod
    async def behind_what_waits(cls, conn: Conn, group: str, fresh: Sequence[Received]) -> "Parking":
        """Know which keys have parked events already."""
        parking = cls(group, fresh)
        rows = await conn.rows(
            """
            SELECT DISTINCT topic, key
            FROM unnest($2::text[], $3::text[]) AS fresh (topic, key)
            WHERE EXISTS (
                SELECT FROM parked
                WHERE consumer_group = $1 AND parked.topic = fresh.topic AND parked.key = fresh.key
            )
            """,
            group,
            [item.topic for item in fresh],
            [item.key for item in fresh],
        )
        parking._occupied = {(row["topic"], row["key"]): -1 for row in rows}
        return parking

    def park(self, item: Received, reason: str) -> None:
        """Keep an event for later; one that may hold personal data is skipped, and its asker sends it again."""
        if item.ephemeral:
            self.skipped.append((item, reason))
            return
        self._parked.append((item, reason))
        position = self._position[item.event_id]
        self._occupied[item.topic, item.key] = min(position, self._occupied.get((item.topic, item.key), position))

    def queues(self, item: Received) -> bool:
        """Park the event if an earlier one of its key is parked; whether it was."""
        ahead = self._occupied.get((item.topic, item.key))
        if ahead is None or ahead >= self._position[item.event_id]:
            return False
        self._parked.append((item, "queued"))
        return True

    async def store(self, conn: Conn) -> None:
        """Write the parked events, in the order they came."""
        if not self._parked:
            return
        rows = sorted(self._parked, key=lambda row: self._position[row[0].event_id])
        await conn.execute(
            """
            INSERT INTO parked
                   (consumer_group, topic, key, event_id, type, store_id, payload, traceparent, reason,
                    partition, "offset", retry_at)
            SELECT $1, topic, key, event_id, type, store_id, payload, traceparent, reason, partition, "offset", now()
            FROM unnest($2::text[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::bytea[], $8::text[], $9::text[],
                        $10::int[], $11::bigint[])
                 WITH ORDINALITY
                 AS row (topic, key, event_id, type, store_id, payload, traceparent, reason,
                         partition, "offset", position)
            ORDER BY position
            ON CONFLICT (event_id) DO NOTHING
            """,
            self._group,
            [item.topic for item, _ in rows],
            [item.key for item, _ in rows],
            [item.event_id for item, _ in rows],
            [item.event.TYPE for item, _ in rows],
            [item.event.store_id for item, _ in rows],
            [item.payload for item, _ in rows],
            [item.event.traceparent for item, _ in rows],
            [reason for _, reason in rows],
            [item.partition for item, _ in rows],
            [item.offset for item, _ in rows],
        )
