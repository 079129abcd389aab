"""``/asyncapi`` and ``/asyncapi.json``: for everybody, whole in themselves, fetched once."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from contracts import schemas, topics
from contracts.fields import fields
from gateway import catalogue, pages

PATHS = ("/asyncapi", "/asyncapi.json")


async def get(world, path, method="GET", **headers):
    return await world.call(method, path, key=None, **headers)


class Seen(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.acts: list[str] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag != "meta":
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name == "href" and tag == "a":
                self.links.append(value)
            elif name in {"src", "href", "srcset", "data", "action", "style"}:
                self.loads.append(f"{tag} {name}={value}")
            if name.startswith("on"):
                self.acts.append(name)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def page() -> str:
    return pages.own()["/asyncapi"].body.decode()


@pytest.mark.parametrize("path", PATHS)
async def test_a_page_is_for_everybody_and_comes_once(world, path):
    first = await get(world, path)
    assert first.status == 200
    assert first.headers["cache-control"] == "public, max-age=60"
    assert first.headers["x-content-type-options"] == "nosniff"
    assert first.headers["x-request-id"]
    etag = first.headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = await get(world, path, if_none_match=known)
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", etag)
        assert "content-type" not in again.headers
    assert (await get(world, path, if_none_match='"other"')).body == first.body


@pytest.mark.parametrize("path", PATHS)
async def test_a_page_can_be_asked_for_its_head_and_not_be_written(world, path):
    whole, head = await get(world, path), await get(world, path, "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.body))
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        refused = await get(world, path, method)
        assert (refused.status, refused.code, refused.headers["allow"]) == (405, "method_not_allowed", "GET, HEAD")


async def test_nothing_lies_below_a_page(world):
    for path in ("/asyncapi/", "/asyncapi/x", "/asyncapi.json/x", "/Asyncapi"):
        assert (await get(world, path)).status in {400, 404}


async def test_the_document_is_the_committed_one(world):
    reply = await get(world, "/asyncapi.json")
    assert reply.headers["content-type"] == "application/json"
    assert json.loads(reply.body)["asyncapi"].startswith("3.")


async def test_a_browser_is_told_to_load_nothing_and_to_use_the_style_inside(world):
    reply = await get(world, "/asyncapi")
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    style = reply.body.partition(b"<style>")[2].partition(b"</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style).digest()).decode()
    policy = reply.headers["content-security-policy"].split("; ")
    assert policy[:2] == ["default-src 'none'", f"style-src 'sha256-{digest}'"]
    assert all(said.endswith("'none'") for said in policy[2:])


def test_the_page_asks_for_nothing_and_runs_nothing():
    seen = Seen(page())
    assert (seen.loads, seen.acts, seen.open) == ([], [], [])
    assert not {"script", "link", "img", "iframe", "form", "object", "base"} & set(seen.tags)
    style = page().partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


def test_every_link_leads_somewhere():
    seen = Seen(page())
    assert len(set(seen.ids)) == len(seen.ids)
    assert {link for link in seen.links if not link.startswith("#")} == {"/asyncapi.json"}
    assert {link[1:] for link in seen.links if link.startswith("#")} <= set(seen.ids)


def test_a_person_reads_every_topic_event_and_field_with_a_sample():
    html = page()
    ids = Seen(html).ids
    assert {f"topic-{topic.name}" for topic in topics.ALL} <= set(ids)
    for event in schemas.events():
        article = html.partition(f'<article id="{event.TYPE}">')[2].partition("</article>")[0]
        shown = re.findall(r"<tr><td><code>([^<]+)</code></td>", article)
        assert shown == list(fields(event))
        assert "told by" in article
        assert "<pre>{\n" in article.replace("&quot;", '"')


def test_the_page_says_who_tells_and_who_hears():
    article = page().partition('<article id="screening.requested">')[2].partition("</article>")[0]
    assert "told by carts, customers, heard by <code>fraud-block.ask</code>." in article
    row = re.search(r"<tr><th scope=\"row\"><a href=\"#topic-orders\">.*?</tr>", page())[0]
    assert re.findall(r"<b class=(\w+)>", row) == ["hears", "tells", "hears"]


def test_what_a_document_says_is_text_on_the_page():
    document = json.loads(pages.own()["/asyncapi.json"].body)
    evil = "<script>alert(1)</script>"
    document["info"] |= {"title": evil, "description": evil}
    message = document["components"]["messages"]["store.created"]
    message["description"] = f"`{evil}`"
    message["examples"][0]["payload"]["slug"] = evil
    html = catalogue.html(document, "")
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 5
