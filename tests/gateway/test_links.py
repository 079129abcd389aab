"""``/r/``: to the store and nowhere else, at once, and each click handed over once."""

import asyncio
import json
from uuid import UUID

import asyncpg
import pytest

from chassis import clock
from chassis.problems import NotFound, Unavailable
from gateway import store
from gateway.clicks import Clicks
from gateway.directory import Directory
from gateway.redirects import Links

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


async def follow(world, path, **headers):
    return await world.call("GET", path, key=None, **({"user_agent": BROWSER} | headers))


async def handed_over(world, clicks: int, *codes: str) -> list[dict]:
    """The clicks on these codes, once affiliates got so many."""
    async with asyncio.timeout(30):
        while True:
            got = [click for seen in world.affiliates.seen for click in json.loads(seen.body)["clicks"]]
            if len(found := [click for click in got if click["code"] in codes]) >= clicks:
                return found
            await asyncio.sleep(0.02)


async def nothing_is_held(world) -> list[str]:
    """The codes that affiliates got, once they are all that was taken; a store's clicks go one batch after the other."""
    world.affiliates.seen.clear()
    await follow(world, "/r/demo/the-last")
    await handed_over(world, 1, "the-last")
    return [click["code"] for seen in world.affiliates.seen for click in json.loads(seen.body)["clicks"]]


@pytest.fixture
def one_day(monkeypatch):
    """Midnight does not come: a visitor is another every day."""
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now)


def cookie_of(world, reply) -> str:
    """The one cookie of a reply, which must be the store's, as a browser sends it back."""
    (cookie,) = reply.headers.getall("set-cookie")
    its, *attributes = cookie.split("; ")
    assert its.startswith(f"regulars_ref_{world.store_id[-8:]}=")
    assert set(attributes) == {"Max-Age=31536000", "Path=/", "HttpOnly", "SameSite=Lax"}
    return its


def codes_in(cookie: str) -> list[str]:
    return [part.partition(".")[0] for part in cookie.partition("=")[2].split("~")]


async def test_a_link_leads_to_the_store_and_leaves_a_cookie(world):
    reply = await follow(world, "/r/demo/creator123")
    assert (reply.status, reply.headers["location"]) == (302, "https://shop.example/?ref=creator123")
    assert codes_in(cookie_of(world, reply)) == ["creator123"]
    assert reply.headers["cache-control"] == "no-store"


async def test_a_browser_remembers_the_links_of_a_store_newest_first(world):
    cookie = ""
    for code in ("first", "second", "FIRST", "third"):
        cookie = cookie_of(world, await follow(world, f"/r/demo/{code}", cookie=f"other=1; {cookie}"))
    assert codes_in(cookie) == ["third", "first", "second"]
    nonsense = cookie_of(world, await follow(world, "/r/demo/first", cookie=f"{cookie}; {cookie}".replace(".", "!")))
    assert codes_in(nonsense) == ["first"]


async def test_over_https_the_cookie_is_for_https(world):
    links = Links(Directory(world.runtime.api), Clicks(None), visitor_pepper="x", secure=True)
    links._clicks.add = lambda *_: None
    _, cookie = links.click(world.store_id, "abc", [], "192.0.2.1")
    assert b"; Secure" in cookie


@pytest.mark.parametrize(
    "path",
    [
        "/r/demo/https:",
        "/r/demo/%2f%2fevil.example",
        "/r/demo/@evil.example",
        "/r/demo/a%0d%0aset-cookie:b",
        "/r/demo/a&next=evil",
        "/r/demo/.evil",
        "/r/demo/" + "a" * 65,
        "/r/demo/a/b",
        "/r/",
        "/r",
        "/r//evil.example",
        "/r/nowhere/creator123",
        "/r/demo/creator123//",
        "/r/demo//creator123/",
        "/r/demo/creator123/b/",
        "/r/demo/caf%C3%A9",
    ],
)
async def test_no_link_leads_astray(world, path):
    world.affiliates.seen.clear()
    reply = await follow(world, path)
    assert reply.status in {400, 404}
    assert reply.code in {"not_found", "malformed_request"}
    assert not {"location", "set-cookie"} & {name.lower() for name in reply.headers}


