"""One more try where nothing was sent yet, and only for what may come twice."""

import asyncio
from dataclasses import replace

import aiohttp
import pytest

from chassis.problems import Problem
from gateway.headers import TIME_LEFT
from gateway.proxy import Outgoing, Upstream
from gateway.refusals import UpstreamAway


def outgoing(method="GET", query="", **more):
    return Outgoing(method, "/dev/v1/orders", query, list(more.get("headers", {}).items()), b"")


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


async def test_more_than_its_share_waits_and_more_than_that_is_turned_away(unused_port, origin_on):
    """One connection, four may wait for it, for a second: the sixth and seventh are told at once."""
    ended: list[tuple[str, float]] = []
    began = asyncio.get_running_loop().time()

    async def ask(upstream):
        told = await status_of(upstream, outgoing(query="do=slow"))
        ended.append((told, asyncio.get_running_loop().time() - began))

    async with (
        origin_on(unused_port) as origin,
        Upstream.open("carts", f"http://127.0.0.1:{unused_port}", connections=1, seconds=8) as upstream,
    ):
        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(ask(upstream) for _ in range(7)))
    assert [told for told, _ in ended] == ["upstream_away"] * 6 + [200]
    assert [seconds < 0.9 for _, seconds in ended] == [True] * 2 + [False] * 5
    assert len(origin.seen) == 1


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
