"""Traces: one of a request goes through every process that works for it, and names nobody."""

import asyncio
import io
import secrets
import time
from collections import defaultdict

import pytest
from patience import until
from rich.console import Console

from chassis import ids
from contracts.ids import ORDER
from regulars import order_trace
from regulars.trouble import Trouble

pytestmark = pytest.mark.journeys


def begun() -> tuple[str, dict[str, str]]:
    """A trace of ours and the header that says so."""
    trace = secrets.token_hex(16)
    return trace, {"traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"}


async def test_a_conversion_is_one_connected_trace_through_all_that_work_for_it(world, collector):
    """Requests, SQL, outbox, Kafka, handlers, the answer: by parents within the trace, by links to the batches."""
    customer, _ = await world.affiliate_with()
    trace, header = begun()
    headers = header | {"authorization": f"Bearer {world.stack.api_key}", "idempotency-key": trace}
    path = f"/dev/v1/customers/{customer}/affiliate/convert-to-balance"
    async with world.session.post(world.stack.gateway_url + path, json={"amount": 1}, headers=headers) as reply:
        assert reply.status == 200
    wanted = {
        ("gateway", "POST /dev/v1/customers/*/affiliate"),
        ("gateway", "POST affiliates"),
        ("affiliates", "POST /dev/v1/customers/{customer_id}/affiliate/convert-to-balance"),
        ("affiliates", "INSERT"),
        ("affiliates", "send claims"),
        ("wallet", "process claims"),
        ("wallet", "send wallet"),
        ("affiliates", "process wallet"),
        ("affiliates", "send claims"),
        ("wallet", "events"),
        ("affiliates", "events"),
    }

    async def seen() -> set[tuple[str, str]]:
        return {(span.service, span.name) for span in collector.connected(trace)}

    await until(seen, lambda names: wanted <= names)
    spans = collector.connected(trace)
    own = {span.span_id: span for span in spans if span.trace_id == trace}
    (root,) = [span for span in own.values() if span.parent_id not in own]
    assert (root.service, root.name) == ("gateway", "POST /dev/v1/customers/*/affiliate")
    assert root.parent_id == header["traceparent"].split("-")[2]
    batches = [span for span in spans if span.name == "events"]
    assert {span.trace_id for span in batches} & {trace} == set()
    assert all(set(span.links) & own.keys() for span in batches)
    assert any(span.trace_id in {batch.trace_id for batch in batches} and span.name == "WITH" for span in spans)


async def test_no_span_of_a_request_names_anybody(world, collector):
    canary = f"canary{secrets.token_hex(4)}"
    email = f"{canary}@example.com"
    trace, header = begun()
    header["authorization"] = f"Bearer {world.stack.api_key}"

    async def call(method: str, path: str, body: object = None) -> int:
        url = world.stack.gateway_url + path
        async with world.session.request(method, url, json=body, headers=header) as reply:
            return reply.status

    assert await call("POST", "/dev/v1/customers", {"email": email, "name": canary}) == 201
    assert await call("POST", "/dev/v1/customers", {"email": email}) == 409
    assert await call("GET", f"/dev/v1/customers?q={canary}") == 200
    assert await call("GET", f"/dev/v1/customers/{canary}") == 404
    assert await call("GET", f"/{canary}") == 404
    assert await call("POST", "/dev/v1/blocks", {"type": "email", "value": email}) == 201
    await until(lambda: collector.connected(trace), lambda spans: len(spans) > 20)
    assert canary not in "".join(span.text for span in collector.connected(trace))
    assert "127.0.0.1" not in "".join(span.text for span in collector.spans if span.kind == SERVER)


SERVER = 2


async def test_what_nobody_asked_to_trace_is_not(world, collector):
    """The share of traces that begin at the gateway is 0 here; polls and timers never begin one."""
    await world.affiliate_with()
    await world.settle()
    quiet_since = time.time_ns()
    await world.affiliate_with()
    await world.settle()
    await asyncio.sleep(1.5)  # what is traced is told now and then
    assert [span for span in collector.spans if span.began > quiet_since] == []


async def test_the_way_of_an_order_is_told_with_times(world):
    began = time.time()
    customer, _ = await world.affiliate_with()
    order = await world.buy("sku-1000000", code=(await world.shop.affiliate(customer))["link"]["code"])
    await world.settle()
    steps = await order_trace.way_of(world.stack, order["order_id"])
    told = [(step.source, step.type) for step in steps]
    assert [one for one in told if one[1] != "customer.updated"] == [
        ("carts", "cart.contact_given"),
        ("customers", "customer.created"),
        ("customers", "customer.identified"),
        ("carts", "screening.requested"),
        ("fraud-block", "screening.decided"),
        ("carts", "order.placed"),
        ("carts", "order.completed"),
        ("affiliates", "commission.earned"),
    ]
    (completed,) = [step for step in steps if step.type == "order.completed"]
    assert set(completed.handled) == {"customers", "affiliates"}
    assert began < completed.announced.timestamp() < min(at.timestamp() for at in completed.handled.values())
    out = Console(record=True, width=200, file=io.StringIO())
    await asyncio.to_thread(order_trace.show, world.stack, order["order_id"], out)
    assert "order.completed" in out.export_text()
    for unknown, said in (("nonsense", "is not the id of an order"), (ids.new(ORDER), "No event")):
        with pytest.raises(Trouble, match=said):
            await asyncio.to_thread(order_trace.show, world.stack, unknown, out)


async def test_traces_go_from_the_request_to_the_last_handler(world):
    """One trace id from the gateway through outbox, Kafka and the handler, to the answer."""
    customer, _ = await world.affiliate_with()
    trace, header = begun()
    headers = header | {"authorization": f"Bearer {world.stack.api_key}", "idempotency-key": trace}
    path = f"/dev/v1/customers/{customer}/affiliate/convert-to-balance"
    async with world.session.post(world.stack.gateway_url + path, json={"amount": 1}, headers=headers) as reply:
        assert reply.status == 200
    assert {"claim.converted", "wallet.posted", "claim.completed"} <= (await traced(world))[trace]


async def traced(world) -> dict[str, set[str]]:
    """The types of the events about claims and credit that carry a trace, by its id."""
    await world.settle()
    types: dict[str, set[str]] = defaultdict(set)
    for record in await world.history():
        headers = dict(record.headers)
        if record.topic in {"claims", "wallet"} and "traceparent" in headers:
            types[headers["traceparent"].decode().split("-")[1]].add(headers["ce_type"].decode())
    return types


async def test_requests_in_one_batch_keep_their_own_traces(world):
    customer, _ = await world.affiliate_with()
    traces = dict(begun() for _ in range(8))

    async def adjust(trace: str, header: dict[str, str]) -> int:
        headers = header | {"authorization": f"Bearer {world.stack.api_key}", "idempotency-key": trace}
        path = f"/dev/v1/customers/{customer}/wallet/adjustments"
        async with world.session.post(world.stack.gateway_url + path, json={"amount": 1}, headers=headers) as reply:
            return reply.status

    assert await asyncio.gather(*(adjust(*one) for one in traces.items())) == [201] * 8
    types = await traced(world)
    assert [types[trace] for trace in traces] == [{"wallet.posted"}] * 8
