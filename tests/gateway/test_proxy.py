"""What passes through, what does not, and what a service's failures look like from outside."""

import asyncio
import io

import pytest

from chassis import service
from gateway import headers, proxy

ORDERS, WALLET, PROMOTIONS = "/dev/v1/orders", "/dev/v1/wallet/settings", "/dev/v1/wallet/promotions"


async def test_a_request_arrives_as_it_was_sent(world):
    world.carts.seen.clear()
    reply = await world.call(
        "POST",
        "/dev/v1/orders/a%20b?x=%2e%2e&y=1",
        body=b'{"total": 1.10}',
        content_type="application/json",
        idempotency_key="key-1",
    )
    assert (reply.status, reply.body) == (200, b'{"data": {}}')
    seen = world.carts.seen[0]
    assert (seen.method, seen.path, seen.query) == ("POST", "/dev/v1/orders/a%20b", "x=%2e%2e&y=1")
    assert seen.body == b'{"total": 1.10}'
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["idempotency-key"] == "key-1"


async def test_what_only_the_gateway_may_say_is_never_the_callers_word(world):
    world.carts.seen.clear()
    await world.call(
        "GET",
        ORDERS,
        x_regulars_client_ip="203.0.113.66",
        x_regulars_store="store_other",
        x_forwarded_for="203.0.113.66",
        x_forwarded_host="evil.example",
        cookie="session=1",
        connection="x-regulars-client-ip",
    )
    seen = world.carts.seen[0].headers
    assert seen[headers.CLIENT_IP] == "127.0.0.1"
    assert "203.0.113.66" not in str(seen)
    assert not {"x-regulars-store", "x-forwarded-for", "x-forwarded-host", "cookie"} & seen.keys()
    assert seen["host"] == f"127.0.0.1:{world.carts.port}"
    assert world.carts.seen[0].caller("carts") is not None


async def test_request_id_and_trace_reach_the_service_and_the_caller(world):
    world.carts.seen.clear()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    reply = await world.call("GET", ORDERS, x_request_id="req-from-the-shop", traceparent=trace)
    seen = world.carts.seen[0].headers
    assert reply.headers["x-request-id"] == seen["x-request-id"] == "req-from-the-shop"
    assert seen["traceparent"] == trace


async def test_an_odd_request_id_or_trace_is_replaced(world):
    world.carts.seen.clear()
    reply = await world.call("GET", ORDERS, x_request_id="a b", traceparent="00-nonsense")
    seen = world.carts.seen[0].headers
    assert reply.headers["x-request-id"] == seen["x-request-id"] != "a b"
    assert seen["traceparent"].startswith("00-")
    assert seen["traceparent"] != "00-nonsense"


async def test_a_services_internals_stay_inside(world):
    reply = await world.call("GET", f"{ORDERS}?do=internals")
    assert not {"x-regulars-secret", "keep-alive"} & {name.lower() for name in reply.headers}
    assert reply.headers.getall("x-request-id") != ["of the service"]
    assert reply.headers["x-other"] == "of the service"
    assert reply.headers.getall("cache-control") == ["max-age=5"]
    assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(("do", "status"), [("redirect", 303), ("accept", 202)])
async def test_a_location_passes_and_is_not_followed(world, do, status):
    world.carts.seen.clear()
    reply = await world.call("POST", f"{ORDERS}?do={do}")
    assert reply.status == status
    assert reply.headers["location"].startswith("/")
    assert len(world.carts.seen) == 1


@pytest.mark.parametrize(
    "path",
    [
        "/internal/v1/clicks",
        "/dev/v1/../../internal/v1/clicks",
        "/dev/v1/orders/%2e%2e/%2e%2e/internal",
        "/dev/v1/orders%2f..%2finternal",
        "//internal/v1/clicks",
        "/dev/v1/orders;/internal",
        "/dev/v1/orders/",
    ],
)
async def test_no_spelling_reaches_what_is_internal(world, path):
    world.carts.seen.clear()
    world.affiliates.seen.clear()
    request = f"POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {world.secret}\r\nContent-Length: 0\r\n\r\n"
    answered = await world.raw(request.encode())
    assert answered.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 404 ")), answered
    assert b"application/problem+json" in answered
    assert world.carts.seen + world.affiliates.seen == []


@pytest.mark.parametrize("method", ["TRACE", "FOO"])
async def test_a_method_of_nobody_is_refused(world, method):
    world.carts.seen.clear()
    reply = await world.call(method, ORDERS)
    assert (reply.status, reply.code) == (501, "method_not_implemented")
    assert world.carts.seen == []


async def test_which_methods_a_path_has_is_its_services_to_say(world):
    reply = await world.call("OPTIONS", f"{ORDERS}?do=refuse_method")
    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")


