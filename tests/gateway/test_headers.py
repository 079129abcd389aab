from ipaddress import ip_network

import pytest

from gateway import headers
from gateway.refusals import HeadersTooLarge, MalformedRequest

OURS = [("authorization", "Bearer token"), ("x-regulars-client-ip", "192.0.2.1")]


@pytest.mark.parametrize(
    "name",
    [
        b"authorization",
        b"cookie",
        b"x-regulars-client-ip",
        b"x-regulars-anything",
        b"x_regulars_client_ip",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"forwarded",
        b"x-real-ip",
        b"traceparent",
        b"x-request-id",
        b"transfer-encoding",
        b"connection",
        b"upgrade",
        b"te",
        b"expect",
        b"host",
    ],
)
def test_a_service_never_gets_it_from_a_caller(name):
    sent = [(name, b"forged"), (b"accept", b"*/*")]
    assert headers.for_service(sent, OURS) == [("accept", "*/*"), *OURS]


def test_what_connection_names_is_dropped_and_ours_stays():
    sent = [(b"connection", b"X-Hop, authorization, X-Regulars-Client-Ip"), (b"x-hop", b"1"), (b"accept", b"a")]
    assert headers.for_service(sent, OURS) == [("accept", "a"), *OURS]


def test_a_callers_other_headers_pass():
    sent = [(b"idempotency-key", b"k"), (b"content-type", b"application/json"), (b"stripe-signature", b"s")]
    assert headers.for_service(sent, []) == [(n.decode(), v.decode()) for n, v in sent]


def test_a_caller_never_gets_a_services_internals():
    answered = [(b"X-Regulars-Token", b"1"), (b"Connection", b"close"), (b"Location", b"/x"), (b"Set-Cookie", b"a")]
    passed = headers.for_caller(answered, [(b"x-request-id", b"r")])
    names = [name for name, _ in passed]
    assert (b"location", b"/x") in passed
    assert (b"set-cookie", b"a") in passed
    assert (b"x-content-type-options", b"nosniff") in passed
    assert b"x-regulars-token" not in names
    assert b"connection" not in names
    assert names.count(b"x-request-id") == 1


@pytest.mark.parametrize("name", [b"host", b"authorization", b"content-length", b"content-type", b"idempotency-key"])
def test_a_header_that_decides_comes_once(name):
    with pytest.raises(MalformedRequest):
        headers.check([(name, b"a"), (name, b"b")])


def test_headers_are_bounded():
    headers.check([(b"a", b"x" * 8000), (b"b", b"x" * 8000)])
    with pytest.raises(HeadersTooLarge):
        headers.check([(b"a", b"x" * 8000), (b"b", b"x" * 9000)])


PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "named", "client"),
    [
        ("192.0.2.1", "198.51.100.9", "192.0.2.1"),
        ("10.0.0.1", "198.51.100.9", "198.51.100.9"),
        ("10.0.0.1", "203.0.113.5, 198.51.100.9", "198.51.100.9"),
        ("10.0.0.1", "203.0.113.5, 198.51.100.9, 10.1.1.1", "198.51.100.9"),
        ("fd00::1", "2001:db8::7", "2001:db8::7"),
        ("::ffff:10.0.0.1", "198.51.100.9", "198.51.100.9"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "what, ever", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.9, nonsense", "10.0.0.1"),
        ("::ffff:192.0.2.1", "", "192.0.2.1"),
        ("", "198.51.100.9", ""),
    ],
)
def test_only_our_own_proxies_say_who_calls(peer, named, client):
    assert headers.client_ip(peer, [(b"x-forwarded-for", named.encode())], PROXIES) == client


def test_without_proxies_the_peer_calls():
    assert headers.client_ip("10.0.0.1", [(b"x-forwarded-for", b"198.51.100.9")], ()) == "10.0.0.1"


@pytest.mark.parametrize("given", ["short", "has space in it", "x" * 65, "line\nbreak-1", "ünicode-123", ""])
def test_a_request_id_that_is_none_is_not_kept(given):
    assert headers.request_id([(b"x-request-id", given.encode())]) is None


def test_a_request_id_is_kept():
    assert headers.request_id([(b"x-request-id", b"req-12345678")]) == "req-12345678"
