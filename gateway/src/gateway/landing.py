"""Where an affiliate's link leads: to the store's own address and nowhere else."""

import re

SLUG = re.compile(r"[a-z0-9](?:-?[a-z0-9]){0,62}")
CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9-]+(?:\.[a-z0-9-]+)*")
_URL = re.compile(r"https?://[a-z0-9-]+(?:\.[a-z0-9-]+)*(?::[0-9]{1,5})?(?:/[A-Za-z0-9/._~!$&'()*+,;=:@%?-]*)?")


def check_store(slug: str, url: str, host: str | None) -> None:
    """Raises ``ValueError`` unless a store may be known by these: no user, no fragment, no space in its URL."""
    if not SLUG.fullmatch(slug):
        raise ValueError("a slug is 1 to 63 small letters and digits, with single dashes between them")
    if not _URL.fullmatch(url):
        raise ValueError("a store's URL is http(s)://host[:port][/path]")
    if host is not None and not _HOST.fullmatch(host):
        raise ValueError("a host is a name in small letters, without a port")


def url_for(store_url: str, code: str) -> str:
    """The store's URL with a checked code added."""
    scheme, _, rest = store_url.partition("://")
    if "/" not in rest:
        rest += "/"
    return f"{scheme}://{rest}{'&' if '?' in rest else '?'}ref={code}"