async def test_a_body_is_bounded_whether_it_says_so_or_not(world):
    world.carts.seen.clear()
    assert (await world.call("POST", ORDERS, body=b"x" * 1_000_000)).status == 200

    async def parts():
        for _ in range(21):
            yield b"x" * 50_000

    for body in (b"x" * 1_000_001, io.BytesIO(b"x" * 8_000_000), parts()):
        reply = await world.call("POST", ORDERS, body=body)
        assert (reply.status, reply.code) == (413, "body_too_large")
    assert len(world.carts.seen) == 1


async def test_a_path_that_takes_more_gets_all_of_it(world, gateway_before, origin_on, unused_port):
    ports = dict.fromkeys(("affiliates", "carts", "customers", "fraud-block", "wallet"), unused_port)
    ids = bytes(range(256)) * 15_625
    async with origin_on(unused_port) as origin, gateway_before(world.database, ports) as gateway:
        for path, body, status in (
            (PROMOTIONS, ids, 200),
            (PROMOTIONS, ids + b"x", 413),
            (WALLET, ids, 413),
            (f"{PROMOTIONS}s", ids, 413),
        ):
            sent = {"key": world.secret, "body": io.BytesIO(body), "content_type": "application/json"}
            assert (await gateway.call("POST", path, **sent)).status == status
    (seen,) = origin.seen
    assert (seen.body, seen.headers["content-length"]) == (ids, "4000000")
    assert seen.headers["content-type"] == "application/json"


async def test_a_chunked_body_arrives_whole_with_its_length(world):
    world.carts.seen.clear()

    async def parts():
        for number in range(3):
            yield bytes([65 + number]) * 10

    await world.call("POST", ORDERS, body=parts())
    seen = world.carts.seen[0]
    assert seen.body == b"A" * 10 + b"B" * 10 + b"C" * 10
    assert seen.headers["content-length"] == "30"
    assert "transfer-encoding" not in seen.headers


async def test_a_long_path_and_large_headers_are_refused(world):
    long = await world.call("GET", f"{ORDERS}/{'a' * 3000}")
    large = await world.call("GET", ORDERS, x_large="a" * 20_000)
    assert [(long.status, long.code), (large.status, large.code)] == [(414, "uri_too_long"), (431, "headers_too_large")]


async def test_a_service_that_is_down_is_a_503_at_once(world):
    began = asyncio.get_running_loop().time()
    reply = await world.call("GET", "/dev/v1/blocks")
    assert (reply.status, reply.code, reply.headers["retry-after"]) == (503, "upstream_away", "1")
    assert asyncio.get_running_loop().time() - began < 2.5


async def test_a_service_that_is_slow_is_a_504_and_asked_once(world):
    world.carts.seen.clear()
    reply = await world.call("GET", f"{ORDERS}?do=slow")
    assert (reply.status, reply.code, reply.headers["retry-after"]) == (504, "upstream_timeout", "1")
    assert len(world.carts.seen) == 1


async def test_a_small_answer_that_breaks_off_is_a_502(world):
    world.carts.seen.clear()
    reply = await world.call("GET", f"{ORDERS}?do=cut")
    assert (reply.status, reply.code, reply.headers["retry-after"]) == (502, "upstream_broke_off", "1")
    assert len(world.carts.seen) == 1


async def test_a_stream_that_breaks_off_does_not_look_whole(world):
    request = f"GET {ORDERS}?do=cut_stream HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {world.secret}\r\n\r\n"
    answered = await world.raw(request.encode())
    assert answered.startswith(b"HTTP/1.1 200 ")
    assert b"half" in answered
    assert not answered.endswith(b"0\r\n\r\n")


async def test_a_large_answer_streams_through(world):
    reply = await world.call("GET", f"{ORDERS}?do=stream")
    assert reply.body == b"".join(bytes([part]) * 50_000 for part in range(20))


@pytest.mark.parametrize(
    ("method", "sent"),
    [("GET", {}), ("PUT", {}), ("DELETE", {}), ("POST", {}), ("POST", {"idempotency_key": "k"})],
    ids=str,
)
async def test_what_was_sent_is_never_sent_again(world, method, sent):
    """The wallet reads the request and hangs up: whether it did the work is not known."""
    world.wallet.requests = 0
    reply = await world.call(method, WALLET, body=b"{}", **sent)
    assert (reply.status, reply.code) == (502, "upstream_broke_off")
    assert world.wallet.requests == 1


async def test_a_failed_request_leaves_the_next_one_alone(world):
    for _ in range(3):
        assert (await world.call("GET", WALLET)).status == 502
        assert (await world.call("GET", ORDERS)).status == 200


async def test_head_has_the_head_of_get(world):
    reply = await world.call("HEAD", ORDERS)
    assert (reply.status, reply.headers["content-length"], reply.body) == (200, "12", b"")


def test_a_connection_is_left_before_its_service_ends_it():
    """A call on one that is just being ended fails, and might have been done."""
    assert proxy._IDLE * 1000 < service._HEAD_MS
