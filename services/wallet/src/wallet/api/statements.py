"""Where credit stood at any time, and what moved it in any period."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, Field

from chassis import clock, stores
from chassis.http import Api, Caller, Conn, Data, policy
from chassis.money import Major, major
from chassis.pagination import SEQUENCE, CursorParameter, Limit, Page, only_key, page_of, read_cursor
from chassis.periods import Moment, Since, Until, check_period
from chassis.problems import Flaw, Invalid
from wallet import store_lists, store_statements
from wallet.api.shown import TransactionReply, show
from wallet.statements import Statement

router = Api()


class BalanceReply(BaseModel):
    """Credit and debt as ``transaction_id``, the last transaction until ``at``, left them; null: there was none."""

    customer_id: str
    currency: str
    at: datetime
    balance: Major
    debt: Major
    transaction_id: str | None


class TypeReply(BaseModel):
    """What the transactions of a type come to."""

    type: str
    count: int
    credited: Major
    deducted: Major
    debt_incurred: Major
    debt_repaid: Major


class StatementReply(BaseModel):
    """A period from ``from`` until before ``to``; one that is not over is told so far.

    ``closing_balance`` is ``opening_balance`` + ``credited`` - ``deducted``, and debt likewise. A transaction on debt
    is none of credit; what pays debt with credit is a deduction.
    """

    currency: str
    since: datetime = Field(serialization_alias="from")
    until: datetime = Field(serialization_alias="to")
    opening_balance: Major
    credited: Major
    deducted: Major
    closing_balance: Major
    opening_debt: Major
    debt_incurred: Major
    debt_repaid: Major
    closing_debt: Major
    by_type: list[TypeReply]


class StatementPage(Page[TransactionReply]):
    """A customer's transactions in a period, oldest first, and what the whole period comes to."""

    statement: StatementReply


@router.get("/dev/v1/customers/{customer_id}/wallet/balance")
@policy("wallet.read")
async def balance(
    customer_id: str, caller: Caller, conn: Conn, at: Annotated[Moment | None, Query()] = None
) -> Data[BalanceReply]:
    """What a customer had, and owed, at a time that has passed; now unless told."""
    now = clock.now()
    if at is not None and at > now:
        raise Invalid(errors=[Flaw(pointer="/query/at", code="at_future", message="nobody knows yet")])
    at = at or now
    currency = await stores.currency(conn, caller.store_id)
    stood = await store_statements.standing_before(conn, caller.store_id, customer_id, at + timedelta(microseconds=1))
    return Data(
        data=BalanceReply(
            customer_id=customer_id,
            currency=currency,
            at=at,
            balance=major(stood.balance_minor, currency),
            debt=major(stood.debt_minor, currency),
            transaction_id=stood.entry_id,
        )
    )


@router.get("/dev/v1/customers/{customer_id}/wallet/statement")
@policy("wallet.read")
async def statement_of_customer(
    customer_id: str,
    since: Since,
    until: Until,
    caller: Caller,
    conn: Conn,
    limit: Limit = 25,
    cursor: CursorParameter = None,
) -> StatementPage:
    """What a period did to a customer's credit.

    The period is a range of the customer's sequence: entries never change, so the statements read here agree.
    """
    check_period(since, until)
    store_id, filters = caller.store_id, [customer_id, since, until]
    after = only_key(read_cursor(cursor, filters), SEQUENCE)
    opening = await store_statements.standing_before(conn, store_id, customer_id, since)
    closing = await store_statements.standing_before(conn, store_id, customer_id, until)
    moved = await store_statements.moved(conn, store_id, customer_id, opening.sequence, closing.sequence)
    start = max(after or 0, opening.sequence)
    rows = await store_lists.transactions_between(conn, store_id, customer_id, start, closing.sequence, limit + 1)
    page = page_of(rows, limit, show, lambda row: [row.entry.sequence], filters)
    statement = Statement(opening.balance_minor, opening.debt_minor, moved)
    currency = await stores.currency(conn, store_id)
    return StatementPage(
        data=page.data,
        has_more=page.has_more,
        next_cursor=page.next_cursor,
        statement=_show(statement, since, until, currency),
    )


@router.get("/dev/v1/wallet/statement")
@policy("wallet.read")
async def statement_of_store(since: Since, until: Until, caller: Caller, conn: Conn) -> Data[StatementReply]:
    """What a period did to the credit of all customers."""
    check_period(since, until)
    statement = await store_statements.statement_of_store(conn, caller.store_id, since, until)
    return Data(data=_show(statement, since, until, await stores.currency(conn, caller.store_id)))


def _show(statement: Statement, since: datetime, until: datetime, currency: str) -> StatementReply:
    return StatementReply(
        currency=currency,
        since=since,
        until=until,
        opening_balance=major(statement.opening_minor, currency),
        credited=major(statement.credited_minor, currency),
        deducted=major(statement.deducted_minor, currency),
        closing_balance=major(statement.closing_minor, currency),
        opening_debt=major(statement.opening_debt_minor, currency),
        debt_incurred=major(statement.incurred_minor, currency),
        debt_repaid=major(statement.repaid_minor, currency),
        closing_debt=major(statement.closing_debt_minor, currency),
        by_type=[
            TypeReply(
                type=moved.type,
                count=moved.entries,
                credited=major(moved.credited_minor, currency),
                deducted=major(moved.deducted_minor, currency),
                debt_incurred=major(moved.incurred_minor, currency),
                debt_repaid=major(moved.repaid_minor, currency),
            )
            for moved in statement.by_type
        ],
    )
