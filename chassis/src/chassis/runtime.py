"""What a running process of a service has at hand."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from chassis.batches import Coalescer, Write
from chassis.consumer import Consumer
from chassis.db import Database
from chassis.idempotency import Turns
from chassis.known_customers import KnownCustomers
from chassis.replies import Waiters
from chassis.settings import Settings
from chassis.tokens import Verifier

if TYPE_CHECKING:
    from chassis.gauges import Figures

Kind = Literal["api", "worker", "all"]


@dataclass
class Runtime:
    """One process: its settings, its pools, and what serves its requests. ``known`` is ``None`` where none is kept."""

    service: str
    kind: Kind
    settings: Settings
    api: Database
    worker: Database
    verifier: Verifier
    waiters: Waiters
    known: KnownCustomers | None
    figures: "Figures | None" = None
    consumer: Consumer | None = None
    turns: Turns = field(default_factory=Turns)
    draining: bool = False
    in_flight: int = 0
    topics_checked: bool = False
    _coalescers: dict[Write, Coalescer] = field(default_factory=dict)

    @property
    def module(self) -> str:
        """The service's name as Python and PostgreSQL know it."""
        return self.service.replace("-", "_")

    def coalescer(self, write: Write) -> Coalescer:
        """The queues of a writer; endpoints that share it share them."""
        if write not in self._coalescers:
            self._coalescers[write] = Coalescer(self.service, self.api, write)
        return self._coalescers[write]
