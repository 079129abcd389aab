"""A closed-loop load client over HTTP, in a process of its own: the machine is shared with what it measures.

Each client keeps one connection, sends, reads the whole reply, sends again. Requests are prepared bytes, replies are
read no further than their status and length. ``python -m regulars.load`` reads a plan and prints what came of it, as JSON.
"""

import asyncio
import json
import random
import secrets
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

import uvloop

from regulars.trouble import Trouble

_PATIENCE = 20.0  # seconds that replies may take to come in once the time is over


class Call(NamedTuple):
    """One call that was kept: when it began and ended (seconds since the epoch), and the reply's body."""

    began: float
    ended: float
    body: str


@dataclass(frozen=True)
class Plan:
    """What to send. ``status`` is the only good one; a POST gets a fresh idempotency key each time.

    Each request takes a random path of ``paths``, or with ``own_path`` client i takes the i-th and no other; and a
    random one of the user ``agents``, if there are any. What comes back during ``warm_up``, before the ``seconds``, is not counted.
    """

    url: str
    paths: Sequence[str]
    token: str
    clients: int
    seconds: float
    status: int
    method: str = "POST"
    body: str = ""
    own_path: bool = False
    keep_calls: bool = False
    agents: Sequence[str] = ()

    @property
    def warm_up(self) -> float:
        """In seconds."""
        return min(0.5, self.seconds / 2)


@dataclass(frozen=True)
class Load:
    """What came of a plan. ``sent`` counts the warm-up too, and all of it was answered; ``cpu_seconds`` are the client's."""

    requests: int
    sent: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_seconds: float
    calls: list[Call] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Replies per second."""
        return self.requests / self.seconds


def run(plan: Plan) -> Load:
    """Carry out a plan. Raises ``Trouble`` for a reply with another status, or one that does not come."""
    command = [sys.executable, "-W", "ignore", "-m", "regulars.load"]
    limit = plan.warm_up + plan.seconds + _PATIENCE + 10
    try:
        done = subprocess.run(
            command, input=json.dumps(asdict(plan)), capture_output=True, text=True, check=False, timeout=limit
        )
    except subprocess.TimeoutExpired:
        raise Trouble(f"The load on {plan.url} did not end within {limit:.0f} s.") from None
    if done.returncode != 0:
        raise Trouble(f"The load client failed (exit {done.returncode}): {done.stderr.strip()[-500:]}")
    result = json.loads(done.stdout)
    if "trouble" in result:
        raise Trouble(result["trouble"])
    return Load(**result | {"calls": [Call(*call) for call in result["calls"]]})


class _Run:
    """What all clients of a run share."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.heads = [_head(plan, path, agent) for path in plan.paths for agent in plan.agents or [""]]
        self.tail = b"\r\n\r\n" + plan.body.encode()
        self.status = str(plan.status).encode()
        self.key = secrets.token_hex(8).encode() + b"-%d"
        self.sent = 0
        self.latencies: list[float] = []
        self.calls: list[Call] = []
        self.counts_from = time.perf_counter() + plan.warm_up
        self.ends = self.counts_to = self.counts_from + plan.seconds

    def request(self, number: int) -> bytes:
        self.sent += 1
        head = self.heads[number % len(self.heads)] if self.plan.own_path else random.choice(self.heads)  # noqa: S311
        return head + self.key % self.sent + self.tail


class _Client(asyncio.Protocol):
    """One connection. ``done`` is set when the time is over, or to what went wrong."""

    transport: asyncio.Transport

    def __init__(self, run: _Run, number: int) -> None:
        self.run = run
        self.number = number
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.received = b""
        self.began = self.began_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        self._send()

    def data_received(self, data: bytes) -> None:
        try:
            self._read(data)
        except Trouble as trouble:
            self._end(trouble)

    def _read(self, data: bytes) -> None:
        data = self.received + data if self.received else data
        end = data.find(b"\r\n\r\n")
        if end < 0 or len(data) < end + 4 + (length := _content_length(data[:end])):
            self.received = data
            return
        self.received = b""
        now, run = time.perf_counter(), self.run
        body = data[end + 4 :]
        if data[9:12] != run.status or len(body) > length:
            raise Trouble(f"{run.plan.url} said {data[9:12].decode()}, not {run.plan.status}: {body[:300].decode()}")
        if run.counts_from <= now <= run.ends or (now > run.ends and not run.latencies):
            run.counts_to = max(run.ends, now)  # a machine that answers nothing in time still gets its figure
            run.latencies.append(now - self.began)
            if run.plan.keep_calls:
                run.calls.append(Call(self.began_at, time.time(), body.decode()))
        if now < run.ends:
            self._send()
        else:
            self._end(None)

    def connection_lost(self, _error: Exception | None) -> None:
        self._end(Trouble(f"{self.run.plan.url} hung up."))

    def _send(self) -> None:
        request = self.run.request(self.number)
        if self.run.plan.keep_calls:
            self.began_at = time.time()
        self.began = time.perf_counter()
        self.transport.write(request)

    def _end(self, error: Trouble | None) -> None:
        if not self.done.done():
            if error is None:
                self.done.set_result(None)
            else:
                self.done.set_exception(error)
        self.transport.close()


def _head(plan: Plan, path: str, agent: str) -> bytes:
    lines = [
        f"{plan.method} {path} HTTP/1.1",
        f"host: {urlsplit(plan.url).netloc}",
        f"authorization: Bearer {plan.token}",
        *([f"user-agent: {agent}"] if agent else []),
        *(["content-type: application/json", f"content-length: {len(plan.body.encode())}"] if plan.body else []),
        "idempotency-key: ",
    ]
    return "\r\n".join(lines).encode()


def _content_length(head: bytes) -> int:
    at = (head := head.lower()).find(b"content-length:")
    if at < 0:
        raise Trouble("A reply has no content-length.")
    return int(head[at + 15 :].split(b"\r\n", 1)[0])


async def _carry_out(plan: Plan) -> dict[str, Any]:
    run, loop, where = _Run(plan), asyncio.get_running_loop(), urlsplit(plan.url)
    cpu = time.process_time()
    made = [
        await loop.create_connection(partial(_Client, run, number), str(where.hostname), int(where.port or 80))
        for number in range(plan.clients)
    ]
    try:
        async with asyncio.timeout_at(loop.time() + run.ends - time.perf_counter() + _PATIENCE):
            await asyncio.gather(*(client.done for _, client in made))
    except TimeoutError:
        raise Trouble(f"{plan.url} left a request without a reply for {_PATIENCE:.0f} s.") from None
    ordered = sorted(run.latencies)
    return {
        "requests": len(ordered),
        "sent": run.sent,
        "seconds": run.counts_to - run.counts_from,
        "p50_ms": ordered[len(ordered) // 2] * 1000,
        "p99_ms": ordered[len(ordered) * 99 // 100] * 1000,
        "cpu_seconds": time.process_time() - cpu,
        "calls": run.calls,
    }


def main() -> None:
    """Carry out the plan on standard input and print the result, or what is wrong in one sentence."""
    plan = Plan(**json.load(sys.stdin))
    try:
        result = uvloop.run(_carry_out(plan))
    except (Trouble, OSError) as error:
        result = {"trouble": str(error)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
