"""Carts and what is in them. Whoever changes a cart, or starts an order from it, locks its row first."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from carts import touches
from carts.totals import Line
from chassis.db import Conn
from contracts.carts import Touch


@dataclass(frozen=True, slots=True)
class Contact:
    """Who a visitor says they are."""

    email: str
    name: str | None = None
    phone: str | None = None
    country: str | None = None


@dataclass(frozen=True, slots=True)
class Cart:
    """A cart. ``order_id`` is its living order, which closes it; ``contact_revision`` counts the contacts given.

    ``touches`` are the affiliates' links that the buyer had followed.
    """

    store_id: str
    cart_id: str
    currency: str
    opened_at: datetime
    affiliate_code: str | None = None
    touches: tuple[Touch, ...] = ()
    contact: Contact | None = None
    contact_revision: int = 0
    customer_id: str | None = None
    order_id: str | None = None

    def after(self, later: Iterable[Touch]) -> "Cart":
        """The cart of a buyer who has followed these links too."""
        return replace(self, touches=touches.newest([*later, *self.touches]))


async def add_cart(conn: Conn, cart: Cart) -> None:
    """Open a cart."""
    await conn.execute(
        """
        INSERT INTO cart (store_id, cart_id, currency, affiliate_code, opened_at, touches, customer_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        """,
        cart.store_id,
        cart.cart_id,
        cart.currency,
        cart.affiliate_code,
        cart.opened_at,
        touches.written(cart.touches),
        cart.customer_id,
    )


async def lock_cart(conn: Conn, store_id: str, cart_id: str) -> Cart | None:
    """Lock a cart and read it. Two statements: only the second sees an order that another transaction just made."""
    locked = await conn.value(
        "SELECT true FROM cart WHERE store_id = $1 AND cart_id = $2 FOR UPDATE", store_id, cart_id
    )
    return await cart_of(conn, store_id, cart_id) if locked else None


async def cart_of(conn: Conn, store_id: str, cart_id: str) -> Cart | None:
    """A cart as it is, unlocked."""
    row = await conn.row(
        """
        SELECT currency, affiliate_code, touches, contact_revision, email, name, phone, country, customer_id, opened_at,
               (SELECT order_id FROM "order" o
                WHERE o.store_id = cart.store_id AND o.cart_id = cart.cart_id AND o.status <> 'CANCELLED') AS order_id
        FROM cart WHERE store_id = $1 AND cart_id = $2
        """,
        store_id,
        cart_id,
    )
    if row is None:
        return None
    given = None if row["email"] is None else Contact(row["email"], row["name"], row["phone"], row["country"])
    return Cart(
        store_id=store_id,
        cart_id=cart_id,
        currency=row["currency"],
        opened_at=row["opened_at"],
        affiliate_code=row["affiliate_code"],
        touches=touches.kept(row["touches"]),
        contact=given,
        contact_revision=row["contact_revision"],
        customer_id=row["customer_id"],
        order_id=row["order_id"],
    )


async def lines_of(conn: Conn, store_id: str, cart_id: str) -> list[Line]:
    """What is in a cart, at the prices of now, in the order it was put in."""
    rows = await conn.rows(
        """
        SELECT i.product_id, p.sku, p.name, i.quantity, p.price_minor AS unit_minor,
               i.shown_price_minor AS shown_minor, p.active AS available
        FROM cart_item i JOIN product p USING (store_id, product_id)
        WHERE i.store_id = $1 AND i.cart_id = $2
        ORDER BY i.position
        """,
        store_id,
        cart_id,
    )
    return [Line(**row) for row in rows]


async def put_items(conn: Conn, store_id: str, cart_id: str, quantities: Mapping[str, int]) -> None:
    """Set the quantities of products in a locked cart; their prices of now are the ones shown."""
    await conn.execute(
        """
        INSERT INTO cart_item (store_id, cart_id, product_id, quantity, shown_price_minor)
        SELECT $1, $2, put.product_id, put.quantity, p.price_minor
        FROM unnest($3::text[], $4::int[]) WITH ORDINALITY AS put (product_id, quantity, position)
        JOIN product p ON p.store_id = $1 AND p.product_id = put.product_id
        ORDER BY put.position
        ON CONFLICT (store_id, cart_id, product_id)
        DO UPDATE SET quantity = excluded.quantity, shown_price_minor = excluded.shown_price_minor
        """,
        store_id,
        cart_id,
        list(quantities),
        list(quantities.values()),
    )


async def remove_item(conn: Conn, store_id: str, cart_id: str, product_id: str) -> None:
    """Take a product out of a locked cart."""
    await conn.execute(
        "DELETE FROM cart_item WHERE store_id = $1 AND cart_id = $2 AND product_id = $3", store_id, cart_id, product_id
    )


def contact_request(cart_id: str, revision: int) -> str:
    """The request id of the question whose cart it is, by its contact of this revision."""
    return f"{cart_id}.{revision}"


async def give_contact(conn: Conn, cart: Cart, contact: Contact) -> int:
    """Replace the contact of a locked cart; whose it is has to be asked again. The revision of the new contact."""
    revision: int = await conn.value(
        """
        UPDATE cart SET contact_revision = contact_revision + 1, customer_id = NULL,
               email = $3, name = $4, phone = $5, country = $6
        WHERE store_id = $1 AND cart_id = $2
        RETURNING contact_revision
        """,
        cart.store_id,
        cart.cart_id,
        contact.email,
        contact.name,
        contact.phone,
        contact.country,
    )
    return revision


async def identify(conn: Conn, cart: Cart, customer_id: str) -> None:
    """Note whose cart a locked cart is."""
    await conn.execute(
        "UPDATE cart SET customer_id = $3 WHERE store_id = $1 AND cart_id = $2",
        cart.store_id,
        cart.cart_id,
        customer_id,
    )
