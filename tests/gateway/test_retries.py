"""One more try where nothing was sent yet, and only for what may come twice."""

import asyncio
import time
from dataclasses import replace

import aiohttp
import pytest

from chassis.problems import Problem
from gateway.headers import TIME_LEFT
from gateway.proxy import Outgoing, Upstream
from gateway.refusals import UpstreamAway
from gateway.turns import Turns


def outgoing(method="GET", query="", **more):
    return Outgoing(
        more.get("store", "ann"), method, "/dev/v1/orders", query, list(more.get("headers", {}).items()), b""
    )


@pytest.mark.parametrize(
    ("method", "headers", "tries"),
    [
        ("GET", {}, 2),
        ("HEAD", {}, 2),
        ("PUT", {}, 2),
        ("DELETE", {}, 2),
        ("POST", {"idempotency-key": "k"}, 2),
        ("POST", {}, 1),
        ("POST", {"idempotency-key": ""}, 1),
        ("PATCH", {}, 1),
    ],
)
async def test_a_connection_that_could_not_be_made_is_tried_once_more(unused_port, method, headers, tries):
    tried = []

    async def on_connect(*_):
        tried.append(1)

    async with Upstream.open("carts", f"http://127.0.0.1:{unused_port}", connections=2, seconds=1) as upstream:
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_start.append(on_connect)
        trace.freeze()
        upstream._session._trace_configs.append(trace)
        with pytest.raises(UpstreamAway):
            async with upstream.answer_to(outgoing(method, headers=headers)):
                pass
    assert len(tried) == tries


async def test_a_service_that_comes_back_between_the_tries_answers(unused_port, origin_on):
    async with Upstream.open("carts", f"http://127.0.0.1:{unused_port}", connections=2, seconds=2) as upstream:
        asking = asyncio.create_task(status_of(upstream, outgoing()))
        await asyncio.sleep(0.01)
        async with origin_on(unused_port) as origin:
            assert await asking == 200
            assert len(origin.seen) == 1


async def test_a_request_that_finds_no_turn_in_its_time_was_never_sent(unused_port, origin_on):
    """Of three turns a store has two: its own, and the one that all share."""
    async with (
        origin_on(unused_port) as origin,
        Upstream.open("carts", f"http://127.0.0.1:{unused_port}", connections=3, seconds=8) as upstream,
    ):
        slow = [asyncio.create_task(status_of(upstream, outgoing(query="do=slow"))) for _ in range(2)]
        await asyncio.sleep(0.05)
        assert await status_of(upstream, replace(outgoing("POST"), within=0.3)) == "too_many_at_once"
        assert await status_of(upstream, outgoing(store="bob")) == 200
        assert len(origin.seen) == 3
        waited = asyncio.create_task(status_of(upstream, outgoing("POST")))
        assert await asyncio.gather(*slow, waited) == [200] * 3
        assert 4_000 < int(origin.seen[-1].headers[TIME_LEFT]) < 6_000  # of its eight seconds, three were waited


async def test_a_request_whose_turn_comes_when_its_time_is_over_is_not_sent(unused_port, origin_on, monkeypatch):
    """Planted: the loop was busy meanwhile."""

    async def late(_turns, _store_id, seconds):
        time.sleep(seconds + 0.01)  # noqa: ASYNC251  (the loop stands still)

    monkeypatch.setattr(Turns, "take", late)
    monkeypatch.setattr(Turns, "give_back", lambda *_: None)
    async with (
        origin_on(unused_port) as origin,
        Upstream.open("carts", f"http://127.0.0.1:{unused_port}", connections=3, seconds=0.05) as upstream,
    ):
        assert await status_of(upstream, outgoing()) == "upstream_timeout"
        assert origin.seen == []


async def test_a_request_may_have_less_time_than_its_service(unused_port, origin_on):
    async with (
        origin_on(unused_port) as origin,
        Upstream.open("carts", f"http://127.0.0.1:{unused_port}", connections=2, seconds=8) as upstream,
    ):
        began = asyncio.get_running_loop().time()
        hurried = replace(outgoing(query="do=slow"), within=0.3)
        assert await status_of(upstream, hurried) == "upstream_timeout"
        assert asyncio.get_running_loop().time() - began < 1
        assert origin.seen[0].headers[TIME_LEFT] == "300"
        assert await status_of(upstream, outgoing()) == 200
        assert origin.seen[1].headers[TIME_LEFT] == "8000"


async def status_of(upstream, request):
    try:
        async with upstream.answer_to(request) as response:
            await response.read()
            return response.status
    except Problem as problem:
        return problem.code
