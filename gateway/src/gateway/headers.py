"""What passes between a caller and a service, and what does not.

Names that only we may say (``x-regulars-…``, the token, the trace, who asked) are dropped from what a caller sent and
set anew, so a service may believe them.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from gateway.refusals import HeadersTooLarge, MalformedRequest

Raw = Sequence[tuple[bytes, bytes]]
Network = IPv4Network | IPv6Network

CLIENT_IP = "x-regulars-client-ip"
TIME_LEFT = "x-regulars-time-left-ms"

_LARGEST = 16_384
_NAME = re.compile(rb"[a-z0-9-]+")
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{8,64}")
_ONCE = frozenset({b"host", b"authorization", b"content-length", b"content-type", b"idempotency-key"})
_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_NOT_A_CALLERS = _HOP_BY_HOP | {
    b"authorization",
    b"content-length",
    b"cookie",
    b"expect",
    b"forwarded",
    b"host",
    b"traceparent",
    b"via",
    b"x-real-ip",
    b"x-request-id",
}
_NOT_A_SERVICES = _HOP_BY_HOP | {b"date", b"server", b"x-request-id"}
_OURS = (b"x-regulars-", b"x-forwarded-")
_UNLESS_SAID = (
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)


def check(sent: Raw) -> None:
    """Refuse headers that are too large, or that two readers could read in two ways."""
    if sum(len(name) + len(value) for name, value in sent) > _LARGEST:
        raise HeadersTooLarge(f"all headers together may have {_LARGEST} bytes")
    twice = [name for name, count in Counter(name for name, _ in sent if name in _ONCE).items() if count > 1]
    if twice:
        raise MalformedRequest(f"the header {twice[0].decode()} came twice")


def one(sent: Raw, wanted: bytes) -> str:
    """The first value of a header, empty without one."""
    return next((value.decode("latin-1") for name, value in sent if name == wanted), "")


def request_id(sent: Raw) -> str | None:
    """The caller's own request id, if it looks like one."""
    given = one(sent, b"x-request-id")
    return given if _REQUEST_ID.fullmatch(given) else None


def for_service(sent: Raw, ours: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers a service gets: the caller's, without those that are ours to say, and ours."""
    dropped = _NOT_A_CALLERS | _named_by_connection(sent)
    passed = [
        (name.decode("latin-1"), value.decode("utf-8", "replace"))
        for name, value in sent
        if name not in dropped and not name.startswith(_OURS) and _NAME.fullmatch(name)
    ]
    return [*passed, *ours]


def for_caller(answered: Raw, ours: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers a caller gets: the service's, without its hop, and ours."""
    lowered = [(name.lower(), value) for name, value in answered]
    dropped = _NOT_A_SERVICES | _named_by_connection(lowered)
    passed = [(name, value) for name, value in lowered if name not in dropped and not name.startswith(_OURS)]
    said = {name for name, _ in passed}
    return [*passed, *(header for header in _UNLESS_SAID if header[0] not in said), *ours]


def client_ip(peer: str, sent: Raw, trusted: Sequence[Network]) -> str:
    """Who calls: the peer, or whom the last of our own proxies names. Empty when it cannot be told."""
    address = _address(peer)
    if not trusted:
        return str(address or "")
    named = ",".join(value.decode("latin-1") for name, value in sent if name == b"x-forwarded-for").split(",")
    while named and address is not None and any(address in network for network in trusted):
        before = _address(named.pop().strip())
        if before is None:
            break
        address = before
    return str(address or "")


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def _named_by_connection(headers: Raw) -> set[bytes]:
    return {token.strip().lower() for name, value in headers if name == b"connection" for token in value.split(b",")}
