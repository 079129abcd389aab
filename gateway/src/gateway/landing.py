"""Where an affiliate's link leads: to the store's own address and nowhere else."""

import re

SLUG = re.compile(r"[a-z0-9](?:-?[a-z0-9]){0,62}")
CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9-]+(?:\.[a-z0-9-]+)*")
# One parameter as its visitor sent it: a plain name, so that no reader takes it for another.
_PARAMETER = re.compile(r"([A-Za-z0-9._~-]{1,64})(?:=(?:[A-Za-z0-9._~!$'()*+,:@/?=-]|%[0-9A-Fa-f]{2})*)?")
_LONGEST_QUERY = 2_000
_URL = re.compile(r"https?://[a-z0-9-]+(?:\.[a-z0-9-]+)*(?::[0-9]{1,5})?(?:/[A-Za-z0-9/._~!$&'()*+,;=:@%?-]*)?")


def check_store(slug: str, url: str, host: str | None) -> None:
    """Raises ``ValueError`` unless a store may be known by these: no user, no fragment, no space in its URL."""
    if not SLUG.fullmatch(slug):
        raise ValueError("a slug is 1 to 63 small letters and digits, with single dashes between them")
    if not _URL.fullmatch(url):
        raise ValueError("a store's URL is http(s)://host[:port][/path]")
    if host is not None and not _HOST.fullmatch(host):
        raise ValueError("a host is a name in small letters, without a port")


def url_for(store_url: str, code: str, query: str = "") -> str:
    """The store's URL with a checked code added, and behind it what the visitor's own query holds besides."""
    scheme, _, rest = store_url.partition("://")
    if "/" not in rest:
        rest += "/"
    return "&".join([f"{scheme}://{rest}{'&' if '?' in rest else '?'}ref={code}", *_own(query)])


def _own(query: str) -> list[str]:
    """The visitor's parameters, such as a campaign's; none that says ``ref`` too, and none at all if they are too long."""
    found = [_PARAMETER.fullmatch(part) for part in query.split("&")]
    kept = [part[0] for part in found if part and part[1].lower() != "ref"]
    return kept if len(query) <= _LONGEST_QUERY else []
