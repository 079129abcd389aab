"""The floors of folding events: one process that reads them, parses them, or writes each batch in one transaction too.

``python -m regulars.bench_floor`` reads its task as JSON from standard input and prints events per second. ``skip`` looks
at the type in a header, ``parse`` at the body too, and nothing is written. A batch of ``fold`` is an inbox insert,
one bulk update of a row per customer, and the offsets; nobody else uses its database.
"""

import asyncio
import json
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition

from contracts.carts import OrderCompleted
from contracts.topics import ORDERS

TABLES = """
CREATE TABLE inbox (event_id uuid PRIMARY KEY, received_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE total (store_id text, customer_id text, orders bigint NOT NULL, gross_minor bigint NOT NULL,
                    PRIMARY KEY (store_id, customer_id));
"""

_BATCH = 500


async def _carry_out(task: dict[str, Any]) -> float:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=task["bootstrap"], group_id=task["group"], enable_auto_commit=False, max_poll_records=_BATCH
    )
    places = {TopicPartition(ORDERS.name, number): offset for number, offset in enumerate(task["begin"])}
    total, done, does = sum(task["end"]) - sum(task["begin"]), 0, _DOES[task["does"]]
    conn = await asyncpg.connect(task["database"])
    await consumer.start()
    try:
        consumer.assign(list(places))
        for place, offset in places.items():
            consumer.seek(place, offset)
        began = time.perf_counter()
        while done < total:
            batches = await consumer.getmany(timeout_ms=200, max_records=_BATCH)
            records = [record for batch in batches.values() for record in batch]
            if records:
                await does(conn, records)
                await consumer.commit()
                done += len(records)
        return done / (time.perf_counter() - began)
    finally:
        await consumer.stop()
        await conn.close()


async def _skip(_conn: asyncpg.Connection, records: Sequence[Any]) -> None:
    for record in records:
        dict(record.headers)["ce_type"].decode()


async def _parse(_conn: asyncpg.Connection, records: Sequence[Any]) -> None:
    for record in records:
        _read(record, dict(record.headers))


def _read(record: Any, headers: Mapping[str, bytes]) -> OrderCompleted:
    return OrderCompleted.model_validate_json(record.value[:-1] + b',"store_id":"' + headers["store_id"] + b'"}')


async def _fold(conn: asyncpg.Connection, records: Sequence[Any]) -> None:
    events = {}
    for record in records:
        headers = dict(record.headers)
        events[UUID(headers["ce_id"].decode())] = _read(record, headers)
    async with conn.transaction():
        fresh = await conn.fetch(
            "INSERT INTO inbox (event_id) SELECT unnest($1::uuid[]) ON CONFLICT DO NOTHING RETURNING event_id",
            sorted(events),
        )
        sums: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
        for (event_id,) in fresh:
            event = events[event_id]
            one = sums[event.store_id, event.customer_id]
            one[0] += 1
            one[1] += event.gross_minor
        await conn.execute(
            """
            UPDATE total SET orders = total.orders + n.orders, gross_minor = total.gross_minor + n.gross_minor
            FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])
                 AS n (store_id, customer_id, orders, gross_minor)
            WHERE (total.store_id, total.customer_id) = (n.store_id, n.customer_id)
            """,
            [store_id for store_id, _ in sums],
            [customer_id for _, customer_id in sums],
            [orders for orders, _ in sums.values()],
            [gross for _, gross in sums.values()],
        )


_DOES = {"skip": _skip, "parse": _parse, "fold": _fold}

if __name__ == "__main__":
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    print(json.dumps(asyncio.run(_carry_out(json.load(sys.stdin)))))
