"""Spans: what one event leads to stays in its trace, a batch is a trace of its own with links, and nobody is named."""

import secrets

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from chassis import exporting, outbox, telemetry, tracing
from chassis.inbox import Router


@pytest.fixture
def spans():
    """The finished spans of this process, as they would be exported."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=exporting.Begun(1.0))
    provider.add_span_processor(SimpleSpanProcessor(exporting.Allowed(exporter)))
    exporting.record(provider)
    yield exporter.get_finished_spans
    exporting.record(None)


def nothing_is_linked(patch) -> None:
    patch.setattr(telemetry, "_context", lambda _: None)


def everything_is_told(patch) -> None:
    patch.setattr(exporting, "_only_allowed", lambda attributes: dict(attributes or {}))


def traceparent() -> str:
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def trace_of(context: str) -> int:
    return int(context.split("-")[1], 16)


def named(found, name: str) -> list:
    return [span for span in found if span.name == name]


@pytest.mark.parametrize("fault", [None, nothing_is_linked])
async def test_an_event_is_followed_from_outbox_to_handler_to_what_that_announces(world, spans, planted, fault):
    contract, answers = await world.contract(), await world.contract()
    router = Router()

    @router.on(contract.added)
    async def on_added(event, conn) -> None:
        outbox.add(conn, answers.removed(store_id=event.store_id, subject="answer"))

    begun = traceparent()
    with planted(fault):
        async with world.consuming(router) as consumer, world.relaying():
            await world.joined(consumer)
            tracing.current.set(begun)
            await world.announce(contract.added(store_id=world.store_id, subject="ask"))
            tracing.current.set(None)
            await world.caught_up(consumer)
            await world.until("SELECT count(*) FROM inbox", equals=1)
            await world.until("SELECT count(*) FROM outbox", equals=0)
        steps = (f"send {contract.topic.name}", f"process {contract.topic.name}", f"send {answers.topic.name}")
        chain = [span for step in steps for span in named(spans(), step)]
        assert [span.name for span in chain] == list(steps)
        asked, processed, _ = chain
        assert {span.context.trace_id for span in chain} == {trace_of(begun)}
        assert [span.parent.span_id for span in chain[1:]] == [span.context.span_id for span in chain[:-1]]
        assert [span.kind.name for span in chain] == ["PRODUCER", "CONSUMER", "PRODUCER"]
        assert dict(processed.attributes) == {
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": contract.topic.name,
            "messaging.consumer.group.name": world.service,
            "messaging.kafka.message.key": "ask",
            "messaging.message.id": processed.attributes["messaging.message.id"],
        }
        assert asked.attributes["messaging.message.id"] == processed.attributes["messaging.message.id"]


@pytest.mark.parametrize("fault", [None, nothing_is_linked])
async def test_a_batch_is_a_trace_of_its_own_that_links_to_those_of_its_events(world, spans, planted, fault):
    contract = await world.contract()
    router, begun = Router(), [traceparent() for _ in range(3)]

    @router.on(contract.added)
    async def on_added(event, conn) -> None:
        await conn.execute("INSERT INTO tally VALUES ($1, 1) ON CONFLICT DO NOTHING", event.store_id)

    for number, context in enumerate(begun):
        await world.send(contract.added(store_id=world.store_id, subject=str(number)), traceparent=context)
    with planted(fault):
        async with world.consuming(router) as consumer:
            await world.joined(consumer)
            await world.caught_up(consumer)
            await world.until("SELECT count(*) FROM inbox", equals=3)
        batches = named(spans(), "events")
        assert batches
        assert all(batch.parent is None for batch in batches)
        linked = [link.context.trace_id for batch in batches for link in batch.links]
        assert sorted(linked) == sorted(trace_of(context) for context in begun)
        assert not {batch.context.trace_id for batch in batches} & set(linked)
        processed = named(spans(), f"process {contract.topic.name}")
        assert {span.links[0].context.span_id for span in processed} <= {batch.context.span_id for batch in batches}
        assert len(processed) == 3
        inserts = [span for span in spans() if span.name == "INSERT" and "tally" in span.attributes["db.query.text"]]
        assert {span.parent.span_id for span in inserts} == {span.context.span_id for span in processed}


@pytest.mark.parametrize("fault", [None, everything_is_told])
async def test_no_span_names_anybody_even_when_a_statement_fails(world, spans, planted, fault):
    canary = f"canary-{secrets.token_hex(6)}@example.com"
    with planted(fault):
        with telemetry.serving("POST", traceparent()):
            with pytest.raises(Exception, match=canary):
                async with world.database.transaction() as conn:
                    await conn.execute("SELECT $1::text::int", canary)
            telemetry.answered("POST", "/customers/{customer_id}", 500)
        (served,) = named(spans(), "POST /customers/{customer_id}")
        assert [span.name for span in spans() if span.parent and span.parent.span_id == served.context.span_id]
        assert canary not in "".join(span.to_json() for span in spans())


async def test_what_nobody_asked_for_makes_no_spans(world, spans):
    async with world.relaying():
        await world.admin.fetchval("SELECT pg_sleep(0.6)")
    assert spans() == ()
