"""The event catalogue says who announces what: held against the code of the services."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts import schemas, topics
from regulars import asyncapi

ROOT = Path(__file__).parents[2]
TYPES = {(event.__module__, event.__name__): event.TYPE for event in schemas.events()}
FOLDERS = {
    service.name: ROOT / ("gateway" if service.name == "gateway" else f"services/{service.name}") / "src"
    for service in asyncapi.SERVICES
}


def named(tree: ast.Module) -> dict[str, str]:
    """What a module calls the events, such as `told.HoldPlaced`, to their types."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                known = alias.asname or alias.name
                if (node.module, alias.name) in TYPES:
                    names[known] = TYPES[node.module, alias.name]
                module = f"{node.module}.{alias.name}"
                names |= {f"{known}.{name}": type_ for (its, name), type_ in TYPES.items() if its == module}
    return names


def calls(tree: ast.Module) -> Iterator[ast.Call]:
    """Every call but those of decorators: `@router.on(OrderPlaced)` hears, it does not tell."""
    heard = {id(call) for node in ast.walk(tree) for call in getattr(node, "decorator_list", ())}
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call) and id(node) not in heard)


def announced(source: str) -> set[str]:
    """The events that a module makes, or names for another function to make or to ask for."""
    tree = ast.parse(source)
    names = named(tree)
    said = {ast.unparse(part) for call in calls(tree) for part in (call.func, *call.args)}
    return {type_ for name, type_ in names.items() if said & {name, f"{name}.of", f"{name}.model_validate"}}


@pytest.mark.parametrize("service", FOLDERS)
def test_a_service_announces_what_its_topics_say_and_nothing_else(service):
    sources = [path.read_text() for path in FOLDERS[service].rglob("*.py")]
    promised = {event.TYPE for event in schemas.events() if service in event.TOPIC.producers}
    assert set().union(*map(announced, sources)) == promised


def test_every_topic_has_a_producer_that_is_a_service():
    assert {name for topic in topics.ALL for name in topic.producers} <= FOLDERS.keys()
    assert all(topic.producers for topic in topics.ALL)


@pytest.mark.parametrize(
    "source",
    [
        "from contracts.carts import OrderPlaced\noutbox.add(conn, OrderPlaced(store_id=s))",
        "from contracts.carts import OrderPlaced as Placed\nasync def f():\n    await announce(conn, order, Placed)",
        "from contracts import carts as told\ndef f():\n    return [told.OrderPlaced(store_id=s)]",
        "from contracts import carts as told\nplaced = told.OrderPlaced.model_validate(fields)",
    ],
)
def test_an_announcement_is_found(source):
    assert announced(source) == {"order.placed"}


def test_what_is_only_heard_is_no_announcement():
    heard = (
        "from contracts.carts import OrderPlaced\n"
        "@router.on(OrderPlaced)\n"
        "async def on_orders_placed(orders: Sequence[OrderPlaced], conn) -> None: ...\n"
        "OrderEvent = OrderPlaced | int\n"
    )
    assert announced(heard) == set()


def test_the_document_is_current_and_its_bytes_are_always_the_same():
    assert asyncapi.FILE.read_text() == asyncapi.text() == asyncapi.text()


def test_a_handler_that_is_not_in_the_document_makes_it_out_of_date(monkeypatch):
    from carts.main import service  # noqa: PLC0415
    from contracts.fraud import BlockAdded  # noqa: PLC0415

    async def on_block_added(event: BlockAdded, conn): ...

    router = service.router()
    router.on_ask(BlockAdded)(on_block_added)
    monkeypatch.setattr("chassis.service.Service.router", lambda self: router if self is service else type(router)())
    assert "block.added" in str(asyncapi.document()["operations"]["carts.receives.verdicts"]["messages"])


def test_every_event_of_the_contracts_is_in_the_document_with_an_example():
    document = json.loads(asyncapi.FILE.read_text())
    assert document["components"]["messages"].keys() == {event.TYPE for event in schemas.events()}
    assert all(message["examples"] for message in document["components"]["messages"].values())
