"""The stack with PostgreSQL and Kafka in containers of the public images, the services as processes: REGULARS_STACK=containers.

testcontainers makes the containers and removes them. supervisord runs `docker start --attach` on them as it runs the
embedded programs, so they stop, die, come back and log like those.
"""

import os
import signal

from testcontainers.community.postgres import PostgresContainer
from testcontainers.core.container import DockerContainer

from regulars import kafka, postgres
from regulars.ports import HOST
from regulars.stack import Stack
from regulars.supervision import Program

NOT_INSIDE = {"listen_addresses", "unix_socket_permissions"}


class Contained(Stack):
    """A stack on `postgres:18` and `apache/kafka:4.4.0`."""

    containers: dict[str, DockerContainer]

    def prepare_parts(self, _say):
        """Make both containers, and leave them down: supervisord starts them."""
        self.containers = {"postgres": self._postgres(), "kafka": self._kafka()}
        for container in self.containers.values():
            container.start().get_wrapped_container().kill()
        attach = {
            name: ["docker", "start", "--attach", container.get_container_id()]
            for name, container in self.containers.items()
        }
        return [
            Program("postgres", attach["postgres"], stop_signal="INT", retries=20),
            Program("kafka", attach["kafka"], stop_seconds=20, retries=5),
        ]

    def _postgres(self):
        settings = [f"-c {key}={value}" for key, value in postgres.SETTINGS.items() if key not in NOT_INSIDE]
        server = PostgresContainer("postgres:18", username="postgres", password=self.password, dbname="postgres")
        server.ports["5432"] = (HOST, self.ports["postgres"])
        return server.with_env("LANG", "C.UTF-8").with_command(" ".join(["postgres", *settings]))

    def _kafka(self):
        """Inside it listens on the port it has outside: it advertises one address to itself and to us."""
        port = self.ports["kafka"]
        own = {
            "listeners": f"PLAINTEXT://:{port},CONTROLLER://:9093",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
            "controller.quorum.voters": "1@localhost:9093",
            "log.dirs": "/var/lib/kafka/data",
        }
        settings = {f"KAFKA_{key.upper().replace('.', '_')}": value for key, value in (kafka.SETTINGS | own).items()}
        broker = DockerContainer("apache/kafka:4.4.0").with_envs(**settings, KAFKA_HEAP_OPTS="-Xms128m -Xmx384m")
        broker.ports[str(port)] = (HOST, port)
        return broker

    def kill(self, program, *, restart=True):
        """The container dies before the command attached to it, which is frozen so that it cannot end and be started again."""
        if program in self.containers:
            os.killpg(self.pid(program), signal.SIGSTOP)
            self.containers[program].get_wrapped_container().kill()
        super().kill(program, restart=restart)

    def program(self, name):
        """Where the wheel has it: no account but ours runs it."""
        return postgres.WHEEL / "pginstall" / "bin" / name

    def erase(self):
        super().erase()
        for container in getattr(self, "containers", {}).values():
            container.stop()
