"""A customer's credit, its grants and the history of transactions (features W5, W6)."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Query
from pydantic import BaseModel, Field, TypeAdapter

from chassis import stores
from chassis.http import Api, Caller, Conn, Data, policy
from chassis.money import Major, major
from chassis.pagination import SEQUENCE, CursorParameter, Limit, Page, only_key, page_of, read_cursor
from chassis.periods import PerhapsSince, PerhapsUntil, check_period
from contracts.ids import WalletEntryId
from contracts.wallet import EntryType
from wallet import store_lists
from wallet.api.shown import TransactionReply, show
from wallet.grants import Grant
from wallet.store_lists import Wanted

router = Api()

_EntryId: TypeAdapter[str] = TypeAdapter(WalletEntryId)


class ExpiryReply(BaseModel):
    """Credit that is gone at ``at``, unless it is spent or held then."""

    amount: Major
    at: datetime


class WalletReply(BaseModel):
    """A customer's credit: ``held`` of ``balance`` is set aside for orders, ``available`` can be spent.

    ``debt`` is what was taken back and had been spent; the next credit pays it.
    """

    customer_id: str
    currency: str
    balance: Major
    held: Major
    available: Major
    debt: Major
    next_expiry: ExpiryReply | None


@router.get("/dev/v1/customers/{customer_id}/wallet")
@policy("wallet.read")
async def wallet(customer_id: str, caller: Caller, conn: Conn) -> Data[WalletReply]:
    """A customer's credit."""
    found = await store_lists.credit_of(conn, caller.store_id, customer_id)
    currency = found.currency if found else await stores.currency(conn, caller.store_id)
    credit = found or store_lists.Credit(currency)
    expiry = None
    if credit.expires_at is not None:
        expiry = ExpiryReply(amount=major(credit.expiring_minor, currency), at=credit.expires_at)
    return Data(
        data=WalletReply(
            customer_id=customer_id,
            currency=currency,
            balance=major(credit.balance_minor, currency),
            held=major(credit.held_minor, currency),
            available=major(credit.balance_minor - credit.held_minor, currency),
            debt=major(credit.debt_minor, currency),
            next_expiry=expiry,
        )
    )


class GrantReply(BaseModel):
    """Credit of a transaction, by whose id it goes: ``held`` of what is ``left`` is set aside for orders."""

    id: str
    type: str
    amount: Major
    left: Major
    held: Major
    currency: str
    expires_at: datetime | None = Field(description="When what is left is gone; null: never")
    granted_at: datetime


@router.get("/dev/v1/customers/{customer_id}/wallet/grants")
@policy("wallet.read")
async def grants(
    customer_id: str, caller: Caller, conn: Conn, limit: Limit = 25, cursor: CursorParameter = None
) -> Page[GrantReply]:
    """The credits that have something left, in the order in which they are spent."""
    currency = await stores.currency(conn, caller.store_id)
    filters = [customer_id]
    after = only_key(read_cursor(cursor, filters), SEQUENCE)
    rows = await store_lists.grants_of(conn, caller.store_id, customer_id, after, limit + 1)

    def show_grant(grant: Grant) -> GrantReply:
        return GrantReply(
            id=grant.entry_id,
            type=grant.type,
            amount=major(grant.amount_minor, currency),
            left=major(grant.left_minor, currency),
            held=major(grant.held_minor, currency),
            currency=currency,
            expires_at=grant.expires_at,
            granted_at=grant.granted_at,
        )

    return page_of(rows, limit, show_grant, lambda grant: [grant.sequence], filters)


@router.get("/dev/v1/customers/{customer_id}/wallet/transactions")
@policy("wallet.read")
async def transactions_of_customer(
    customer_id: str,
    caller: Caller,
    conn: Conn,
    kind: Annotated[EntryType | None, Query(alias="type")] = None,
    direction: Literal["credit", "deduction"] | None = None,
    since: PerhapsSince = None,
    until: PerhapsUntil = None,
    limit: Limit = 25,
    cursor: CursorParameter = None,
) -> Page[TransactionReply]:
    """A customer's transactions, newest first. A deduction is what is shown with a minus sign, also one on debt."""
    check_period(since, until)
    wanted = Wanted(kind, None if direction is None else direction == "deduction", since, until)
    filters = [customer_id, *wanted]
    before = only_key(read_cursor(cursor, filters), SEQUENCE)
    rows = await store_lists.transactions_of_customer(conn, caller.store_id, customer_id, wanted, before, limit + 1)
    return page_of(rows, limit, show, lambda row: [row.entry.sequence], filters)


@router.get("/dev/v1/wallet/transactions")
@policy("wallet.read")
async def transactions_of_store(
    caller: Caller, conn: Conn, limit: Limit = 25, cursor: CursorParameter = None
) -> Page[TransactionReply]:
    """The transactions of all customers, newest first."""
    before = only_key(read_cursor(cursor), _EntryId)
    rows = await store_lists.transactions_of_store(conn, caller.store_id, before, limit + 1)
    return page_of(rows, limit, show, lambda row: [row.entry.entry_id])
