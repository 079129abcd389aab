"""Every topic of the platform: how long it keeps its events, and in how many partitions.

Topics are per aggregate, so that order holds where it matters (design §3). No topic is compacted. Partition counts
are chosen before the first event and never changed.
"""

from dataclasses import dataclass
from datetime import timedelta

EPHEMERAL = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Topic:
    """A Kafka topic. ``kept`` is the retention; ``None`` keeps events for ever."""

    name: str
    kept: timedelta | None = None
    partitions: int = 6

    @property
    def ephemeral(self) -> bool:
        """Whether the topic may carry personal data, and so is short-lived and never parked."""
        return self.kept == EPHEMERAL


STORES = Topic("stores")
CUSTOMERS = Topic("customers")
CART_CONTACTS = Topic("cart-contacts", kept=EPHEMERAL)
CUSTOMER_IDENTITY = Topic("customer-identity", kept=timedelta(days=7))
WALLET = Topic("wallet")
WALLET_REQUESTS = Topic("wallet-requests", kept=timedelta(days=7))
CLAIMS = Topic("claims")
AFFILIATES = Topic("affiliates")
ORDERS = Topic("orders")
SCREENINGS = Topic("screenings", kept=EPHEMERAL)
VERDICTS = Topic("verdicts")

ALL = (
    STORES,
    CUSTOMERS,
    CART_CONTACTS,
    CUSTOMER_IDENTITY,
    WALLET,
    WALLET_REQUESTS,
    CLAIMS,
    AFFILIATES,
    ORDERS,
    SCREENINGS,
    VERDICTS,
)
