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
