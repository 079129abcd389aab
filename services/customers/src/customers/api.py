"""What customers may be asked: make one, show one, list them; and by the gateway, who some ids are."""

import re
from datetime import datetime
from typing import Annotated, Literal

from fastapi import Query
from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter

from chassis import clock, ids, outbox, stores
from chassis.http import Api, Caller, Conn, Data, policy
from chassis.money import Major, major
from chassis.pagination import CursorParameter, Limit, Page, only_key, page_of, read_cursor
from chassis.problems import Flaw, Invalid, NotFound, Refused
from contracts.event import Country
from contracts.ids import CUSTOMER, SUFFIX, CustomerId
from customers import announcements, contacts, figures, store, store_figures
from customers.contacts import Contact
from customers.figures import Takings, Who

router = Api()

_ID = re.compile(f"{CUSTOMER}_{SUFFIX}")
_CUSTOMER_ID: TypeAdapter[str] = TypeAdapter(CustomerId)
_MOST_CONTACTS = 100

Stage = Literal["customer", "registered", "lead", "guest"]


class NewCustomer(BaseModel):
    """Who to make. A phone is international, or national with its country."""

    model_config = ConfigDict(extra="forbid")

    email: Annotated[str, StringConstraints(max_length=contacts.LONGEST_EMAIL)]
    name: Annotated[str, StringConstraints(max_length=contacts.LONGEST_NAME)] | None = None
    phone: Annotated[str, StringConstraints(max_length=50)] | None = None
    country: Country | None = None


class LastOrder(BaseModel):
    """The order that was completed last."""

    id: str
    number: str
    completed_at: datetime


class Customer(BaseModel):
    """A customer as a list shows them (features C5). Money is in ``currency``, the store's own."""

    id: str
    email: str | None
    name: str | None
    phone: str | None
    country: str | None
    stage: str
    state: str
    currency: str
    orders: int
    total_spent: Major
    average_order: Major
    last_order: LastOrder | None
    balance: Major
    registered_at: datetime | None
    first_completed_order_at: datetime | None
    created_at: datetime


class Earned(BaseModel):
    """Completed orders in one currency through one payment gateway; ``null``: paid with store credit alone."""

    currency: str
    gateway: str | None
    orders: int
    gross: Major
    refunded: Major
    net: Major


class LifetimeValue(BaseModel):
    """What a customer has brought: ``net`` of the orders in the store's currency, and each currency and gateway."""

    gross: Major
    refunded: Major
    net: Major
    by_gateway: list[Earned]


class CustomerDetail(Customer):
    """One customer with their lifetime value (features C2)."""

    lifetime_value: LifetimeValue


class ContactReply(BaseModel):
    """How a customer is called and reached."""

    name: str | None
    email: str | None
    phone: str | None


class CustomerExists(Refused):
    """An e-mail belongs to one record of a store."""

    code = "customer_exists"
    title = "This store has a customer with this e-mail"


@router.post("/dev/v1/customers", status_code=201)
@policy("customers.write")
async def create(body: NewCustomer, caller: Caller, conn: Conn) -> Data[CustomerDetail]:
    """Make a customer. One that is there, if only as a lead, is refused and named, never changed."""
    contact, who, now = _contact(body), Who(caller.store_id, ids.new(CUSTOMER)), clock.now()
    if not await store.add_customers(conn, [(who, contact)], now):
        known = await store.id_by_email(conn, caller.store_id, contact.email.canonical)
        message = f"{known} has this e-mail"
        raise CustomerExists(message, errors=[Flaw(pointer="/email", code="taken", message=message)])
    outbox.add(conn, announcements.created(who, now))
    return await _detail(conn, who)


@router.get("/dev/v1/customers/{customer_id}")
@policy("customers.read")
async def show(customer_id: str, caller: Caller, conn: Conn) -> Data[CustomerDetail]:
    """One customer."""
    if not _ID.fullmatch(customer_id):
        raise NotFound("there is no such customer")
    return await _detail(conn, Who(caller.store_id, customer_id))


