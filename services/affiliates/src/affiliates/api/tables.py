"""The lists of commissions and claims as tables: CSV (RFC 4180), in parts of at most 10,000 rows."""

import csv
import io
import re
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends, Query, Request
from starlette.responses import Response

from affiliates.api.commissions import show_to_staff
from affiliates.api.lists import page_of_claims, page_of_commissions, wanted_claims, wanted_commissions
from affiliates.api.shown import show_claim
from affiliates.claims import Claim
from affiliates.store_lists import SeenCommission, WantedClaims, WantedCommissions
from chassis.http import Api, Caller, Conn, policy
from chassis.pagination import CursorParameter, Page

router = Api()

Rows = Annotated[int, Query(ge=1, le=10_000)]
Row = list[object]

_SLICE = 1_000
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
# Behind what does not show; the last four are wide.
_FORMULA = re.compile("[\t\r\n]|[\\s\u200b-\u200f\u2060\ufeff]*[=+\\-@\uff1d\uff0b\uff0d\uff20]")

_COMMISSION = (
    *("id", "order_id", "code", "status", "reason", "amount", "currency", "rate_percent", "rate_from", "affiliate_id"),
    *("customer_id", "buyer_id", "base", "order_currency", "revenue", "verdict", "rule_ids", "earned_at", "payable_at"),
)
_CLAIM = (
    *("claim_id", "type", "status", "amount", "currency", "affiliate_id", "customer_id", "asset", "network", "address"),
    *("note", "reason", "explanation", "bonus", "wallet_transaction_id", "new_balance", "transaction_hash"),
    *("approvals", "approvable_at", "created_at", "ended_at"),
)


@router.get("/dev/v1/affiliates/commissions.csv")
@policy("affiliates.read")
async def commissions_as_table(
    request: Request,
    caller: Caller,
    conn: Conn,
    wanted: Annotated[WantedCommissions, Depends(wanted_commissions)],
    limit: Rows = 10_000,
    cursor: CursorParameter = None,
) -> Response:
    """The commissions of the store as a table, newest first; where the next part is says the Link header."""
    read = partial(page_of_commissions, conn, caller.store_id, wanted, show=_commission)
    return await _table(request, read, _COMMISSION, cursor, limit)


@router.get("/dev/v1/affiliates/claims.csv")
@policy("affiliates.read")
async def claims_as_table(
    request: Request,
    caller: Caller,
    conn: Conn,
    wanted: Annotated[WantedClaims, Depends(wanted_claims)],
    limit: Rows = 10_000,
    cursor: CursorParameter = None,
) -> Response:
    """The claims of the store as a table, newest first; where the next part is says the Link header."""
    read = partial(page_of_claims, conn, caller.store_id, wanted, show=_claim)
    return await _table(request, read, _CLAIM, cursor, limit)


async def _table(
    request: Request,
    read: Callable[[str | None, int], Awaitable[Page[Row]]],
    columns: Sequence[str],
    cursor: str | None,
    limit: int,
) -> Response:
    """Up to ``limit`` rows, read a slice at a time: all that is kept of them is their text."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    left, first = limit, True
    while left and (first or cursor is not None):
        page = await read(cursor, min(left, _SLICE))
        writer.writerows([_cell(value) for value in row] for row in page.data)
        left, first, cursor = left - len(page.data), False, page.next_cursor
    headers = {"content-disposition": f"attachment; filename={request.url.path.rpartition('/')[2]}"}
    if cursor is not None:
        query = urlencode({**request.query_params, "cursor": cursor})
        headers["link"] = f'<{request.url.path}?{query}>; rel="next"'
    return Response(text.getvalue(), headers=headers, media_type="text/csv; charset=utf-8")


def _cell(value: object) -> object:
    """A value as a cell. A text that a spreadsheet would take for a formula begins with an apostrophe."""
    if isinstance(value, list):
        value = " ".join(map(str, value))
    if not isinstance(value, str) or _NUMBER.fullmatch(value):
        return value
    return f"'{value}" if _FORMULA.match(value) else value


def _commission(seen: SeenCommission) -> Row:
    return _row(_COMMISSION, show_to_staff(seen).model_dump(mode="json"))


def _claim(claim: Claim) -> Row:
    more = {"currency": claim.currency, "affiliate_id": claim.affiliate_id, "customer_id": claim.customer_id}
    return _row(_CLAIM, show_claim(claim).model_dump(mode="json") | more | {"approvals": list(claim.approvals)})


def _row(columns: Sequence[str], shown: dict[str, object]) -> Row:
    return [shown[column] for column in columns]
