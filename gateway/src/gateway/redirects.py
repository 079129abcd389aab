"""``/r/{store_slug}/{code}`` and ``/r/{code}``: an affiliate's link, on its way to the store; and ``POST CLICKS``.

A storefront says by the latter that a visitor came to it with ``?ref=code`` and not over us: it counts the same.
"""

import json

from chassis import clock
from chassis.money import parse_json
from chassis.problems import Flaw, Invalid, MalformedJson, NotFound, UnsupportedMediaType
from gateway import clicks, headers, landing, touches
from gateway.clicks import Click, Clicks
from gateway.directory import Directory
from gateway.headers import Raw
from gateway.incoming import Incoming
from gateway.refusals import OnlyRead
from gateway.store import Store

CLICKS = "/storefront/v1/clicks"


class Links:
    """Follows links and counts the clicks."""

    def __init__(self, directory: Directory, taken: Clicks, *, visitor_pepper: str, secure: bool) -> None:
        self._directory = directory
        self._clicks = taken
        self._visitor_pepper = visitor_pepper
        self._secure = secure

    async def follow(self, request: Incoming, client_ip: str) -> list[tuple[bytes, bytes]]:
        """The headers of the redirect. Raises ``NotFound`` for what no link of ours can be."""
        method, sent = request.method, request.headers
        if method not in {"GET", "HEAD"}:
            raise OnlyRead
        *slugs, code = request.path.removesuffix("/").split("/")[2:]
        if len(slugs) > 1 or not landing.CODE.fullmatch(code):
            raise NotFound("there is no such link")
        store = await self._store(slugs, sent)
        found = [
            (b"location", landing.url_for(store.url, code, request.query).encode()),
            (b"cache-control", b"no-store"),
            (b"content-length", b"0"),
        ]
        return found if method == "HEAD" else [*found, self.click(store.store_id, code, sent, client_ip)]

    def click(self, store_id: str, code: str, sent: Raw, client_ip: str) -> tuple[bytes, bytes]:
        """Take a click on a link; the header by which the browser remembers it."""
        now, user_agent = clock.now(), headers.one(sent, b"user-agent")
        visitor = clicks.visitor(self._visitor_pepper, store_id, client_ip, user_agent, now)
        self._clicks.add(store_id, Click(code, visitor, clicks.is_bot(user_agent), now))
        before = touches.of(sent, store_id, now)
        return touches.cookie(store_id, touches.followed(before, code, now), secure=self._secure)

    async def _store(self, slugs: list[str], sent: Raw) -> Store:
        if not slugs:
            return await self._directory.by_host(headers.one(sent, b"host"))
        slug = slugs[0].lower()
        if not landing.SLUG.fullmatch(slug):
            raise NotFound("there is no such store")
        return await self._directory.by_slug(slug)


def code_in(request: Incoming, body: bytes) -> str:
    """The code that a body ``{"code": …}`` names. Raises a problem for any other body, and for a query."""
    if request.query:
        raise Invalid(errors=[Flaw(pointer="/query", code="unknown_parameter", message="This route has no parameters")])
    if headers.one(request.headers, b"content-type").partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedMediaType
    try:
        told = parse_json(body)
    except json.JSONDecodeError as error:
        raise MalformedJson(error.msg) from None
    code = told.get("code") if isinstance(told, dict) and len(told) == 1 else None
    if not isinstance(code, str) or not landing.CODE.fullmatch(code):
        message = 'A body such as {"code": "creator123"} belongs here, and nothing more'
        raise Invalid(errors=[Flaw(pointer="/code", code="code_format", message=message)])
    return code