@pytest.mark.parametrize("path", ["/r/demo/creator123/", "/r/DEMO/creator123", "/r/Demo/creator123/?"])
async def test_a_link_is_found_as_people_write_it(world, path):
    reply = await follow(world, path)
    assert (reply.status, reply.headers["location"]) == (302, "https://shop.example/?ref=creator123")
    assert codes_in(cookie_of(world, reply)) == ["creator123"]


async def test_a_visitors_own_query_goes_along_and_leads_nowhere_else(world):
    reply = await follow(world, "/r/demo/creator123?ref=other&utm_source=x&url=https://evil.example")
    assert reply.headers["location"] == "https://shop.example/?ref=creator123&utm_source=x&url=https://evil.example"
    assert codes_in(cookie_of(world, reply)) == ["creator123"]


async def test_a_link_is_followed_and_nothing_else(world):
    reply = await world.call("POST", "/r/demo/creator123", key=None)
    assert (reply.status, reply.code, reply.headers["allow"]) == (405, "method_not_allowed", "GET, HEAD")


async def test_a_short_link_leads_to_the_store_of_its_host(world):
    await world.open_store("hosted", url="https://hosted.example", host="go.hosted.example")
    assert (await follow(world, "/r/hosted/abc")).status == 302
    for path in ("/r/abc", "/r/abc/"):
        reply = await follow(world, path, host="GO.hosted.example:8443")
        assert (reply.status, reply.headers["location"]) == (302, "https://hosted.example/?ref=abc")
    unknown = await follow(world, "/r/abc", host="unknown.example")
    assert (unknown.status, unknown.code) == (404, "not_found")


async def test_a_click_reaches_affiliates_as_the_gateways_word(world):
    world.affiliates.seen.clear()
    await follow(world, "/r/demo/told")
    await world.call("HEAD", "/r/demo/told", key=None)
    await follow(world, "/r/demo/told", user_agent="Mozilla/5.0 (compatible; Googlebot/2.1)")
    await follow(world, "/r/demo/told-too", user_agent="")
    clicks = await handed_over(world, 3, "told", "told-too")
    assert [(click["code"], click["bot"]) for click in clicks] == [("told", False), ("told", True), ("told-too", True)]
    seen = next(seen for seen in world.affiliates.seen if b"told-too" in seen.body)
    caller = seen.caller("affiliates")
    assert (seen.method, seen.path) == ("POST", "/internal/v1/clicks")
    assert (caller.store_id, caller.actor, caller.scopes) == (world.store_id, "storefront", {"internal"})
    assert UUID(json.loads(seen.body)["batch_id"]).version == 7


@pytest.mark.usefixtures("one_day")
async def test_a_visitor_is_the_same_twice_and_nobody_outside(world):
    world.affiliates.seen.clear()
    for user_agent in (BROWSER, BROWSER, BROWSER + " other"):
        await follow(world, "/r/demo/visited", user_agent=user_agent)
    same, again, other = [click["visitor"] for click in await handed_over(world, 3, "visited")]
    assert same == again != other
    told = b"".join(seen.body for seen in world.affiliates.seen)
    assert b"127.0.0.1" not in told
    assert b"Firefox" not in told


async def test_looking_without_following_leaves_no_cookie(world):
    reply = await world.call("HEAD", "/r/demo/looked-at", key=None, user_agent=BROWSER)
    assert (reply.status, reply.headers["location"]) == (302, "https://shop.example/?ref=looked-at")
    assert "set-cookie" not in reply.headers


async def tell(world, body=b'{"code": "told-of"}', path="/storefront/v1/clicks", **headers):
    given = {"user_agent": BROWSER, "content_type": "application/json", "key": world.publishable} | headers
    return await world.call("POST", path, body=body, **given)


