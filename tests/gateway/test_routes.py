import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.refusals import MalformedRequest, UriTooLong
from gateway.routes import Map, Takes, checked

CUSTOMER = "/dev/v1/customers/cus_01jd8zxn5ve3kbh2t9pgw4mqya"


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/dev/v1/customers", "customers"),
        (CUSTOMER, "customers"),
        (f"{CUSTOMER}/notes", "customers"),
        ("/dev/v1/customers/stats", "customers"),
        (f"{CUSTOMER}/wallet", "wallet"),
        (f"{CUSTOMER}/wallet/adjustments", "wallet"),
        ("/dev/v1/wallet/transactions", "wallet"),
        ("/dev/v1/wallet/promotions", "wallet"),
        (f"{CUSTOMER}/affiliate/convert-to-balance", "affiliates"),
        ("/dev/v1/affiliates", "affiliates"),
        ("/dev/v1/blocks/block_1", "fraud-block"),
        ("/dev/v1/products", "carts"),
        ("/dev/v1/orders/order_1", "carts"),
        ("/dev/v1/invoices/inv_1/payment-sessions", "carts"),
        ("/storefront/v1/carts/cart_1/checkout", "carts"),
        ("/sandbox/demo/pay_1", "carts"),
        ("/dev/v1/customers/wallet", "customers"),
    ],
)
def test_a_path_leads_to_its_service(path, service):
    assert Map().find(path).service == service


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/dev",
        "/dev/v1",
        "/dev/v1/nothing",
        "/dev/v1/customersx",
        "/DEV/v1/customers",
        "/internal/v1/clicks",
        "/dev/v1/internal",
        "/dev/v2/customers",
        "/storefront/v1/customers",
        "/storefront/v1/wallet",
        "/sandbox",
        "/sandbox/demo",
        "/livez",
        "/metrics",
    ],
)
def test_no_other_path_leads_anywhere(path):
    assert Map().find(path) is None


def test_only_hosted_pages_take_anybody():
    paths = [CUSTOMER, "/dev/v1/wallet", "/storefront/v1/carts", "/sandbox/demo/pay_1"]
    assert [Map().find(path).takes for path in paths] == [
        Takes.SECRET_KEY,
        Takes.SECRET_KEY,
        Takes.ANY_KEY,
        Takes.VISITOR,
    ]


@pytest.mark.parametrize(
    "path",
    [
        b"",
        b"*",
        b"dev/v1/customers",
        b"//dev/v1/customers",
        b"/dev/v1//customers",
        b"/dev/v1/customers/",
        b"/dev/v1/customers/./x",
        b"/dev/v1/customers/../wallet",
        b"/dev/v1/customers/..",
        b"/dev/v1/customers/%2e%2e/wallet",
        b"/dev/v1/customers/%2E./wallet",
        b"/dev/v1/customers/x%2fwallet",
        b"/dev/v1/customers/x%2Fwallet",
        b"/dev/v1/customers/x%5cwallet",
        b"/dev/v1/customers/x\\wallet",
        b"/dev/v1/customers/x;a=b/wallet",
        b"/dev/v1/customers/x%3bwallet",
        b"/dev/v1/customers/x/%77allet",
        b"/dev/v1/customers/x%00",
        b"/dev/v1/customers/x%0d%0aa:b",
        b"/dev/v1/customers/x%0Awallet",
        b"/dev/v1/customers/x%252fwallet",
        b"/dev/v1/customers/x%3fy",
        b"/dev/v1/customers/x%23y",
        b"/dev/v1/customers/x%7f",
        b"/dev/v1/customers/x%zz",
        b"/dev/v1/customers/x%",
        b"/dev/v1/customers/\xc3\xa9",
        b"/dev/v1/customers/a b",
        b"/dev/v1/customers/a\n",
        b"/dev/v1/customers\n",
        b'/dev/v1/customers/"',
    ],
)
def test_a_path_that_could_be_read_in_two_ways_is_refused(path):
    with pytest.raises(MalformedRequest):
        checked(path, b"")


@pytest.mark.parametrize(
    "path", [b"/", b"/dev/v1/customers/a..b", b"/a/.well-known", b"/a/%C3%A9", b"/a/x%40y.z", b"/a/b:c,d"]
)
def test_a_plain_path_passes_as_it_is(path):
    assert checked(path, b"") == (path.decode(), "")


@pytest.mark.parametrize("query", [b"a=\xff", b"a b", b"a\r\nb", b"a#b", b"\x00"])
def test_an_odd_query_is_refused(query):
    with pytest.raises(MalformedRequest):
        checked(b"/", query)


def test_a_query_passes_as_it_is():
    assert checked(b"/", b"q=%2e%2e/;a=1&b=%20")[1] == "q=%2e%2e/;a=1&b=%20"


@pytest.mark.parametrize(("path", "query"), [(b"/" + b"a" * 2048, b""), (b"/", b"a" * 8193)])
def test_a_long_one_is_refused(path, query):
    with pytest.raises(UriTooLong):
        checked(path, query)


@given(st.binary(max_size=40))
def test_what_passes_has_one_reading(tail):
    """Decoding a path that passed makes no new segment, and no segment that climbs."""
    from urllib.parse import unquote_to_bytes  # noqa: PLC0415

    try:
        path, _ = checked(b"/dev/v1/customers/" + tail, b"")
    except MalformedRequest:
        return
    segments = path.split("/")
    decoded = unquote_to_bytes(path).split(b"/")
    assert len(decoded) == len(segments)
    assert not {b"", b".", b".."} & set(decoded[1:])
