"""Every statement on customers: the record itself, made once, and its lists."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import asyncpg

from chassis.db import Conn
from customers.contacts import Contact, Email, Person
from customers.figures import LastOrder, Who


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer record; money in minor units of the store's currency."""

    store_id: str
    id: str
    version: int
    state: str
    email: str | None
    name: str | None
    phone: str | None
    country: str | None
    stage: str
    orders: int
    settled_orders: int
    gross_minor: int
    refunded_minor: int
    net_minor: int
    last_order: LastOrder | None
    balance_minor: int
    registered_at: datetime | None
    first_completed_order_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Known:
    """Whom a canonical e-mail belongs to."""

    who: Who
    version: int
    state: str
    contact: Contact

    @property
    def person(self) -> Person:
        """Whom the record is of."""
        return Person(self.who.store_id, self.contact.email.canonical)


class Reachable(NamedTuple):
    """How a customer is called and reached."""

    name: str | None
    email: str | None
    phone: str | None
    erased: bool


def _customer(row: asyncpg.Record) -> Customer:
    last = LastOrder(row["last_order_id"], row["last_order_number"], row["last_order_at"]) if row["orders"] else None
    fields = {field: row[field] for field in Customer.__dataclass_fields__ if field != "last_order"}
    return Customer(**fields, last_order=last)


def _known(row: asyncpg.Record) -> Known:
    email = Email(row["email"], row["email_canonical"])
    contact = Contact(email, row["name"], row["phone"], row["country"])
    return Known(Who(row["store_id"], row["id"]), row["version"], row["state"], contact)


async def add_customers(conn: Conn, new: Sequence[tuple[Who, Contact]], now: datetime) -> list[Known]:
    """Make records; those whose e-mail the store knows already are left out. Waits for whoever makes the same one."""
    rows = await conn.rows(
        """
        INSERT INTO customer (store_id, id, email, email_canonical, name, phone, country, search, created_at)
        SELECT store_id, id, email, email_canonical, name, phone, country, search, $9
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
             AS new (store_id, id, email, email_canonical, name, phone, country, search)
        ORDER BY store_id, email_canonical
        ON CONFLICT (store_id, email_canonical) DO NOTHING
        RETURNING store_id, id, version, state, email, email_canonical, name, phone, country
        """,
        [who.store_id for who, _ in new],
        [who.customer_id for who, _ in new],
        [contact.email.address for _, contact in new],
        [contact.email.canonical for _, contact in new],
        [contact.name for _, contact in new],
        [contact.phone for _, contact in new],
        [contact.country for _, contact in new],
        [contact.search for _, contact in new],
        now,
    )
    return [_known(row) for row in rows]


async def lock_by_email(conn: Conn, people: Sequence[Person]) -> list[Known]:
    """Lock the records of these people, in the order in which everybody locks customers."""
    rows = await conn.rows(
        """
        SELECT c.store_id, c.id, c.version, c.state, c.email, c.email_canonical, c.name, c.phone, c.country
        FROM customer c
        JOIN unnest($1::text[], $2::text[]) AS k (store_id, email_canonical) USING (store_id, email_canonical)
        ORDER BY c.store_id, c.id
        FOR UPDATE OF c
        """,
        [person.store_id for person in people],
        [person.canonical for person in people],
    )
    return [_known(row) for row in rows]


async def fill(conn: Conn, filled: Sequence[tuple[Who, Contact]]) -> None:
    """Store what was added to contacts; each record's version goes up by one."""
    await conn.execute(
        """
        UPDATE customer c
        SET name = f.name, phone = f.phone, country = f.country, search = f.search, version = c.version + 1
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
             AS f (store_id, id, name, phone, country, search)
        WHERE (c.store_id, c.id) = (f.store_id, f.id)
        """,
        [who.store_id for who, _ in filled],
        [who.customer_id for who, _ in filled],
        [contact.name for _, contact in filled],
        [contact.phone for _, contact in filled],
        [contact.country for _, contact in filled],
        [contact.search for _, contact in filled],
    )


async def id_by_email(conn: Conn, store_id: str, canonical: str) -> str | None:
    """Whose e-mail this is."""
    found: str | None = await conn.value(
        "SELECT id FROM customer WHERE store_id = $1 AND email_canonical = $2", store_id, canonical
    )
    return found


async def customer(conn: Conn, who: Who) -> Customer | None:
    """One customer."""
    row = await conn.row("SELECT * FROM customer WHERE store_id = $1 AND id = $2", *who)
    return None if row is None else _customer(row)


async def contacts_of(conn: Conn, people: Collection[Who]) -> dict[Who, Reachable]:
    """Who acts for each of these, merges followed to their end; unknown ones are left out."""
    rows = await conn.rows(
        """
        WITH RECURSIVE follow AS (
            SELECT c.store_id, c.id AS asked, c.name, c.email, c.phone, c.state, c.merged_into, 1 AS hops
            FROM unnest($1::text[], $2::text[]) AS wanted (store_id, id)
            JOIN customer c USING (store_id, id)
            UNION ALL
            SELECT c.store_id, follow.asked, c.name, c.email, c.phone, c.state, c.merged_into, hops + 1
            FROM follow
            JOIN customer c ON c.store_id = follow.store_id AND c.id = follow.merged_into
            WHERE hops < 50
        )
        SELECT store_id, asked, name, email, phone, state = 'erased' AS erased FROM follow WHERE merged_into IS NULL
        """,
        [who.store_id for who in people],
        [who.customer_id for who in people],
    )
    return {
        Who(row["store_id"], row["asked"]): Reachable(row["name"], row["email"], row["phone"], row["erased"])
        for row in rows
    }


async def page_of_customers(
    conn: Conn, store_id: str, *, stage: str | None, before: str | None, limit: int
) -> list[Customer]:
    """Customers, newest first, from before an id on."""
    if stage is None:
        rows = await conn.rows(
            """
            SELECT * FROM customer WHERE store_id = $1 AND ($2::text IS NULL OR id < $2)
            ORDER BY id DESC LIMIT $3
            """,
            store_id,
            before,
            limit,
        )
    else:
        rows = await conn.rows(
            """
            SELECT * FROM customer WHERE store_id = $1 AND stage = $2 AND ($3::text IS NULL OR id < $3)
            ORDER BY id DESC LIMIT $4
            """,
            store_id,
            stage,
            before,
            limit,
        )
    return [_customer(row) for row in rows]


async def page_of_matches(
    conn: Conn, pattern: str, *, stage: str | None, before: str | None, limit: int
) -> list[Customer]:
    """Customers of the caller's store that match a pattern of ``contacts.pattern``, newest first."""
    rows = await conn.rows("SELECT * FROM search_customers($1, $2, $3, $4)", pattern, stage, before, limit)
    return [_customer(row) for row in rows]