@pytest.mark.usefixtures("one_day")
async def test_a_storefront_tells_of_a_visitor_who_came_without_us(world):
    world.affiliates.seen.clear()
    cookie = cookie_of(world, await follow(world, "/r/demo/followed"))
    replies = [await tell(world, cookie=cookie), await tell(world, key=world.secret)]
    assert [(reply.status, reply.body, reply.headers["cache-control"]) for reply in replies] == [
        (204, b"", "no-store")
    ] * 2
    assert [codes_in(cookie_of(world, reply)) for reply in replies] == [["told-of", "followed"], ["told-of"]]
    one, other, followed = await handed_over(world, 3, "told-of", "followed")
    assert {one["code"], other["code"], followed["code"]} == {"told-of", "followed"}
    assert one["visitor"] == other["visitor"] == followed["visitor"]
    assert not one["bot"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed_json"),
        (b"{", 400, "malformed_json"),
        (b'{"code": "abc", "code": "def"}', 400, "malformed_json"),
        (b'{"code": "ab\\u0000c"}', 400, "malformed_json"),
        (b"[" * 999, 400, "malformed_json"),
        (b"[]", 422, "invalid"),
        (b"{}", 422, "invalid"),
        (b'{"code": 1}', 422, "invalid"),
        (b'{"code": ""}', 422, "invalid"),
        (b'{"code": "a b"}', 422, "invalid"),
        (b'{"code": "abc\\n"}', 422, "invalid"),
        (b'{"code": "abc", "at": 1}', 422, "invalid"),
        (b'{"code": "%s"}' % (b"a" * 65), 422, "invalid"),
        (b'{"code": "%s"}' % (b"a" * 1000), 413, "body_too_large"),
    ],
)
async def test_what_tells_of_no_click_is_refused(world, body, status, code):
    await nothing_is_held(world)
    reply = await tell(world, body)
    assert (reply.status, reply.code, "set-cookie" in reply.headers) == (status, code, False)
    assert await nothing_is_held(world) == ["the-last"]


async def test_a_click_is_told_as_json_by_a_key_and_with_post(world):
    assert ((reply := await tell(world, content_type="text/plain")).status, reply.code) == (
        415,
        "unsupported_media_type",
    )
    assert ((reply := await tell(world, key=None)).status, reply.code) == (401, "unauthenticated")
    for kind, scope in (("secret", "wallet.write"), ("publishable", "catalog.read")):
        key = await world.new_key(world.store_id, kind, [scope])
        reply = await tell(world, key=key)
        assert (reply.status, reply.code, "set-cookie" in reply.headers) == (403, "insufficient_scope", False)
    reply = await world.call("GET", "/storefront/v1/clicks", key=world.publishable)
    assert (reply.status, reply.code, reply.headers["allow"]) == (405, "method_not_allowed", "POST")
    assert (await world.call("POST", "/storefront/v1/clicks/x", key=world.publishable)).status == 404
    reply = await tell(world, path="/storefront/v1/clicks?zz=1")
    assert (reply.status, json.loads(reply.body)["errors"][0]["code"]) == (422, "unknown_parameter")


async def test_carts_are_told_of_the_links_their_visitor_followed(world):
    cookie = cookie_of(world, await follow(world, "/r/demo/first"))
    cookie = cookie_of(world, await follow(world, "/r/demo/second", cookie=cookie))
    world.carts.seen.clear()
    claimed = {"x_regulars_touches": "mine.1", "cookie": cookie}
    for path in ("/storefront/v1/carts", "/storefront/v1/carts/cart_1/checkout"):
        await world.call("POST", path, key=world.publishable, body=b"{}", **claimed)
    assert [seen.headers["x-regulars-touches"] for seen in world.carts.seen] == [cookie.partition("=")[2]] * 2
    assert not any("cookie" in seen.headers for seen in world.carts.seen)


