"""Which function of a service handles which event."""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar, get_origin

from contracts.event import Event

E = TypeVar("E", bound=Event)
Function = TypeVar("Function", bound=Callable[..., Awaitable[None]])


class Group(StrEnum):
    """The two consumer groups of a service: conversations never queue behind bulk."""

    FACTS = ""
    ASK = ".ask"

    def of(self, service: str) -> str:
        """The group's name on the broker."""
        return f"{service}{self.value}"


@dataclass(frozen=True, slots=True)
class Handler:
    """One handler; ``batch``: it takes all events of its type in a wave."""

    event: type[Event]
    run: Callable[[Any, Any], Awaitable[None]]
    batch: bool
    where: Callable[[Any], bool] | None = None


class Router:
    """Collects the handlers of a service."""

    def __init__(self) -> None:
        self._handlers: dict[tuple[str, str], Handler] = {}
        self._groups: dict[str, Group] = {}

    def on(self, event: type[E], *, where: Callable[[E], bool] | None = None) -> Callable[[Function], Function]:
        """Handle a fact; ``where`` tells those that matter from bulk, which leaves no trace here, not in the inbox either.

        Raises ``ValueError`` for a second handler, or a topic split over both groups.
        """
        return self._register(event, Group.FACTS, where)

    def on_ask(self, event: type[E], *, where: Callable[[E], bool] | None = None) -> Callable[[Function], Function]:
        """Handle a request, or the answer to one of ours; ``where`` tells those from bulk that is not for us."""
        return self._register(event, Group.ASK, where)

    def include(self, other: "Router") -> None:
        """Add the handlers of another router, under the same rules."""
        for handler, group in other.handlers():
            self._add(handler, group)

    def handlers(self) -> list[tuple[Handler, Group]]:
        """Every handler, and the group that reads for it."""
        return [(handler, self._groups[topic]) for (topic, _), handler in self._handlers.items()]

    def handler(self, topic: str, event_type: str) -> Handler | None:
        """Who handles this type, if anybody."""
        return self._handlers.get((topic, event_type))

    def group_of(self, topic: str) -> Group | None:
        """The group that reads a topic, if one does."""
        return self._groups.get(topic)

    def topics(self, group: Group) -> list[str]:
        """The topics a group reads."""
        return sorted(topic for topic, its in self._groups.items() if its is group)

    def _register(
        self, event: type[Event], group: Group, where: Callable[[Any], bool] | None = None
    ) -> Callable[[Function], Function]:
        def keep(function: Function) -> Function:
            self._add(Handler(event, function, _takes_many(function), where), group)
            return function

        return keep

    def _add(self, handler: Handler, group: Group) -> None:
        topic = handler.event.TOPIC.name
        if (topic, handler.event.TYPE) in self._handlers:
            raise ValueError(f"{handler.event.TYPE} has two handlers")
        if self._groups.setdefault(topic, group) is not group:
            raise ValueError(f"the handlers of topic {topic} are in two groups")
        self._handlers[topic, handler.event.TYPE] = handler


def _takes_many(function: Callable[..., object]) -> bool:
    first = next(iter(inspect.signature(function).parameters.values())).annotation
    return first.startswith("Sequence[") if isinstance(first, str) else get_origin(first) is Sequence
