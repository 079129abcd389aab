"""Lists whose rows name a customer, shown with who that is: two services' answers in one (features W5).

A list does not depend on the contacts: where they cannot be had soon it is given without, and ``contacts`` beside its
rows says so. They are written into the text of the list, which is kept as it came: an amount is never read and written.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import StrEnum
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import structlog

from chassis.problems import Problem
from chassis.tokens import Caller
from gateway.identity import Tokens
from gateway.proxy import Outgoing, Upstream

log = structlog.get_logger()

# Lists of other services than customers; each row has a ``customer_id`` and gets a ``customer``.
LISTS = frozenset({"/dev/v1/wallet/transactions"})

Row = Mapping[str, Any]
Contact = Mapping[str, str | None]

_SCOPE = "customers.read"
_WITHIN = 2.0
_OPENING = '{"data":['  # as the chassis writes a page
_DECODER = json.JSONDecoder(parse_float=str, parse_int=str)


class Told(StrEnum):
    """Why the rows of a list have contacts, or have none."""

    SHOWN = "shown"
    WITHHELD = "withheld"  # the key may not read customers
    AWAY = "away"


class Contacts:
    """Asks customers who the people of a list are."""

    def __init__(self, customers: Upstream, tokens: Tokens) -> None:
        self._customers = customers
        self._tokens = tokens

    async def added(self, page: bytes, *, caller: Caller, request_id: str) -> bytes:
        """A page with its contacts. Raises ``ValueError``: it is not a page of rows that name a customer."""
        text = page.decode()
        rows = list(rows_of(text))
        if _SCOPE not in caller.scopes:
            return written(text, rows, {}, Told.WITHHELD).encode()
        found = await self._of(caller.store_id, {row["customer_id"] for row, _ in rows}, request_id)
        return written(text, rows, found or {}, Told.AWAY if found is None else Told.SHOWN).encode()

    async def _of(self, store_id: str, customer_ids: Collection[str], request_id: str) -> dict[str, Contact] | None:
        """Who has these ids, as far as they are anybody's; ``None``: customers did not say."""
        if not customer_ids:
            return {}
        told = [
            ("authorization", f"Bearer {self._tokens.own_token(store_id, self._customers.name)}"),
            ("x-request-id", request_id),
        ]
        query = urlencode([("id", customer_id) for customer_id in sorted(customer_ids)])
        request = Outgoing(store_id, "GET", "/internal/v1/contacts", query, told, b"", within=_WITHIN)
        try:
            async with self._customers.answer_to(request) as response:
                body = await response.read()
        except Problem:
            return None
        if response.status != HTTPStatus.OK:
            log.warning("contacts_not_told", status=response.status, request_id=request_id)
            return None
        found: dict[str, Contact] = json.loads(body)["data"]
        return found


def rows_of(page: str) -> Iterator[tuple[Row, int]]:
    """The rows of a page, each with where its text ends. Raises ``ValueError``."""
    if not page.startswith(_OPENING):
        raise ValueError("not a page")
    at = len(_OPENING)
    while not page.startswith("]", at):
        row, end = _DECODER.raw_decode(page, at)
        if not isinstance(row, dict) or "customer_id" not in row:
            raise ValueError("a row names no customer")
        yield row, end
        at = end + page.startswith(",", end)


def written(page: str, rows: Sequence[tuple[Row, int]], contacts: Mapping[str, Contact], told: Told) -> str:
    """The page with a ``customer`` at the end of each row, and ``contacts`` at its own end."""
    parts, at = [], 0
    for row, end in rows:
        contact = json.dumps(contacts.get(row["customer_id"]), ensure_ascii=False, separators=(",", ":"))
        parts.append(f'{page[at : end - 1]},"customer":{contact}}}')
        at = end
    parts.append(f'{page[at : page.rindex("}")]},"contacts":"{told}"}}')
    return "".join(parts)
