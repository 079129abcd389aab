"""What every event is: a frozen fact with a type, a topic and a key.

The body on the wire is the event's own JSON; ``store_id`` and the envelope travel as CloudEvents headers (binary
mode, https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/kafka-protocol-binding.md).
"""

from typing import Annotated, ClassVar, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PrivateAttr, StringConstraints
from pydantic_core import from_json

from contracts.ids import StoreId
from contracts.topics import Topic

Currency = Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")]
Country = Annotated[str, StringConstraints(pattern="^[A-Z]{2}$")]
AmountMinor = Annotated[int, Field(gt=-(10**15), lt=10**15)]
Instant = AwareDatetime


class Event(BaseModel):
    """A fact. Subclasses say their CloudEvents type, their topic and the field that keys them.

    >>> class OrderCompleted(Event, type="order.completed", topic=ORDERS, key="customer_id"): ...
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    TYPE: ClassVar[str]
    TOPIC: ClassVar[Topic]
    KEY: ClassVar[str]

    store_id: StoreId = Field(exclude=True)
    _traceparent: str | None = PrivateAttr(default=None)

    def __init_subclass__(cls, *, type: str, topic: Topic, key: str) -> None:  # noqa: A002
        cls.TYPE, cls.TOPIC, cls.KEY = type, topic, key

    @property
    def key(self) -> str:
        """The message key: the id of the aggregate, within which order holds."""
        value: str = getattr(self, self.KEY)
        return value

    @property
    def traceparent(self) -> str | None:
        """The W3C trace context this event arrived with; ``None`` on one that is only being made."""
        return self._traceparent

    def body(self) -> bytes:
        """The message value: the event's own JSON, without the store."""
        return self.model_dump_json(exclude_none=True).encode()

    @classmethod
    def parse(cls, store_id: str, body: bytes, traceparent: str | None = None) -> Self:
        """Read an event from its header and body. Raises ``ValueError`` when either is not what the contract says."""
        fields = from_json(body)
        if not isinstance(fields, dict):
            raise ValueError("the body is not a JSON object")  # noqa: TRY004  (every refusal here is a ValueError)
        event = cls.model_validate(fields | {"store_id": store_id})
        event._traceparent = traceparent  # noqa: SLF001
        return event
