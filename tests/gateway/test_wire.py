"""Bytes that no client library sends: each is refused, and nothing is smuggled past."""

import asyncio
import json

import pytest
from patience import until


def request(world, *lines: str, body: str = "", line: str = "POST /dev/v1/orders HTTP/1.1") -> bytes:
    head = [line, "Host: gateway.example", f"Authorization: Bearer {world.secret}", *lines]
    return ("\r\n".join(head) + "\r\n\r\n" + body).encode("latin-1")


SMUGGLED = "GET /dev/v1/customers HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(
    "lines",
    [
        ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
        ("Transfer-Encoding: xchunked",),
        ("Transfer-Encoding: gzip, identity",),
        ("Content-Length: 4", "Content-Length: 5"),
        ("Content-Length: +4",),
        ("Content-Length: 4, 4",),
        ("Content-Length: -1",),
        ("Content-Length : 4",),
        ("Content-Length: 0x4",),
        ("X: a\r\n b",),
        ("X: a\x00b",),
        ("X : a",),
        ("Host: other.example",),
        ("Authorization: Bearer other",),
        ("Idempotency-Key: a", "Idempotency-Key: b"),
    ],
    ids=str,
)
async def test_an_ambiguous_request_is_refused(world, lines):
    world.carts.seen.clear()
    answered = await world.raw(request(world, *lines, body="0\r\n\r\n"))
    assert answered.startswith(b"HTTP/1.1 4"), answered
    assert world.carts.seen == []


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 6", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 6"),
        ("Transfer-Encoding: chunked",),
    ],
    ids=str,
)
async def test_nothing_follows_a_chunked_request_on_its_connection(world, lines):
    """Were the two lengths read differently by somebody before us, the rest would be a request of its own."""
    world.carts.seen.clear()
    answered = await world.raw(request(world, *lines, body="0\r\n\r\n" + SMUGGLED))
    assert answered.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in answered.lower()
    assert [seen.path for seen in world.carts.seen] == ["/dev/v1/orders"]
    assert "transfer-encoding" not in world.carts.seen[0].headers


async def test_two_requests_with_lengths_share_a_connection(world):
    world.carts.seen.clear()
    pair = request(world, "Content-Length: 0") + request(world, "Content-Length: 0", "Connection: close")
    answered = await world.raw(pair)
    assert answered.count(b"HTTP/1.1 200 ") == 2
    assert len(world.carts.seen) == 2


@pytest.mark.parametrize(
    "line",
    [
        "POST /dev/v1/orders HTTP/9.9",
        "POST  /dev/v1/orders HTTP/1.1",
        "POST /dev/v1/orders x HTTP/1.1",
        "GET * HTTP/1.1",
        "CONNECT evil.example:80 HTTP/1.1",
        "GET /dev/v1/orders\x0bx HTTP/1.1",
        "GET /dev/v1/orders\\x HTTP/1.1",
        "GET /dev/v1/\xe9 HTTP/1.1",
        "\x16\x03\x01",
    ],
    ids=ascii,
)
async def test_an_odd_request_line_is_refused(world, line):
    world.carts.seen.clear()
    answered = await world.raw(request(world, "Content-Length: 0", line=line))
    assert answered.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")) or answered == b"", answered
    assert world.carts.seen == []


async def test_a_request_for_another_site_is_for_us(world):
    """An absolute target is a proxy's: its host decides nothing."""
    world.carts.seen.clear()
    await world.raw(request(world, "Connection: close", line="GET http://evil.example/dev/v1/orders HTTP/1.1"))
    assert [seen.headers["host"] for seen in world.carts.seen] == [f"127.0.0.1:{world.carts.port}"]


async def test_a_hundred_headers_too_many_are_refused(world):
    answered = await world.raw(request(world, *(f"X-{number}: a" for number in range(150))))
    assert answered.startswith(b"HTTP/1.1 431 ")


async def test_a_body_that_never_ends_ends_in_a_408(world):
    world.carts.seen.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    writer.write(request(world, "Content-Length: 100", body="a"))
    try:
        answered = await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.close()
    assert answered.startswith(b"HTTP/1.1 408 ")
    assert json.loads(answered.partition(b"\r\n\r\n")[2])["code"] == "request_timeout"
    assert world.carts.seen == []


async def test_who_hangs_up_before_the_end_asked_nothing(world):
    world.carts.seen.clear()
    _, writer = await asyncio.open_connection("127.0.0.1", world.port)
    writer.write(request(world, "Content-Length: 100", body="a"))
    await writer.drain()
    writer.close()
    await asyncio.sleep(0.3)
    await until(lambda: world.runtime.in_flight, lambda count: count == 0, 2.5)  # sooner than it would give the body up
    assert world.carts.seen == []


async def test_no_log_line_names_a_person(world, capfd):
    await world.call("GET", "/dev/v1/blocks?email=ada@example.com", x_secret="hidden-value")
    await world.call("GET", "/dev/v1/orders?do=cut&email=ada@example.com")
    told = "".join(capfd.readouterr())
    assert "upstream_failed" in told
    for private in ("ada@example.com", "hidden-value", "127.0.0.1", world.secret):
        assert private not in told
