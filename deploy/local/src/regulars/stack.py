"""The local stack as one object: what the command, the tests, the demo and the bench work with."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

from regulars import kafka, memory, places, ports, postgres, programs, starting, supervision, waiting
from regulars.clock import ClockFile
from regulars.ports import HOST, PROGRAMS
from regulars.trouble import Trouble


class Stack:
    """PostgreSQL, Kafka and the six programs of one folder; any process may hold a Stack of the same folder.

    A program is one of `regulars.ports.PROGRAMS` or "postgres" or "kafka".
    """

    def __init__(self, where: places.Places, chosen: ports.Ports, *, test_clock: bool) -> None:
        self.places = where
        self.ports = chosen
        self.test_clock = test_clock
        self.clock_file = ClockFile(where.folder / "clock")

    @classmethod
    def at(
        cls, folder: Path, *, ports: Mapping[str, int] | Literal["free"] | None = None, test_clock: bool = False
    ) -> "Stack":
        """The stack of a folder; while it is up, its ports and its clock are those it was started with."""
        where = places.lay_out(folder)
        saved = memory.load(where.folder / "state.json")
        if "ports" in saved and supervision.alive(where):
            return cls(where, saved["ports"], test_clock=saved["test_clock"])
        return cls(where, _choose(ports), test_clock=test_clock)

    # up and down

    def up(self, *, say: starting.Say = lambda _: None) -> bool:
        """Start what does not run and wait until all of it is ready; False when there was nothing to do.

        Raises:
            Trouble: what does not start; if this call brought the stack up, it is down again.
        """
        return starting.everything(self, say)

    def up_parts(self, *, say: starting.Say = lambda _: None) -> bool:
        """Start PostgreSQL and Kafka alone; False when they ran already."""
        return starting.parts(self, say)

    def prepare_parts(self, say: starting.Say) -> list[supervision.Program]:
        """Have PostgreSQL and Kafka where they can be started; how to."""
        return starting.embedded_parts(self, say)

    def down(self) -> None:
        """Stop everything that this folder's stack runs, and nothing else."""
        supervision.shut_down(self.places, [PROGRAMS, starting.PARTS])

    def erase(self) -> None:
        """Stop everything and remove the folder with all its data."""
        self.down()
        places.erase(self.places)

    @property
    def is_up(self) -> bool:
        """Whether the stack's supervisor runs."""
        return supervision.alive(self.places)

    # one program

    def start(self, program: str) -> None:
        """Start a program and wait until it is ready."""
        supervision.launch(self.places, program)
        self.wait_ready(program)

    def stop(self, program: str) -> None:
        """Stop a program gracefully; it stays down until `start`."""
        supervision.halt(self.places, program)

    def kill(self, program: str, *, restart: bool = True) -> None:
        """SIGKILL a program and its children; it comes back by itself, or with `restart=False` only by `start`."""
        pid = self.pid(program)
        if (
            not restart
        ):  # frozen first, so that it cannot react to the stop signal that tells supervisord to leave it down
            os.killpg(pid, signal.SIGSTOP)
            supervision.halt(self.places, program, wait=False)
        os.killpg(pid, signal.SIGKILL)
        while self.pids().get(program) == pid:
            time.sleep(0.02)

    def pid(self, program: str) -> int:
        """The process id of a running program.

        Raises:
            Trouble: it does not run.
        """
        found = self.pids().get(program)
        if found is None:
            raise Trouble(f"{program} does not run.")
        return found

    def pids(self) -> dict[str, int]:
        """The process ids of all programs that run."""
        return {name: info["pid"] for name, info in supervision.processes(self.places).items() if info["pid"]}

    def wait_ready(self, *names: str, seconds: float = starting.PATIENCE) -> None:
        """Wait until every named program answers, restarts by supervisord included.

        Raises:
            Trouble: one did not in time.
        """
        starting.wait_for(self, *names, seconds=seconds, patient=True)

    def missing(self, program: str) -> Callable[[], str | None]:
        """A question: None when the program is ready, else why it is not."""
        if program == "postgres":
            return waiting.answer(lambda: postgres.ask(self.admin_database_url()))
        if program == "kafka":
            return waiting.answer(lambda: kafka.ask(self.kafka_bootstrap))
        return lambda: "; ".join(waiting.reasons(self.url(program))) or None

    def status(self) -> dict[str, Any]:
        """What `regulars status --json` prints. What answers on our ports is ours only where our process runs."""
        running = self.pids() if self.is_up else {}

        def service(name: str) -> dict[str, Any]:
            reasons = waiting.reasons(self.url(name)) if name in running else ["it does not run"]
            return {"url": self.url(name), "healthy": not reasons, "reasons": reasons}

        with ThreadPoolExecutor(len(PROGRAMS)) as pool:
            services = dict(zip(PROGRAMS, pool.map(service, PROGRAMS), strict=True))
        saved = self.state
        keys = {name: saved.get(name) for name in ("api_key", "publishable_key")}
        return {"gateway": self.gateway_url, **keys, "services": services}

    # where things are

    @property
    def state(self) -> memory.State:
        """What the stack remembers (JSON, mode 0600)."""
        return memory.load(self.places.folder / "state.json")

    def remember(self, values: memory.State) -> memory.State:
        """Add to the state."""
        merged = self.state | values
        memory.save(self.places.folder / "state.json", merged)
        return merged

    @property
    def gateway_url(self) -> str:
        """The public edge."""
        return self.url("gateway")

    @property
    def kafka_bootstrap(self) -> str:
        """Host and port of the broker."""
        return f"{HOST}:{self.ports['kafka']}"

    @property
    def api_key(self) -> str:
        """The demo store's key with all scopes."""
        return self._known("api_key")

    @property
    def publishable_key(self) -> str:
        """The demo store's key for browsers."""
        return self._known("publishable_key")

    @property
    def store_id(self) -> str:
        """The demo store."""
        return self._known("store_id")

    @property
    def password(self) -> str:
        """The password of every database role of this stack."""
        return self._known("password")

    def url(self, service: str) -> str:
        """Where a service listens."""
        return programs.url(service, self.ports)

    def admin_database_url(self, database: str = "postgres") -> str:
        """The superuser's DSN."""
        return programs.admin_url(self.ports, self.password, database)

    def database_url(self, service: str, role: Literal["api", "worker"], database: str | None = None) -> str:
        """The DSN of a service's role; `database` names another one than the service's own."""
        return programs.database_url(service, role, self.ports, self.password, database)

    def environment(self, service: str) -> programs.Environment:
        """The settings of a service; add them to `os.environ` to run its module."""
        key = memory.signing_key(self.places.folder / "signing-key.json")
        clock = self.clock_file.path if self.test_clock else None
        return programs.environments(self.ports, self.state, key, clock)[service]

    def program(self, name: str) -> Path:
        """The path of one of PostgreSQL's programs, such as pgbench or psql."""
        return postgres.program(self.places, name)

    def _known(self, name: str) -> str:
        with contextlib.suppress(KeyError):
            return str(self.state[name])
        raise Trouble("The stack has never been up: run `regulars up`.")


def _choose(wanted: Mapping[str, int] | Literal["free"] | None) -> ports.Ports:
    if wanted == "free":
        return ports.free()
    return dict(wanted) if wanted else ports.standard()
