"""What Kafka tells of a conversion: when its events were written and when they were published; and what Kafka costs alone."""

import asyncio
import itertools
import json
import secrets
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from contracts.affiliates import ClaimCompleted, ClaimConverted
from contracts.topics import CLAIMS, WALLET
from contracts.wallet import WalletPosted
from regulars.load import Call
from regulars.trouble import Trouble

LEGS = (
    "gateway, transaction 1 of affiliates (reserve the funds)",
    "commit, outbox, relay of affiliates",
    "Kafka, batch wait, transaction of the wallet (credit)",
    "commit, outbox, relay of the wallet",
    "Kafka, batch wait, transaction of affiliates (complete)",
    "commit, wake-up, transaction 2 (reply), gateway",
)

_HOPS = 200
_PATIENCE = 60.0
_HALF_A_MILLISECOND = 0.0005  # a record's time is cut off to milliseconds


class Told(NamedTuple):
    """When an event's outbox row was written (``ce_time``) and when the relay sent it, in seconds since the epoch."""

    written: float
    sent: float


Offsets = Mapping[TopicPartition, int]
Key = tuple[str, str]  # (event type, claim id)


async def ends(bootstrap: str) -> Offsets:
    """Where the topics of a conversion end now."""
    async with _reader(bootstrap) as consumer:
        return await _ends(consumer)


async def told_since(bootstrap: str, begin: Offsets) -> dict[Key, Told]:
    """What has been told of claims since; of a repeated event the first counts."""
    told: dict[Key, Told] = {}
    async with asyncio.timeout(_PATIENCE), _reader(bootstrap) as consumer:
        end = await _ends(consumer)
        consumer.assign(list(begin))
        for partition, offset in begin.items():
            consumer.seek(partition, offset)
        while any([await consumer.position(partition) < end[partition] for partition in begin]):
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                for key, times in _read(records):
                    told.setdefault(key, times)
    return told


def legs(calls: Sequence[Call], told: Mapping[Key, Told]) -> list[float]:
    """How long each of ``LEGS`` took, in ms, averaged over the calls.

    Raises:
        Trouble: an event of a call is missing.
    """
    parts = [_legs(call, told) for call in calls]
    return [statistics.fmean(column) * 1000 for column in zip(*parts, strict=True)]


async def hop_ms(bootstrap: str) -> float:
    """The median time from a producer to a consumer, acknowledged by the broker in between, with nothing else to do."""
    topic, times = f"bench-{secrets.token_hex(4)}", []
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1)])
        async with (
            asyncio.timeout(_PATIENCE),
            AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True) as producer,
            _reader(bootstrap) as consumer,
        ):
            await producer.send_and_wait(topic, b"")  # the topic has a leader now
            consumer.assign([TopicPartition(topic, 0)])
            await consumer.getone()
            for _ in range(_HOPS):
                began = time.perf_counter()
                await producer.send_and_wait(topic, b"x" * 400)
                await consumer.getone()
                times.append(time.perf_counter() - began)
    finally:
        await admin.delete_topics([topic])
        await admin.close()
    return statistics.median(times) * 1000


def _reader(bootstrap: str) -> Any:
    return AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest")


async def _ends(consumer: Any) -> Offsets:
    partitions = [TopicPartition(topic.name, n) for topic in (CLAIMS, WALLET) for n in range(topic.partitions)]
    offsets: Offsets = await consumer.end_offsets(partitions)
    return offsets


def _read(records: Sequence[Any]) -> Iterator[tuple[Key, Told]]:
    for record in records:
        headers = {name: value.decode() for name, value in record.headers}
        body = json.loads(record.value)
        claim_id = body["cause"]["id"] if headers["ce_type"] == WalletPosted.TYPE else body.get("claim_id")
        written = datetime.fromisoformat(headers["ce_time"]).timestamp()
        yield (headers["ce_type"], claim_id), Told(written, record.timestamp / 1000 + _HALF_A_MILLISECOND)


def _legs(call: Call, told: Mapping[Key, Told]) -> list[float]:
    claim_id = json.loads(call.body)["data"]["claim_id"]
    try:
        converted, posted, completed = (
            told[event.TYPE, claim_id] for event in (ClaimConverted, WalletPosted, ClaimCompleted)
        )
    except KeyError as missing:
        raise Trouble(f"The topics lack an event of a conversion that was answered: {missing}.") from None
    times = (
        *(call.began, converted.written, converted.sent, posted.written, posted.sent),
        *(completed.written, call.ended),
    )
    return [after - before for before, after in itertools.pairwise(times)]
