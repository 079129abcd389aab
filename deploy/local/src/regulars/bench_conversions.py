"""``convert-to-balance`` over the gateway, with what one call is made of, beside what its parts cost alone."""

import asyncio
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import aiohttp

from regulars import bench_trace, load, waiting
from regulars.bench_pgbench import Pgbench
from regulars.bench_postings import Samples, settle, with_cpu
from regulars.load import Load, Plan
from regulars.shopping import Shopping
from regulars.stack import Stack
from regulars.trouble import Trouble

CLIENTS = (1, 16, 64)

_PRICE = 1_000_000
_AT_ONCE = 8
_PATIENCE = 30.0
_COMMITS, _HOPS = 4, 2  # of one conversion; what the relays delete does not wait for the disk


@dataclass(frozen=True)
class Conversions:
    """What the measurement works on: affiliates with much to convert, one for each client."""

    stack: Stack
    affiliates: Sequence[str]

    @classmethod
    def prepare(cls, stack: Stack, affiliates: int) -> "Conversions":
        """Have affiliates earn by the real flow: someone buys for a million with each one's code."""
        return cls(stack, waiting.run(_make_affiliates(stack, affiliates)))

    def measure(self, pgbench: Pgbench, seconds: float) -> Samples:
        """One round."""
        samples = {"commit_ms": pgbench.commits(1).mean_ms}
        samples["hop_ms"] = waiting.run(bench_trace.hop_ms(self.stack.kafka_bootstrap))
        for clients in CLIENTS:
            settle(self.stack)
            samples |= _figures(f"read_{clients}", self._read(clients, min(seconds, 2)))
            samples |= self._watched(clients, seconds)
        samples["parts_ms"] = samples["read_1_p50"] + _COMMITS * samples["commit_ms"] + _HOPS * samples["hop_ms"]
        return samples

    def convert(self, clients: int, seconds: float) -> Load:
        """Convert 0.01 again and again, each client for an affiliate of its own."""
        return self._load(clients, seconds, method="POST", suffix="/convert-to-balance", body='{"amount":0.01}')

    def _read(self, clients: int, seconds: float) -> Load:
        return self._load(clients, seconds, method="GET", suffix="", body="")

    def _watched(self, clients: int, seconds: float) -> Samples:
        """Convert, and see who works for it; with one client, also what a call is made of."""
        begin = waiting.run(bench_trace.ends(self.stack.kafka_bootstrap))
        result, cpu = with_cpu(self.stack, partial(self.convert, clients, seconds))
        samples = _figures(f"convert_{clients}", result)
        samples |= {f"convert_{clients}_cpu_us_{program}": spent for program, spent in cpu.items()}
        samples[f"convert_{clients}_load"] = os.getloadavg()[0]
        if clients == 1:
            settle(self.stack)
            told = waiting.run(bench_trace.told_since(self.stack.kafka_bootstrap, begin))
            samples |= {f"leg_{n}": leg for n, leg in enumerate(bench_trace.legs(result.calls, told))}
            samples["leg_calls"] = len(result.calls)
        return samples

    def _load(self, clients: int, seconds: float, *, method: str, suffix: str, body: str) -> Load:
        plan = Plan(
            url=self.stack.gateway_url,
            method=method,
            paths=[f"/dev/v1/customers/{affiliate}/affiliate{suffix}" for affiliate in self.affiliates],
            token=self.stack.api_key,
            clients=clients,
            seconds=seconds,
            status=200,
            body=body,
            own_path=True,
            keep_calls=clients == 1 and method == "POST",
        )
        return load.run(plan)


def _figures(name: str, result: Load) -> Samples:
    return {f"{name}_rate": result.per_second, f"{name}_p50": result.p50_ms, f"{name}_p99": result.p99_ms}


async def _make_affiliates(stack: Stack, count: int) -> list[str]:
    tag, made = secrets.token_hex(4), list[str]()
    numbers = iter(range(count))

    async def make_some(shop: Shopping) -> None:
        for number in numbers:
            made.append(await _make_affiliate(shop, f"bench-{tag}-{number}"))

    async with aiohttp.ClientSession() as session:
        shop = Shopping.of(session, stack)
        await shop.add_product("bench", "A palace", _PRICE)
        await asyncio.gather(*(make_some(shop) for _ in range(_AT_ONCE)))
    return made


async def _make_affiliate(shop: Shopping, name: str) -> str:
    affiliate = (await shop.add_customer(f"{name}@example.com", name))["id"]
    await shop.enrol(affiliate, name)
    cart = await shop.open_cart("bench", 1, name)
    await shop.give_contact(cart["id"], f"{name}-buyer@example.com", f"Buyer of {name}")
    order = (await shop.check_out(cart)).data
    try:
        async with asyncio.timeout(_PATIENCE):
            while (await shop.order(order["order_id"]))["status"] != "AWAITING_PAYMENT":  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            await shop.pay(order["order_id"])
            while not (await shop.affiliate(affiliate))["balances"]["available"]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise Trouble(f"The order {order['order_id']} earned {name} nothing within {_PATIENCE:.0f} s.") from None
    return str(affiliate)
