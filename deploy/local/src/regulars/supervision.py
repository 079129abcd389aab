"""supervisord runs the stack's processes; here are its configuration and its conversation over a unix socket."""

import contextlib
import http.client
import os
import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil  # type: ignore[import-untyped]
from supervisor.xmlrpc import Faults, SupervisorTransport

from regulars import memory
from regulars.places import Places
from regulars.trouble import Trouble

MARK = "REGULARS_FOLDER_OF"  # in the environment of every process we start: how leftovers are told from strangers
HARMLESS = (Faults.ALREADY_STARTED, Faults.NOT_RUNNING)
DOWN = ("STOPPED", "STOPPING", "FATAL", "UNKNOWN")  # stays so
NOT_UP = (*DOWN, "EXITED", "BACKOFF")  # fell over; supervisord tries again


@dataclass(frozen=True)
class Program:
    """One process of the stack."""

    name: str
    command: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    stop_signal: str = "TERM"
    stop_seconds: int = 10
    retries: int = 20


def write(places: Places, programs: list[Program]) -> None:
    """Write supervisord's configuration, readable by its owner alone: it holds the services' settings."""
    head = f"""[supervisord]
logfile={_plain(places.log("supervisord"))}
logfile_maxbytes=5MB
logfile_backups=2
pidfile={_plain(places.folder / "supervisord.pid")}
childlogdir={_plain(places.logs)}
{"user=root" if os.geteuid() == 0 else ""}
[unix_http_server]
file={_plain(places.supervisor_socket)}
chmod=0600
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""
    memory.replace(_configuration(places), head + "".join(_section(places, program) for program in programs))


def start(places: Places) -> None:
    """Start supervisord as a daemon in a session of its own and wait until it answers.

    Raises:
        Trouble: it does not start.
    """
    arguments = [sys.executable, "-W", "ignore", "-m", "supervisor.supervisord", "-c", str(_configuration(places))]
    environment = {**os.environ, MARK: str(places.folder)}
    done = subprocess.run(
        arguments,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        cwd=places.folder,
    )
    deadline = time.monotonic() + 10
    while done.returncode == 0 and time.monotonic() < deadline:
        if alive(places):
            return
        time.sleep(0.02)
    reason = (done.stderr.strip().splitlines() or ["it does not answer"])[-1]
    raise Trouble(f"supervisord does not start ({reason}): see {places.log('supervisord')}.")


@contextlib.contextmanager
def connected(places: Places) -> Iterator[Any]:
    """The XML-RPC interface of supervisord.

    Raises:
        Trouble: nobody answers there.
    """
    transport = SupervisorTransport(None, None, f"unix://{places.supervisor_socket}")
    try:
        yield xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor
    except (OSError, http.client.HTTPException) as error:
        raise Trouble("The stack is not up: run `regulars up`.") from error
    finally:
        transport.close()


def alive(places: Places) -> bool:
    """Whether supervisord answers."""
    try:
        with connected(places) as supervisor:
            supervisor.getPID()
    except Trouble:
        return False
    return True


def processes(places: Places) -> dict[str, dict[str, Any]]:
    """What supervisord says of each program: statename, pid, spawnerr, …; empty while it is not up."""
    try:
        with connected(places) as supervisor:
            return {info["name"]: info for info in supervisor.getAllProcessInfo()}
    except Trouble:
        return {}


def launch(places: Places, name: str) -> None:
    """Start a program unless it runs; returns at once. One that waits to be tried again is tried now."""
    with connected(places) as supervisor, _harmless():
        if supervisor.getProcessInfo(name)["statename"] == "BACKOFF":
            supervisor.stopProcess(name)
        supervisor.startProcess(name, False)  # noqa: FBT003 - do not wait


def halt(places: Places, name: str, *, wait: bool = True) -> None:
    """Stop a program with its stop signal, then SIGKILL; it stays down until started again."""
    with connected(places) as supervisor, _harmless():
        supervisor.stopProcess(name, wait)


def shut_down(places: Places, groups: Sequence[Collection[str]]) -> None:
    """Stop the programs group after group, then supervisord, then what an earlier crash of it left; waits for the end."""
    pids: list[int] = []
    with contextlib.suppress(Trouble), connected(places) as supervisor:
        pids = [supervisor.getPID()]
        for group in groups:
            for name in group:
                halt(places, name, wait=False)
            while any(info["statename"] == "STOPPING" for info in supervisor.getAllProcessInfo()):
                time.sleep(0.05)
        supervisor.shutdown()
    for pid in pids:
        with contextlib.suppress(psutil.Error):  # it may be gone already
            psutil.Process(pid).wait(60)
    sweep(places)


def sweep(places: Places) -> None:
    """End the processes of this stack, and only those, that run although supervisord is gone."""
    left = [process for process in psutil.process_iter() if _is_ours(process, places)]
    for signal_them in (psutil.Process.terminate, psutil.Process.kill):
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                signal_them(process)
        left = psutil.wait_procs(left, timeout=10)[1]


def _is_ours(process: psutil.Process, places: Places) -> bool:
    try:
        return bool(process.pid != os.getpid() and process.environ().get(MARK) == str(places.folder))
    except (psutil.Error, OSError):
        return False


@contextlib.contextmanager
def _harmless() -> Iterator[None]:
    """Starting what runs and stopping what is down are no errors."""
    try:
        yield
    except xmlrpc.client.Fault as fault:
        if fault.faultCode not in HARMLESS:
            raise Trouble(f"supervisord refuses: {fault.faultString}.") from fault


def _configuration(places: Places) -> Any:
    return places.folder / "supervisord.conf"


def _section(places: Places, program: Program) -> str:
    environment = ",".join(f"{key}={_quoted(value)}" for key, value in program.environment.items())
    user = f"user={program.user}" if program.user else ""
    return f"""
[program:{program.name}]
command={_plain(shlex.join(program.command))}
environment={environment}
{user}
directory={_plain(places.data if program.user else places.folder)}
autostart=false
autorestart=true
startsecs=1
startretries={program.retries}
stopsignal={program.stop_signal}
stopwaitsecs={program.stop_seconds}
killasgroup=true
redirect_stderr=true
stdout_logfile={_plain(places.log(program.name))}
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=2
"""


def _plain(value: object) -> str:
    """A value as supervisord's ini file wants it: `%` doubled, no line break, no comment sign after a blank."""
    text = str(value)
    if "\n" in text or " ;" in text or " #" in text:
        raise Trouble(f"supervisord cannot be given {text!r}: move the clone to a folder with a plain name.")
    return text.replace("%", "%%")


def _quoted(value: str) -> str:
    """A value of supervisord's `environment`: it knows quotes but no escapes."""
    mark = '"' if "'" in value else "'"
    if mark in value or value != value.strip("'\""):
        raise Trouble(f"supervisord cannot be given {value!r} as a setting.")
    return f"{mark}{_plain(value)}{mark}"
