import pytest

from gateway import landing


@pytest.mark.parametrize(
    ("url", "landed"),
    [
        ("https://shop.example", "https://shop.example/?ref=c"),
        ("https://shop.example/", "https://shop.example/?ref=c"),
        ("https://shop.example/de", "https://shop.example/de?ref=c"),
        ("https://shop.example/?lang=de", "https://shop.example/?lang=de&ref=c"),
        ("http://localhost:3000", "http://localhost:3000/?ref=c"),
    ],
)
def test_a_link_lands_at_the_stores_own_address(url, landed):
    landing.check_store("shop", url, None)
    assert landing.url_for(url, "c") == landed


@pytest.mark.parametrize(
    ("query", "passed"),
    [
        ("", ""),
        ("utm_source=x&gclid=a-b_c.d~e&flag&empty=", "&utm_source=x&gclid=a-b_c.d~e&flag&empty="),
        ("q=caf%C3%A9+au+lait&to=https://evil.example/?a=b", "&q=caf%C3%A9+au+lait&to=https://evil.example/?a=b"),
        ("ref=evil&REF=evil&Ref&a=1", "&a=1"),
        ("%72ef=evil&ref%00=evil&+ref=evil&ref[]=evil&ref%5B%5D=evil&a=1;ref=evil", ""),
        ("&&=x&@evil.example&//evil.example&%zz=1&a=%2&a=1", "&a=1"),
        ("a=%0d%0aset-cookie:%20b", "&a=%0d%0aset-cookie:%20b"),
        ("a=\r\nset-cookie: b&a=\n&a=b\n&a=caf\u00e9&a=#b", ""),
        ("a=" + 1_998 * "x", "&a=" + 1_998 * "x"),
        ("a=" + 1_999 * "x", ""),
    ],
)
@pytest.mark.parametrize("url", ["https://shop.example/?ref=c", "https://shop.example/de?lang=de&ref=c"])
def test_what_a_visitor_brings_stands_behind_the_code_and_changes_nothing_before(url, query, passed):
    assert landing.url_for(url[:-6], "c", query) == url + passed


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "//evil.example",
        "https://",
        "https://a@evil.example/",
        "https://shop.example\\@evil.example",
        "https://shop.example/\r\nset-cookie: a=b",
        "https://shop.example/#fragment",
        "https://shop.example/a b",
        "ftp://shop.example/",
        "https://shop.example:port/",
        "/relative",
        "",
    ],
)
def test_a_store_has_no_address_that_leads_astray(url):
    with pytest.raises(ValueError, match="URL"):
        landing.check_store("shop", url, None)


@pytest.mark.parametrize("slug", ["", "Shop", "a b", "-a", "a-", "a--b", "a/b", "a.b", "x" * 64, "a\n"])
def test_a_slug_is_plain(slug):
    with pytest.raises(ValueError, match="slug"):
        landing.check_store(slug, "https://shop.example", None)


@pytest.mark.parametrize("host", ["", "Shop.example", "shop.example:80", "a b", "a..b", "a\n"])
def test_a_host_is_plain(host):
    with pytest.raises(ValueError, match="host"):
        landing.check_store("shop", "https://shop.example", host)
