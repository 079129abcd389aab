"""One more try where nothing was sent yet, and only for what may come twice."""

import asyncio
import math
import time
from dataclasses import replace

import aiohttp
import pytest
from patience import until

from chassis.problems import Problem
from gateway import proxy
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

    async def on_try(*_):
        tried.append(1)

    async with Upstream.open("carts", f"http://127.0.0.1:{unused_port}", connections=2, seconds=10) as upstream:
        before_each_try(upstream, on_try)
        with pytest.raises(UpstreamAway):
            async with upstream.answer_to(outgoing(method, headers=headers)):
                pass
    assert len(tried) == tries


def before_each_try(upstream, do):
    """Do this before a connection is tried."""
    trace = aiohttp.TraceConfig()
    trace.on_connection_create_start.append(do)
    trace.freeze()
    upstream._session._trace_configs.append(trace)


async def test_a_service_that_comes_back_between_the_tries_answers(unused_port, origin_on, monkeypatch):
    monkeypatch.setattr(proxy, "_CONNECT", 30)
    first_failed, is_back = asyncio.Event(), asyncio.Event()
    tries = iter([asyncio.sleep(0), is_back.wait()])

    async def on_try(*_):
        await next(tries)
        first_failed.set()

    async with Upstream.open("carts", f"http://127.0.0.1:{unused_port}", connections=2, seconds=30) as upstream:
        before_each_try(upstream, on_try)
        asking = asyncio.create_task(status_of(upstream, outgoing()))
        await first_failed.wait()
        async with origin_on(unused_port) as origin:
            is_back.set()
            assert await asking == 200
            assert len(origin.seen) == 1


async def test_a_request_that_finds_no_turn_in_its_time_was_never_sent(unused_port, origin_on):
    """Of three turns a store has two: its own, and the one that all share."""
    async with (
        origin_on(unused_port, pause=3) as origin,
        Upstream.open("carts", f"http://127.0.0.1:{unused_port}", connections=3, seconds=30) as upstream,
    ):
        slow = [asyncio.create_task(status_of(upstream, outgoing(query="do=slow"))) for _ in range(2)]
        await until(lambda: len(origin.seen) >= 2)
        assert await status_of(upstream, replace(outgoing("POST"), within=0.3)) == "too_many_at_once"
        assert await status_of(upstream, outgoing(store="bob")) == 200
        assert len(origin.seen) == 3
        began = time.monotonic()
        waited = asyncio.create_task(status_of(upstream, outgoing("POST")))
        await asyncio.wait(slow, return_when=asyncio.FIRST_COMPLETED)
        its_turn = time.monotonic()
        assert await asyncio.gather(*slow, waited) == [200] * 3
        left = int(origin.seen[-1].headers[TIME_LEFT]) / 1000
        assert 30 - (time.monotonic() - began) < left < 30 - (its_turn - began) + 0.1


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
        assert asyncio.get_running_loop().time() - began < 5
        assert await status_of(upstream, outgoing()) == 200
        assert [math.ceil(int(seen.headers[TIME_LEFT]) / 100) for seen in origin.seen] == [3, 80]


async def status_of(upstream, request):
    try:
        async with upstream.answer_to(request) as response:
            await response.read()
            return response.status
    except Problem as problem:
        return problem.code
