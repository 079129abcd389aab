"""Every topic of the platform: how long it keeps its events, and in how many partitions.

Topics are per aggregate, so that order holds where it matters (design §3). No topic is compacted. Partition counts
are chosen before the first event and never changed. A test holds ``producers`` to what the services announce.
"""

from dataclasses import dataclass
from datetime import timedelta

EPHEMERAL = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Topic:
    """A Kafka topic. ``kept`` is the retention; ``None`` keeps events for ever. ``producers`` announce its events."""

    name: str
    kept: timedelta | None = None
    partitions: int = 6
    producers: tuple[str, ...] = ()

    @property
    def ephemeral(self) -> bool:
        """Whether the topic may carry personal data, and so is short-lived and never parked."""
        return self.kept == EPHEMERAL


STORES = Topic("stores", producers=("gateway",))
CUSTOMERS = Topic("customers", producers=("customers",))
CART_CONTACTS = Topic("cart-contacts", kept=EPHEMERAL, producers=("carts",))
CUSTOMER_IDENTITY = Topic("customer-identity", kept=timedelta(days=7), producers=("customers",))
WALLET = Topic("wallet", producers=("wallet",))
WALLET_REQUESTS = Topic("wallet-requests", kept=timedelta(days=7), producers=("carts",))
CLAIMS = Topic("claims", producers=("affiliates",))
AFFILIATES = Topic("affiliates", producers=("affiliates",))
ORDERS = Topic("orders", producers=("carts",))
SCREENINGS = Topic("screenings", kept=EPHEMERAL, producers=("carts", "customers"))
VERDICTS = Topic("verdicts", producers=("fraud-block",))
MAIL = Topic("mail", kept=timedelta(days=1), producers=("wallet",))

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
    MAIL,
)
