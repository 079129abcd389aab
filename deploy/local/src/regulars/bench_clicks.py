"""Links followed at the gateway: each click is counted by affiliates, beside the same redirects without a click."""

import asyncio
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import aiohttp

from regulars import load, waiting
from regulars.bench_postings import Samples, settle, with_cpu
from regulars.load import Load, Plan
from regulars.shopping import Shopping
from regulars.stack import Stack
from regulars.trouble import Trouble

CLIENTS = (1, 64)

_SLUG = "demo"
_AGENTS = 256  # each of them and a link are one visitor
_PATIENCE = 20.0


@dataclass(frozen=True)
class Clicks:
    """What the measurement follows: the links of affiliates of the demo store."""

    stack: Stack
    affiliates: Sequence[str]
    codes: Sequence[str]

    def measure(self, seconds: float) -> Samples:
        """One round: at one client and at many, first without clicks, then with them until all are counted."""
        samples: Samples = {}
        for clients in CLIENTS:
            settle(self.stack)
            samples |= _figures(f"redirect_{clients}", self._follow("HEAD", clients, seconds))
            before = waiting.run(self._counted())
            result, cpu = with_cpu(self.stack, partial(self._follow, "GET", clients, seconds))
            samples[f"click_{clients}_counted_seconds"] = waiting.run(self._all_counted(before + result.sent))
            samples |= _figures(f"click_{clients}", result)
            samples |= {f"click_{clients}_cpu_us_{program}": spent for program, spent in cpu.items()}
        return samples

    def _follow(self, method: str, clients: int, seconds: float) -> Load:
        tag = secrets.token_hex(4)
        plan = Plan(
            url=self.stack.gateway_url,
            paths=[f"/r/{_SLUG}/{code}" for code in self.codes],
            token=self.stack.publishable_key,
            clients=clients,
            seconds=seconds,
            status=302,
            method=method,
            agents=[f"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0 {tag}-{n}" for n in range(_AGENTS)],
        )
        return load.run(plan)

    async def _all_counted(self, wanted: int) -> float:
        """Seconds until affiliates has counted that many.

        Raises:
            Trouble: some are lost, or counted twice.
        """
        began = time.perf_counter()
        deadline = began + _PATIENCE
        # It waits for another process, which wakes nobody here.
        while (counted := await self._counted()) < wanted and time.perf_counter() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        if counted != wanted:
            raise Trouble(f"Affiliates counted {counted} clicks within {_PATIENCE:.0f} s; there were {wanted}.")
        return time.perf_counter() - began

    async def _counted(self) -> int:
        """All clicks on all links."""
        async with aiohttp.ClientSession() as session:
            shop = Shopping.of(session, self.stack)
            shown = await asyncio.gather(*(shop.affiliate(affiliate) for affiliate in self.affiliates))
        return sum(one["link"]["total_clicks"] for one in shown)


def _figures(name: str, result: Load) -> Samples:
    return {f"{name}_rate": result.per_second, f"{name}_p50": result.p50_ms, f"{name}_p99": result.p99_ms}
