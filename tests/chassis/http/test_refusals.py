"""Every refusal is a problem document, and leaves everything as it was (design §1 rule 12)."""

import asyncio

import pytest
import specimen
from serving import SIGNER, merchant, new_store

from chassis import ids
from chassis.tokens import Caller


@pytest.fixture(scope="module")
async def client(clone, serve):
    return await serve(specimen.service, await clone("specimen"))


MALFORMED = [
    b"{",
    b"",
    b'{"amount": NaN}',
    b'{"amount": Infinity}',
    b"\xff\xfe",
    b'{"amount": 1, "note": "\\u0000"}',
    b'{"amount": 1, "note": "\\ud800"}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("raw", MALFORMED, ids=lambda raw: repr(raw[:20]))
async def test_what_is_not_json_is_refused(client, raw):
    reply = await client.post("/parcels", raw=raw, key=ids.new("k"))
    assert reply.status in {400, 422}
    assert reply.code in {"malformed_json", "invalid"}


@pytest.mark.parametrize("amount", ["25", None, True, [], {}])
async def test_an_amount_is_a_number(client, amount):
    reply = await client.post("/parcels", {"amount": amount}, key="k")
    assert (reply.status, reply.code) == (422, "invalid")
    assert reply.json["errors"][0]["pointer"] == "/amount"


@pytest.mark.parametrize(
    "number", ["1e400", "2.5e1", "1E5", "1" * 40, "0." + "1" * 40, "10000000000000", "-0", "-0.0", "1.005"]
)
async def test_an_amount_is_a_plain_decimal_in_range(client, number):
    reply = await client.post("/parcels", raw=b'{"amount": %s}' % number.encode(), key="k")
    assert (reply.status, reply.code) == (422, "invalid")


async def test_what_was_sent_is_never_said_back(client):
    reply = await client.post("/parcels", {"amount": "secret@example.com"}, key="k")
    assert b"secret" not in reply.body


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", "/nowhere", 404, "not_found"), ("DELETE", "/parcels", 405, "method_not_allowed")],
)
async def test_paths_and_methods_that_do_not_exist(client, method, path, status, code):
    reply = await client.call(method, path)
    assert (reply.status, reply.code) == (status, code)


@pytest.mark.parametrize(
    ("path", "methods"),
    [("/parcels", "GET, HEAD, POST"), ("/parcels/x", "GET, HEAD"), ("/bulk", "POST"), ("/readyz", "GET, HEAD")],
)
@pytest.mark.parametrize("method", ["DELETE", "OPTIONS"])
async def test_a_method_that_a_path_has_not_is_told_those_it_has(client, method, path, methods):
    """Also where two routes share the path."""
    reply = await client.call(method, path)
    assert (reply.status, reply.code, reply.headers["allow"]) == (405, "method_not_allowed", methods)


@pytest.mark.parametrize("path", ["/parcels", "/parcels/x", "/livez"])
async def test_head_has_the_head_of_get_and_no_body(client, path):
    host, port = client.url.removeprefix("http://").split(":")
    token = SIGNER.sign(client.caller, client.service)
    answers = []
    for method in ("GET", "HEAD"):
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Request-Id: same-for-both\r\n"
        writer.write(f"{head}Authorization: Bearer {token}\r\n\r\n".encode())
        answers.append((await reader.read()).split(b"\r\n\r\n"))
        writer.close()
    (got, body), (head, rest) = answers
    assert body != rest == b""
    assert without_date(head) == without_date(got)
    assert f"content-length: {len(body)}".encode() in got.lower()


def without_date(head):
    return sorted(line for line in head.split(b"\r\n") if not line.lower().startswith(b"date:"))


async def test_a_body_of_another_kind_is_refused(client):
    reply = await client.post("/parcels", raw=b"amount=1", key="k", content_type="application/x-www-form-urlencoded")
    assert (reply.status, reply.code) == (415, "unsupported_media_type")


async def test_a_large_body_is_refused(client):
    reply = await client.post("/parcels", raw=b" " * 1_000_001, key="k")
    assert (reply.status, reply.code) == (413, "body_too_large")


async def test_an_endpoint_may_take_a_larger_body_than_others(client):
    assert (await client.post("/bulk", raw=b'{"amount": 1}'.ljust(1_040_000), key=ids.new("k"))).status == 201
    reply = await client.post("/bulk", raw=b" " * 1_040_001, key="k")
    assert (reply.status, reply.code) == (413, "body_too_large")


@pytest.mark.parametrize("path", ["/parcels", "/bulk"])
async def test_who_should_come_later_is_told_when(client, path):
    reply = await client.post(path, {"amount": 777}, key=ids.new("k"))
    assert (reply.status, reply.headers["retry-after"]) == (429, "86400")


