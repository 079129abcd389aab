"""Where a path leads: one table, decided on the path as it was sent.

A path with anything that a service could read differently than we do (an encoded slash, dot or letter, an empty
segment, a ``;``) is refused instead of understood, so no spelling of a path reaches a service by another's route.
"""

import re
from dataclasses import dataclass, field
from enum import Enum

from gateway.refusals import MalformedRequest, UriTooLong

_LONGEST_PATH = 2_048
_LONGEST_QUERY = 8_192
# What may be written with a percent sign: what a path cannot hold otherwise, and bytes of UTF-8.
_ENCODED = "|".join(f"{byte:02x}" for byte in [*b" !\"$&()*+,:<=>@[]^`{|}'", *range(0x80, 0x100)])
_SEGMENT = rf"(?!\.\.?(?:/|$))(?:[A-Za-z0-9._~!$&'()*+,=:@-]|%(?i:{_ENCODED}))+"
_PATH = re.compile(rf"(?:/{_SEGMENT})+|/r(?:/{_SEGMENT}){{1,2}}/|/")  # people end a link with a slash
_QUERY = re.compile(r"[!-~]*")


class Takes(Enum):
    """Who may come by a route."""

    SECRET_KEY = "a secret key"  # noqa: S105  (not one)
    ANY_KEY = "a publishable or a secret key"
    VISITOR = "anybody; the path names the store"


@dataclass(frozen=True, slots=True)
class Route:
    """A path (``*`` stands for one segment) and everything below it belongs to a service.

    ``body_bytes`` is how much a body may have where it is more than elsewhere.
    """

    path: str
    service: str
    takes: Takes
    body_bytes: int = 0


def _routes(takes: Takes, services: dict[str, str]) -> tuple[Route, ...]:
    return tuple(Route(path, service, takes) for path, service in services.items())


TABLE = (
    *_routes(
        Takes.SECRET_KEY,
        {
            "/dev/v1/customers": "customers",
            "/dev/v1/customers/*/wallet": "wallet",
            "/dev/v1/wallet": "wallet",
            "/dev/v1/customers/*/affiliate": "affiliates",
            "/dev/v1/affiliates": "affiliates",
            "/dev/v1/blocks": "fraud-block",
            "/dev/v1/products": "carts",
            "/dev/v1/carts": "carts",
            "/dev/v1/orders": "carts",
            "/dev/v1/invoices": "carts",
        },
    ),
    *_routes(
        Takes.ANY_KEY,
        {
            "/storefront/v1/products": "carts",
            "/storefront/v1/carts": "carts",
            "/storefront/v1/orders": "carts",
        },
    ),
    Route("/dev/v1/wallet/promotions", "wallet", Takes.SECRET_KEY, body_bytes=4_000_000),
    Route("/sandbox/*/*", "carts", Takes.VISITOR),
)


@dataclass(slots=True)
class _Node:
    route: Route | None = None
    below: dict[str, "_Node"] = field(default_factory=dict)


class Map:
    """The table, ready to be asked."""

    def __init__(self, table: tuple[Route, ...] = TABLE) -> None:
        self._root = _Node()
        for route in table:
            node = self._root
            for segment in route.path.split("/")[1:]:
                node = node.below.setdefault(segment, _Node())
            node.route = route

    def find(self, path: str) -> Route | None:
        """The longest route that a checked path lies on or below."""
        node, found = self._root, None
        for segment in path.split("/")[1:]:
            below = node.below.get(segment) or node.below.get("*")
            if below is None:
                break
            node, found = below, below.route or found
        return found


def checked(raw_path: bytes, raw_query: bytes) -> tuple[str, str]:
    """The path and query of a request as text. Raises ``UriTooLong`` and ``MalformedRequest``."""
    if len(raw_path) > _LONGEST_PATH or len(raw_query) > _LONGEST_QUERY:
        raise UriTooLong
    path, query = raw_path.decode("latin-1"), raw_query.decode("latin-1")
    if not _PATH.fullmatch(path):
        raise MalformedRequest("the path is not one of ours")
    if not _QUERY.fullmatch(query) or "#" in query:
        raise MalformedRequest("the query is not well-formed")
    return path, query