async def test_nobody_else_is_told_and_nobody_can_tell_it_themselves(world):
    cookie = cookie_of(world, await follow(world, "/r/demo/first"))
    world.carts.seen.clear()
    claimed = {"x_regulars_touches": "mine.1", "X_Regulars_Touches": "mine.2"}
    await world.call("GET", "/storefront/v1/carts/cart_1", key=world.publishable, cookie=cookie, **claimed)
    await world.call("POST", "/dev/v1/products", cookie=cookie, body=b"{}", **claimed)
    await world.call("POST", "/storefront/v1/carts", key=world.publishable, body=b"{}", **claimed)
    other = await world.open_store("other-touches")
    key = await world.new_key(other.store_id, "publishable")
    await world.call("POST", "/storefront/v1/carts", key=key, cookie=cookie, body=b"{}")
    assert [seen.headers.get("x-regulars-touches") for seen in world.carts.seen] == [None] * 4


async def test_clicks_wait_while_affiliates_is_away(world):
    world.affiliates.status = 503
    await follow(world, "/r/demo/patient")
    await handed_over(world, 2, "patient")
    world.affiliates.status = 200
    world.affiliates.seen.clear()
    await handed_over(world, 1, "patient")
    await asyncio.sleep(0.5)
    assert len(await handed_over(world, 1, "patient")) == 1


async def test_a_known_store_needs_no_database(world):
    await follow(world, "/r/demo/creator123")
    admin = await asyncpg.connect(world.database.admin_url)
    try:
        await admin.execute("REVOKE EXECUTE ON FUNCTION every_store FROM gateway_api")
        assert (await follow(world, "/r/demo/creator123")).status == 302
        reply = await follow(world, "/r/not-known-yet/creator123")
        assert (reply.status, reply.code) == (503, "unavailable")
    finally:
        await admin.execute("GRANT EXECUTE ON FUNCTION every_store TO gateway_api")
        await admin.close()


async def test_a_link_to_a_store_just_opened_works_at_once(world):
    assert (await follow(world, "/r/brand-new/a")).status == 404
    await world.open_store("brand-new")
    assert (await follow(world, "/r/brand-new/a")).status == 302


async def test_a_sandbox_page_is_its_stores_and_anybodys(world):
    world.carts.seen.clear()
    assert (await world.call("GET", "/sandbox/demo/pay_1", key=None)).status == 200
    caller = world.carts.seen[0].caller("carts")
    assert (caller.store_id, caller.actor, caller.scopes) == (world.store_id, "storefront", frozenset())
    assert (await world.call("GET", "/sandbox/nowhere/pay_1", key=None)).status == 404


class Counting(Directory):
    """Counts how often the database is asked."""

    readings = 0

    async def _read(self):
        self.readings += 1
        await super()._read()


async def test_a_crowd_asking_for_nobodys_slug_asks_the_database_once(world):
    directory = Counting(world.runtime.api)
    crowd = [directory.by_slug(f"nobody-{number}") for number in range(50)]
    assert {type(each) for each in await asyncio.gather(*crowd, return_exceptions=True)} == {NotFound}
    assert directory.readings == 1


async def test_the_only_store_is_any_hosts(world):
    """A short link on a host nobody registered leads to the one store there is, and to none if there are two."""
    await world.open_store("not-the-only-one")
    directory = Counting(world.runtime.api)
    await directory._read()
    only = next(iter(directory._by_slug.values()))
    directory._by_slug, directory._by_host = {only.slug: only}, {}
    assert await directory.by_host("whatever.example") == only
    await directory._read()
    with pytest.raises(NotFound):
        await directory.by_host("whatever.example")


async def test_before_the_first_reading_nobody_is_called_unknown(world, monkeypatch):
    async def away(conn):
        raise asyncpg.ConnectionDoesNotExistError

    monkeypatch.setattr(store, "every_store", away)
    with pytest.raises(Unavailable):
        await Directory(world.runtime.api).by_slug("demo")