@router.get("/dev/v1/customers")
@policy("customers.read")
async def list_customers(
    caller: Caller,
    conn: Conn,
    q: Annotated[str | None, Query(max_length=200)] = None,
    stage: Stage | None = None,
    limit: Limit = 20,
    cursor: CursorParameter = None,
) -> Page[Customer]:
    """Customers, newest first. ``q`` is looked for in name, e-mail and phone, whatever its case and accents."""
    filters = {"q": q, "stage": stage}
    before = only_key(read_cursor(cursor, filters), _CUSTOMER_ID)
    pattern = contacts.pattern(q) if q else None
    if pattern is None:
        found = await store.page_of_customers(conn, caller.store_id, stage=stage, before=before, limit=limit + 1)
    else:
        found = await store.page_of_matches(conn, pattern, stage=stage, before=before, limit=limit + 1)
    currency = await stores.currency(conn, caller.store_id)
    return page_of(found, limit, lambda row: _shown(row, currency), lambda row: [row.id], filters)


@router.get("/internal/v1/contacts")
@policy("internal")
async def contacts_of(
    caller: Caller, conn: Conn, asked: Annotated[list[str], Query(alias="id", max_length=_MOST_CONTACTS)]
) -> Data[dict[str, ContactReply]]:
    """Who these ids are, for lists of other services. Those that are nobody's, or of the erased, are left out."""
    known = await store.contacts_of(conn, {Who(caller.store_id, one) for one in asked if _ID.fullmatch(one)})
    return Data(
        data={
            who.customer_id: ContactReply(name=contact.name, email=contact.email, phone=contact.phone)
            for who, contact in known.items()
            if not contact.erased
        }
    )


def _contact(body: NewCustomer) -> Contact:
    """Read what was sent; says everything that is wrong with it at once."""
    flaws, email, phone = [], None, None
    try:
        email = contacts.parse_email(body.email)
    except ValueError as error:
        flaws.append(Flaw(pointer="/email", code="email_invalid", message=str(error)))
    try:
        phone = contacts.parse_phone(body.phone, body.country) if body.phone else None
    except ValueError as error:
        flaws.append(Flaw(pointer="/phone", code="phone_invalid", message=str(error)))
    if email is None or flaws:
        raise Invalid(errors=flaws)
    return Contact(email, contacts.clean_name(body.name or ""), phone, body.country)


async def _detail(conn: Conn, who: Who) -> Data[CustomerDetail]:
    found = await store.customer(conn, who)
    if found is None:
        raise NotFound("there is no such customer")
    currency = await stores.currency(conn, who.store_id)
    value = LifetimeValue(
        gross=major(found.gross_minor, currency),
        refunded=major(found.refunded_minor, currency),
        net=major(found.net_minor, currency),
        by_gateway=[_earned(takings) for takings in await store_figures.takings_of(conn, who)],
    )
    return Data(data=CustomerDetail(**dict(_shown(found, currency)), lifetime_value=value))


def _shown(found: store.Customer, currency: str) -> Customer:
    return Customer(
        id=found.id,
        email=found.email,
        name=found.name,
        phone=found.phone,
        country=found.country,
        stage=found.stage,
        state=found.state,
        currency=currency,
        orders=found.orders,
        total_spent=major(found.net_minor, currency),
        average_order=major(figures.average(found.net_minor, found.settled_orders), currency),
        last_order=None if found.last_order is None else LastOrder(**found.last_order._asdict()),
        balance=major(found.balance_minor, currency),
        registered_at=found.registered_at,
        first_completed_order_at=found.first_completed_order_at,
        created_at=found.created_at,
    )


def _earned(takings: Takings) -> Earned:
    return Earned(
        currency=takings.currency,
        gateway=takings.gateway,
        orders=takings.orders,
        gross=major(takings.gross_minor, takings.currency),
        refunded=major(takings.refunded_minor, takings.currency),
        net=major(takings.net_minor, takings.currency),
    )
