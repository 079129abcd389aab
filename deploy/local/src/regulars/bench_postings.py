"""Store-credit postings over HTTP, straight to the wallet, beside pgbench that writes the same and HTTP that writes nothing."""

import asyncio
import contextlib
import os
import secrets
import time
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiohttp
import psutil  # type: ignore[import-untyped]

from chassis.tokens import Caller, Signer
from regulars import bench_grants, bench_wallet, load, waiting
from regulars.bench_pgbench import CLIENTS, Pgbench, Rate
from regulars.load import Load, Plan
from regulars.ports import SERVICES
from regulars.shopping import Shopping
from regulars.stack import Stack
from regulars.trouble import Trouble

Samples = dict[str, float]

_AT_ONCE = 16
_QUIET = 60.0  # seconds that the services get to read what a measurement has left them


@dataclass(frozen=True)
class Postings:
    """What the measurement works on: the wallet of a running stack, and customers it gets to know.

    ``customers`` are credited, ``spenders`` debited.
    """

    stack: Stack
    customers: Sequence[str]
    spenders: Sequence[str]

    @classmethod
    def prepare(cls, stack: Stack, customers: int) -> "Postings":
        """Make the customers as a merchant does."""
        made = waiting.run(_make_customers(stack, 2 * customers))
        return cls(stack, made[:customers], made[customers:])

    def measure(self, pgbench: Pgbench, seconds: float) -> Samples:
        """One round: floors and ceilings, which leave no events behind, right before what they are compared with."""
        settle(self.stack)
        samples: Samples = {}
        workloads = (("many", self.customers), ("hot", self.customers[:1]))
        with bench_wallet.serving(self.stack, ["regulars.bench_ceiling"]) as url:
            for name, customers in workloads:
                samples[f"ceiling_{name}_rate"] = self.credit(customers, seconds, url).per_second
        for name, customers in workloads:
            settle(self.stack)
            samples |= _floor(name, pgbench.credits(len(customers), seconds))
            samples |= self._wallet(name, partial(self.credit, customers, seconds))
        waiting.run(bench_grants.top_up(self.stack, self.spenders))
        settle(self.stack)
        samples |= _floor("debit", pgbench.debits(len(self.spenders), seconds))
        return samples | self._wallet("debit", partial(self._debit, seconds))

    def credit(self, customers: Sequence[str], seconds: float, url: str | None = None) -> Load:
        """Post 1 to random ones of the customers from 64 clients."""
        return self._load(customers, seconds, '{"amount":1}', url)

    def _debit(self, seconds: float) -> Load:
        return self._load(self.spenders, seconds, f'{{"amount":-{bench_grants.DEBIT_MINOR / 100}}}')

    def _load(self, customers: Sequence[str], seconds: float, body: str, url: str | None = None) -> Load:
        plan = Plan(
            url=url or self.stack.url("wallet"),
            paths=[f"/dev/v1/customers/{customer}/wallet/adjustments" for customer in customers],
            token=token(self.stack, "wallet"),
            clients=CLIENTS,
            seconds=seconds,
            status=201,
            body=body,
        )
        return load.run(plan)

    def _wallet(self, name: str, measurement: Callable[[], Load]) -> Samples:
        result, cpu = with_cpu(self.stack, measurement)
        return {
            f"wallet_{name}_rate": result.per_second,
            f"wallet_{name}_p50": result.p50_ms,
            f"wallet_{name}_p99": result.p99_ms,
            f"wallet_{name}_load": os.getloadavg()[0],
        } | {f"wallet_{name}_cpu_us_{program}": spent for program, spent in cpu.items()}


def _floor(name: str, measured: Rate) -> Samples:
    return {f"pgbench_{name}_rate": measured.per_second, f"pgbench_{name}_mean": measured.mean_ms}


def token(stack: Stack, service: str, scope: str = "wallet.write") -> str:
    """The gateway's word for the merchant of the demo store; good for a minute."""
    caller = Caller(stack.store_id, "merchant", "bench", frozenset({scope}))
    return Signer(stack.environment("gateway")["REGULARS_TOKEN_PRIVATE_JWK"]).sign(caller, service)


def with_cpu(stack: Stack, measurement: Callable[[], Load]) -> tuple[Load, Samples]:
    """Measure, and say what each program used of the processors meanwhile, and ``all`` of them, in µs per request."""
    before, began = cpu_seconds(stack), time.perf_counter()
    result = measurement()
    done = (time.perf_counter() - began) * result.per_second  # the requests of the warm-up cost too
    after = cpu_seconds(stack)
    spent = {program: (after[program] - seconds) / done * 1e6 for program, seconds in before.items()}
    return result, spent | {"all": sum(spent.values())}


def cpu_seconds(stack: Stack) -> dict[str, float]:
    """What each program has used of the processors so far, its children included."""
    return {program: summed(pid, lambda one: sum(one.cpu_times()[:2])) for program, pid in stack.pids().items()}


def summed(pid: int, measure: Callable[[Any], float]) -> float:
    """A measure of a process and its children; a child that ends just now, such as a backend of PostgreSQL, has none."""
    process, total = psutil.Process(pid), 0.0
    for one in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += measure(one)
    return total


def settle(stack: Stack, seconds: float = _QUIET) -> None:
    """Wait until every event is published and read, so that no measurement pays for the one before it.

    Raises:
        Trouble: they are not done in time.
    """
    deadline = time.monotonic() + seconds
    with ThreadPoolExecutor(len(SERVICES)) as pool:
        while True:
            names = [name for name in SERVICES if name in stack.pids()]
            quiet = pool.map(_is_quiet, map(stack.url, names))
            busy = [name for name, still in zip(names, quiet, strict=True) if not still]
            if not busy:
                return
            if time.monotonic() > deadline:
                raise Trouble(f"{', '.join(busy)} did not work off its events within {seconds:.0f} s.")
            time.sleep(0.1)


def _is_quiet(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/metrics", timeout=15) as reply:  # noqa: S310 - our own http URL
            lines = [line.rpartition(" ") for line in reply.read().decode().splitlines() if not line.startswith("#")]
    except OSError:  # it is busy
        return False
    waits = ("regulars_consumer_lag", "regulars_outbox_oldest_seconds")
    return all(float(value) == 0 for name, _, value in lines if name.startswith(waits))


async def _make_customers(stack: Stack, count: int) -> list[str]:
    tag, made = secrets.token_hex(4), list[str]()
    numbers = iter(range(count))

    async def make_some(shop: Shopping) -> None:
        for number in numbers:
            made.append((await shop.add_customer(f"bench-{tag}-{number}@example.com", f"Bench {number}"))["id"])

    async with aiohttp.ClientSession() as session:
        makers = [partial(make_some, Shopping.of(session, stack)) for _ in range(_AT_ONCE)]
        await asyncio.gather(*(maker() for maker in makers))
    return made
