"""What a period did to an affiliate's money (features A8, §2.3)."""

from datetime import datetime

from pydantic import BaseModel, Field

from affiliates import store_statements
from affiliates.api.movements import MovementReply, bucket_name, kind_name, show_movement
from affiliates.api.shown import affiliate_of, show_balances
from affiliates.journal import Balances, Kind
from affiliates.statements import Statement
from affiliates.store_statements import Line
from chassis import stores
from chassis.http import Api, Caller, Conn, policy
from chassis.money import Major, major
from chassis.pagination import SEQUENCE, CursorParameter, Limit, Page, only_key, page_of, read_cursor
from chassis.periods import Since, Until, check_period

router = Api()


class LineReply(MovementReply):
    """A movement and what caused it: a commission, a claim, or another affiliate who became this one."""

    commission_id: str | None
    claim_id: str | None
    other_affiliate_id: str | None


class StandingReply(BaseModel):
    """Where money was at a time; ``debt`` is what was taken and then reversed."""

    pending: Major
    available: Major
    debt: Major
    requested: Major
    converted: Major
    paid: Major


class MovesReply(BaseModel):
    """What the movements of a kind from one place to another come to."""

    kind: str
    source: str = Field(serialization_alias="from")
    target: str = Field(serialization_alias="to")
    count: int
    amount: Major


class StatementReply(BaseModel):
    """A period from ``from`` until before ``to``; one that is not over is told so far.

    Each place closes with what it opened with, plus the ``moves`` to it, less those from it; the place of ``available``
    moves is ``available`` less ``debt``. Of a merge, ``merged`` is what came with other affiliates, less what went.
    """

    currency: str
    since: datetime = Field(serialization_alias="from")
    until: datetime = Field(serialization_alias="to")
    opening: StandingReply
    earned: Major
    reversed: Major
    matured: Major
    held: Major
    requested: Major
    converted: Major
    paid: Major
    returned: Major
    merged: Major
    closing: StandingReply
    moves: list[MovesReply]


class StatementPage(Page[LineReply]):
    """An affiliate's movements in a period, oldest first, and what the whole period comes to."""

    statement: StatementReply


@router.get("/dev/v1/customers/{customer_id}/affiliate/statement")
@policy("customers.read")
async def statement_of_affiliate(
    customer_id: str,
    since: Since,
    until: Until,
    caller: Caller,
    conn: Conn,
    limit: Limit = 25,
    cursor: CursorParameter = None,
) -> StatementPage:
    """What a period did to an affiliate's money."""
    check_period(since, until)
    affiliate = await affiliate_of(conn, caller.store_id, customer_id)
    filters = [affiliate.affiliate_id, since, until]
    after = only_key(read_cursor(cursor, filters), SEQUENCE)
    statement, last_seq = await store_statements.statement_of(conn, affiliate, since, until)
    rows = await store_statements.lines_between(conn, affiliate, since, until, last_seq, after, limit + 1)
    currency = await stores.currency(conn, caller.store_id)
    page = page_of(rows, limit, lambda line: _line(line, currency), lambda line: [line.seq], filters)
    return StatementPage(
        data=page.data,
        has_more=page.has_more,
        next_cursor=page.next_cursor,
        statement=_show(statement, since, until, currency),
    )


def _line(line: Line, currency: str) -> LineReply:
    posting = line.posting
    return LineReply(
        **dict(show_movement(posting, currency)),
        commission_id=posting.commission_id,
        claim_id=posting.claim_id,
        other_affiliate_id=posting.other_affiliate_id,
    )


def _show(statement: Statement, since: datetime, until: datetime, currency: str) -> StatementReply:
    def total(kind: Kind) -> Major:
        return major(statement.total(kind), currency)

    return StatementReply(
        currency=currency,
        since=since,
        until=until,
        opening=_standing(statement.opening, currency),
        earned=total(Kind.EARNED),
        reversed=total(Kind.REVERSED),
        matured=total(Kind.MATURED),
        held=total(Kind.HELD),
        requested=total(Kind.RESERVED),
        converted=total(Kind.CONVERTED),
        paid=total(Kind.PAID),
        returned=total(Kind.RETURNED),
        merged=major(statement.merged_minor, currency),
        closing=_standing(statement.closing, currency),
        moves=[
            MovesReply(
                kind=kind_name(move.kind),
                source=bucket_name(move.source),
                target=bucket_name(move.target),
                count=move.count,
                amount=major(move.amount_minor, currency),
            )
            for move in statement.moves
        ],
    )


def _standing(balances: Balances, currency: str) -> StandingReply:
    return StandingReply(**show_balances(balances, currency))
