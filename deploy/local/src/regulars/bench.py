"""``regulars bench``: how fast the main promises are on this machine, each beside its floor from the same run."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from regulars import bench_pgbench, bench_table, programs
from regulars.bench_conversions import Conversions
from regulars.bench_pgbench import CLIENTS
from regulars.bench_postings import Postings, settle
from regulars.stack import Stack
from regulars.trouble import Trouble

out = Console(soft_wrap=True, highlight=False, width=bench_table.WIDTH)
err = Console(stderr=True, soft_wrap=True, highlight=False)

_WARM_UP = 3.0
_VERIFIED = ("wallet", "affiliates")


@dataclass(frozen=True)
class Size:
    """How much is measured. ``seconds`` is the length of each measurement."""

    rounds: int = 3
    seconds: float = 5.0
    customers: int = 1_000
    affiliates: int = 64


def run(stack: Stack, size: Size, json_file: Path | None = None) -> dict[str, Any]:
    """Measure, prove the books, print the table; what was found.

    Raises:
        Trouble: a reply that should not be, events that are not worked off, books that are wrong.
    """
    began = time.monotonic()
    rounds = _measure(stack, size)
    for service in _VERIFIED:
        _prove(stack, service)
    found = {"cpus": os.cpu_count(), "seconds": time.monotonic() - began, **bench_table.summary(rounds)}
    if json_file is not None:
        json_file.write_text(json.dumps(found, indent=2) + "\n")
    bench_table.show(found, out)
    out.print(f"The books of {' and '.join(_VERIFIED)} are clean. The bench took {found['seconds']:.0f} s.")
    return found


def _measure(stack: Stack, size: Size) -> list[dict[str, float]]:
    rounds = []
    with err.status("making customers and affiliates") as status, bench_pgbench.scratch(stack, size.customers) as floor:
        postings = Postings.prepare(stack, size.customers)
        conversions = Conversions.prepare(stack, size.affiliates)
        settle(stack)
        postings.load(postings.customers, min(size.seconds, _WARM_UP))  # not counted: caches fill, plans are made
        conversions.convert(CLIENTS, min(size.seconds, _WARM_UP))
        for number in range(1, size.rounds + 1):
            status.update(f"round {number} of {size.rounds}: conversions")
            samples = conversions.measure(floor, size.seconds)
            status.update(f"round {number} of {size.rounds}: postings")
            rounds.append(samples | postings.measure(floor, size.seconds))
    return rounds


def _prove(stack: Stack, service: str) -> None:
    """Let a service check its own books."""
    command = [sys.executable, "-m", programs.module(service), "verify"]
    environment = os.environ | stack.environment(service)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        raise Trouble(f"The books of {service} are wrong after the bench: {(done.stdout + done.stderr).strip()[:500]}")
