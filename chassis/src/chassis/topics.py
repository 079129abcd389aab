"""Topics are created from contracts: ``python -m chassis.topics apply|check --kafka HOST:PORT``."""

import argparse
import asyncio
import sys
from datetime import timedelta

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from contracts import topics
from contracts.topics import Topic


def config(topic: Topic) -> dict[str, str]:
    """How the broker keeps a topic."""
    kept = -1 if topic.kept is None else _ms(topic.kept)
    config = {"retention.ms": str(kept), "cleanup.policy": "delete"}
    if topic.ephemeral:
        config["segment.ms"] = str(_ms(timedelta(minutes=10)))
    return config


def _ms(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)


async def apply(bootstrap: str, replicas: int = 1) -> None:
    """Create what is missing. A topic that is there with other partitions is left alone: ``check`` says so."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        present = set(await admin.list_topics())
        new = [
            NewTopic(topic.name, topic.partitions, replicas, topic_configs=config(topic))
            for topic in topics.ALL
            if topic.name not in present
        ]
        if new:
            await admin.create_topics(new)
    finally:
        await admin.close()


async def check(bootstrap: str) -> list[str]:
    """What is wrong with the topics, a sentence each."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        described = await admin.describe_topics([topic.name for topic in topics.ALL])
    finally:
        await admin.close()
    partitions = {found["topic"]: len(found["partitions"]) for found in described if not found["error_code"]}
    wrong = []
    for topic in topics.ALL:
        count = partitions.get(topic.name)
        if count is None:
            wrong.append(f"topic {topic.name} is missing")
        elif count != topic.partitions:
            wrong.append(f"topic {topic.name} has {count} partitions, not {topic.partitions}")
    return wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m chassis.topics")
    parser.add_argument("verb", choices=["apply", "check"])
    parser.add_argument("--kafka", required=True)
    args = parser.parse_args()
    if args.verb == "apply":
        asyncio.run(apply(args.kafka))
    sys.exit("\n".join(asyncio.run(check(args.kafka))) or None)
