"""``regulars bench``: how fast the main promises are on this machine, each beside its floor from the same run."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console

from regulars import bench_history, bench_pgbench, bench_table, programs, waiting
from regulars.bench_clicks import Clicks
from regulars.bench_commissions import Commissions
from regulars.bench_conversions import Conversions
from regulars.bench_crediting import Crediting
from regulars.bench_edge import Edge
from regulars.bench_folding import Folding
from regulars.bench_history import History
from regulars.bench_idle import Idle
from regulars.bench_orders import Orders
from regulars.bench_pgbench import CLIENTS, Pgbench
from regulars.bench_postings import Postings, Samples, settle
from regulars.bench_publishing import Publishing
from regulars.bench_table import PARTS
from regulars.seed import Say
from regulars.shopping import Shopping
from regulars.stack import Stack
from regulars.trouble import Trouble

out = Console(soft_wrap=True, highlight=False, width=bench_table.WIDTH)
err = Console(stderr=True, soft_wrap=True, highlight=False)

_WARM_UP = 3.0
_VERIFIED = ("customers", "wallet", "affiliates")


@dataclass(frozen=True)
class Size:
    """How much is measured. ``seconds`` is the length of each measurement; the counts are of one round.

    ``history`` is how many customers, with how many entries in all, the wallet has whose history is read.
    """

    rounds: int = 3
    seconds: float = 5.0
    customers: int = 1_000
    affiliates: int = 64
    orders: int = 50_000
    crowd: int = 100_000
    rows: int = 200_000
    claims: int = 50_000
    history: tuple[int, int] = (100_000, 10_000_000)


def run(stack: Stack, size: Size, json_file: Path | None = None, parts: Sequence[str] = PARTS) -> dict[str, Any]:
    """Measure these parts, prove the books, print the table; what was found.

    Raises:
        Trouble: a reply that should not be, events that are not worked off, books that are wrong.
    """
    began = time.monotonic()
    rounds = _measure(stack, size, parts)
    for service in _VERIFIED:
        _prove(stack, service)
    found = {"cpus": os.cpu_count(), "seconds": time.monotonic() - began, **bench_table.summary(rounds, parts)}
    if json_file is not None:
        json_file.write_text(json.dumps(found, indent=2) + "\n")
    bench_table.show(found, out)
    out.print(f"The books of {', '.join(_VERIFIED)} are clean. The bench took {found['seconds']:.0f} s.")
    return found


def _measure(stack: Stack, size: Size, parts: Sequence[str]) -> list[Samples]:
    rounds = []
    with err.status("preparing") as status, _ready(stack, size, status.update) as ready:
        for number in range(1, size.rounds + 1):
            samples: Samples = {}
            for part in parts:
                status.update(f"round {number} of {size.rounds}: {part}")
                samples |= ready.measures[part]()
                samples[f"{part}_load"] = os.getloadavg()[0]
            rounds.append(samples)
    return rounds


class _Ready:
    """What the parts work on, made when the first of them needs it, and warmed up: caches fill, plans are made."""

    def __init__(self, stack: Stack, size: Size, floor: Pgbench, exits: ExitStack, say: Say) -> None:
        self._stack = stack
        self._size = size
        self._exits = exits
        self._say = say
        seconds = size.seconds
        self.measures: dict[str, Callable[[], Samples]] = {
            "conversions": lambda: self._conversions.measure(floor, seconds),
            "postings": lambda: self._postings.measure(floor, seconds),
            "crediting": lambda: Crediting(stack, self._postings.customers).measure(size.claims, seconds),
            "folding": lambda: self._folding.measure(size.orders),
            "commissions": lambda: Commissions(stack, self._orders).measure(size.orders, seconds),
            "clicks": lambda: Clicks(stack, self._conversions.affiliates, self._orders.codes).measure(seconds),
            "crowd": lambda: self._folding.crowd(size.crowd, seconds),
            "edge": lambda: Edge(stack, self._postings.customers).measure(seconds),
            "publishing": lambda: Publishing(stack).measure(size.rows),
            "idle": lambda: Idle(stack).measure(seconds) | Idle(stack).starts(),
            "history": lambda: self._history.measure(seconds),
        }

    @cached_property
    def _postings(self) -> Postings:
        postings = Postings.prepare(self._stack, self._size.customers)
        settle(self._stack)
        postings.credit(postings.customers, min(self._size.seconds, _WARM_UP))
        return postings

    @cached_property
    def _conversions(self) -> Conversions:
        conversions = Conversions.prepare(self._stack, self._size.affiliates)
        settle(self._stack)
        conversions.convert(CLIENTS, min(self._size.seconds, _WARM_UP))
        return conversions

    @cached_property
    def _history(self) -> History:
        return self._exits.enter_context(bench_history.seeded(self._stack, *self._size.history, self._say))

    @cached_property
    def _orders(self) -> Orders:
        codes = waiting.run(_codes(self._stack, self._conversions.affiliates))
        return Orders(self._stack.store_id, self._postings.customers, codes)

    @cached_property
    def _folding(self) -> Folding:
        return Folding(self._stack, self._orders, self._conversions)


@contextmanager
def _ready(stack: Stack, size: Size, say: Say) -> Iterator[_Ready]:
    with bench_pgbench.scratch(stack, size.customers) as floor, ExitStack() as exits:
        yield _Ready(stack, size, floor, exits, say)


async def _codes(stack: Stack, affiliates: Sequence[str]) -> list[str]:
    async with aiohttp.ClientSession() as session:
        shop = Shopping.of(session, stack)
        return [(await shop.affiliate(affiliate))["link"]["code"] for affiliate in affiliates]


def _prove(stack: Stack, service: str) -> None:
    """Let a service check its own books."""
    command = [sys.executable, "-m", programs.module(service), "verify"]
    environment = os.environ | stack.environment(service)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        raise Trouble(f"The books of {service} are wrong after the bench: {(done.stdout + done.stderr).strip()[:500]}")
