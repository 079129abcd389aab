"""``/r/{store_slug}/{code}`` and ``/r/{code}``: an affiliate's link, on its way to the store."""

from chassis import clock
from chassis.problems import NotFound
from gateway import clicks, headers, landing
from gateway.clicks import Click, Clicks
from gateway.directory import Directory
from gateway.headers import Raw
from gateway.refusals import OnlyRead
from gateway.store import Store

COOKIE = "regulars_ref"
_KEPT = 30 * 24 * 3600


class Links:
    """Follows links and counts the clicks."""

    def __init__(self, directory: Directory, taken: Clicks, *, visitor_pepper: str, secure: bool) -> None:
        self._directory = directory
        self._clicks = taken
        self._visitor_pepper = visitor_pepper
        self._cookie_end = f"; Max-Age={_KEPT}; Path=/; HttpOnly; SameSite=Lax{'; Secure' if secure else ''}"

    async def follow(self, method: str, path: str, sent: Raw, client_ip: str) -> list[tuple[bytes, bytes]]:
        """The headers of the redirect. Raises ``NotFound`` for what no link of ours can be."""
        if method not in {"GET", "HEAD"}:
            raise OnlyRead
        *slugs, code = path.split("/")[2:]
        if len(slugs) > 1 or not landing.CODE.fullmatch(code):
            raise NotFound("there is no such link")
        store = await self._store(slugs, sent)
        if method == "GET":
            self._note(store, code, sent, client_ip)
        return [
            (b"location", landing.url_for(store.url, code).encode()),
            (b"set-cookie", f"{COOKIE}={code}{self._cookie_end}".encode()),
            (b"cache-control", b"no-store"),
            (b"content-length", b"0"),
        ]

    async def _store(self, slugs: list[str], sent: Raw) -> Store:
        if not slugs:
            return await self._directory.by_host(headers.one(sent, b"host"))
        if not landing.SLUG.fullmatch(slugs[0]):
            raise NotFound("there is no such store")
        return await self._directory.by_slug(slugs[0])

    def _note(self, store: Store, code: str, sent: Raw, client_ip: str) -> None:
        now, user_agent = clock.now(), headers.one(sent, b"user-agent")
        visitor = clicks.visitor(self._visitor_pepper, store.store_id, client_ip, user_agent, now)
        self._clicks.add(store.store_id, Click(code, visitor, clicks.is_bot(user_agent), now))