async def test_a_fault_of_ours_says_nothing_of_our_insides(client):
    reply = await client.post("/parcels", {"amount": 888}, key="k")
    assert (reply.status, reply.code) == (500, "internal")
    assert b"ZeroDivision" not in reply.body


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer nonsense", "Basic abc", "Bearer a.b.c"])
async def test_without_a_gateway_token_nobody_is_known(client, authorization):
    reply = await client.as_(None).get("/parcels/x", authorization=authorization)
    assert (reply.status, reply.code) == (401, "unauthenticated")


async def test_a_token_for_another_service_is_refused(client):
    token = SIGNER.sign(merchant(new_store()), "wallet")
    assert (await client.as_(None).get("/parcels/x", authorization=f"Bearer {token}")).status == 401


async def test_a_scope_is_needed(client):
    reply = await client.as_(merchant(new_store(), ["orders.read"])).post("/parcels", {"amount": 1}, key="k")
    assert (reply.status, reply.code) == (403, "insufficient_scope")


async def test_another_store_gets_404(client):
    made = await client.post("/parcels", {"amount": 1}, key=ids.new("k"))
    assert (await client.get(f"/parcels/{made.data['id']}")).status == 200
    other = await client.as_(merchant(new_store())).get(f"/parcels/{made.data['id']}")
    assert (other.status, other.code) == (404, "not_found")


async def test_a_token_with_an_odd_store_reads_nothing(client):
    odd = Caller("store_'; SELECT 1; --", "merchant", "key_x", frozenset({"orders.read"}))
    assert (await client.as_(odd).get("/parcels/x")).status >= 400


async def test_an_unknown_customer_is_404_at_once(client):
    reply = await client.post("/customers/cus_00000000000000000000000000/parcels", {"amount": 1})
    assert (reply.status, reply.code) == (404, "not_found")


async def test_request_ids_are_kept_if_they_are_well_formed(client):
    assert (await client.get("/parcels/x", x_request_id="abcdefgh-1")).headers["x-request-id"] == "abcdefgh-1"
    assert (await client.get("/parcels/x", x_request_id="a b")).headers["x-request-id"] != "a b"


async def test_an_object_that_names_a_field_twice_is_refused(client):
    reply = await client.post("/parcels", raw=b'{"amount": 1, "amount": 2}', key="k")
    assert (reply.status, reply.code) == (400, "malformed_json")


async def test_a_backslash_is_no_nul(client):
    reply = await client.post("/parcels", raw=b'{"amount": 1, "note": "C:\\\\u0000x"}', key=ids.new("k"))
    assert reply.status == 201


@pytest.mark.parametrize("kind", ["text/notjson", "json", "application/json, text/html"])
async def test_only_json_is_json(client, kind):
    assert (await client.post("/parcels", {"amount": 1}, key="k", content_type=kind)).status == 415


@pytest.mark.parametrize(("method", "path"), [("GET", "/parcels/a%00"), ("POST", "/customers/a%00/parcels")])
async def test_a_path_that_holds_a_nul_names_nothing(client, method, path):
    reply = await client.call(method, path)
    assert (reply.status, reply.code) == (404, "not_found")


@pytest.mark.parametrize("value", ["%00", "a%00b", "SENT&status=%00"])
async def test_a_parameter_that_holds_a_nul_is_refused(client, value):
    reply = await client.get(f"/parcels?status={value}")
    assert (reply.status, reply.code) == (422, "invalid")
    assert [(flaw["pointer"], flaw["code"]) for flaw in reply.json["errors"]] == [("/query/status", "nul")]


@pytest.mark.parametrize(
    ("method", "path", "unknown"),
    [
        ("GET", "/parcels?stauts=SENT", ["stauts"]),
        ("GET", "/parcels?status=SENT&Status=SENT&a/b=1&a/b=2", ["Status", "a~1b"]),
        ("GET", "/parcels?limit=1&flavour", ["limit", "flavour"]),
        ("HEAD", "/parcels?stauts=SENT", None),
        ("POST", "/parcels?dry_run=true", ["dry_run"]),
    ],
)
async def test_a_parameter_that_a_route_does_not_have_is_refused(client, method, path, unknown):
    reply = await client.call(method, path, {"amount": 1} if method == "POST" else None, key=ids.new("k"))
    assert reply.status == 422
    if unknown is not None:
        flaws = [(flaw["pointer"], flaw["code"]) for flaw in reply.json["errors"]]
        assert flaws == [(f"/query/{name}", "unknown_parameter") for name in unknown]


async def test_media_types_ignore_case(client):
    kind = "APPLICATION/JSON; charset=utf-8"
    assert (await client.post("/parcels", {"amount": 1}, key=ids.new("k"), content_type=kind)).status == 201
