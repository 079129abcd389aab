"""What the gateway costs: one customer read through it and straight from the service."""

from collections.abc import Sequence
from dataclasses import dataclass

from regulars import load
from regulars.bench_postings import Samples, settle, token
from regulars.load import Load, Plan
from regulars.stack import Stack

CROWD = 32


@dataclass(frozen=True)
class Edge:
    """What the measurement reads: customers of the demo store."""

    stack: Stack
    customers: Sequence[str]

    def measure(self, seconds: float) -> Samples:
        """One round, the two ways one after the other."""
        settle(self.stack)
        samples: Samples = {}
        for clients in (1, CROWD):
            for name, url, key in (
                ("direct", self.stack.url("customers"), token(self.stack, "customers", "customers.read")),
                ("gateway", self.stack.gateway_url, self.stack.api_key),
            ):
                result = self._read(url, key, clients, seconds)
                samples |= {
                    f"edge_{name}_{clients}_rate": result.per_second,
                    f"edge_{name}_{clients}_p50": result.p50_ms,
                }
        return samples | {"edge_added_p50": samples["edge_gateway_1_p50"] - samples["edge_direct_1_p50"]}

    def _read(self, url: str, key: str, clients: int, seconds: float) -> Load:
        paths = [f"/dev/v1/customers/{customer}" for customer in self.customers]
        return load.run(Plan(url, paths, key, clients, seconds, status=200, method="GET"))
