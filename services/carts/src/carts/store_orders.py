"""Orders, their lines and invoices. An order's row lock is what every caller of ``progress.settle`` holds."""

from collections.abc import Collection
from typing import Any

from carts import touches
from carts.orders import Credit, Order, OrderLine, Refusal, Screening
from chassis.db import Conn
from contracts.carts import OrderStatus


async def add_order(conn: Conn, order: Order) -> None:
    """Store a fresh order with its lines and its invoice, whose number is drawn at completion."""
    await conn.execute(
        """
        INSERT INTO "order" (store_id, order_id, cart_id, number, status, version, currency, gross_minor,
                             asked_credit_minor, paid_minor, customer_id, affiliate_code, client_ip, screening_id, screening, hold_id,
                             credit, placed_at, touches)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10, $11, $12, $13, $14, $15, $16, $17, $18)
        """,
        order.store_id,
        order.order_id,
        order.cart_id,
        order.number,
        order.status,
        order.version,
        order.currency,
        order.gross_minor,
        order.asked_credit_minor,
        order.customer_id,
        order.affiliate_code,
        order.client_ip,
        order.screening_id,
        order.screening,
        order.hold_id,
        order.credit,
        order.placed_at,
        touches.written(order.touches),
    )
    await conn.executemany(
        """
        INSERT INTO order_line (store_id, order_id, position, product_id, sku, name, quantity, unit_minor)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        """,
        [
            (order.store_id, order.order_id, at, line.product_id, line.sku, line.name, line.quantity, line.unit_minor)
            for at, line in enumerate(order.lines)
        ],
    )
    await conn.execute(
        "INSERT INTO invoice (store_id, invoice_id, order_id) VALUES ($1, $2, $3)",
        order.store_id,
        order.invoice_id,
        order.order_id,
    )


async def lock_order(conn: Conn, store_id: str, order_id: str) -> Order | None:
    """Lock an order and read it as the one who held it before left it."""
    locked = await conn.value(
        'SELECT true FROM "order" WHERE store_id = $1 AND order_id = $2 FOR UPDATE', store_id, order_id
    )
    return await order_of(conn, store_id, order_id) if locked else None


async def lock_order_with_hold(conn: Conn, store_id: str, hold_id: str) -> Order | None:
    """Lock the order a hold is for."""
    order_id = await conn.value('SELECT order_id FROM "order" WHERE store_id = $1 AND hold_id = $2', store_id, hold_id)
    return None if order_id is None else await lock_order(conn, store_id, order_id)


async def order_of(conn: Conn, store_id: str, order_id: str) -> Order | None:
    """An order as it is, unlocked."""
    row = await conn.row(
        """
        SELECT o.store_id, o.order_id, o.cart_id, o.number, o.status, o.refusal, o.version, o.currency, o.gross_minor,
               o.asked_credit_minor, o.paid_minor, o.customer_id, o.affiliate_code, o.touches, o.gateway, o.client_ip, o.screening_id,
               o.screening, o.hold_id, o.credit, o.answered, o.placed_at, o.first_completed_at,
               i.invoice_id, i.number AS invoice_number, c.email
        FROM "order" o
        JOIN invoice i USING (store_id, order_id)
        JOIN cart c USING (store_id, cart_id)
        WHERE o.store_id = $1 AND o.order_id = $2
        """,
        store_id,
        order_id,
    )
    if row is None:
        return None
    lines = await conn.rows(
        """
        SELECT product_id, sku, name, quantity, unit_minor FROM order_line
        WHERE store_id = $1 AND order_id = $2 ORDER BY position
        """,
        store_id,
        order_id,
    )
    fields: dict[str, Any] = dict(row)
    return Order(
        **fields
        | {
            "touches": touches.kept(row["touches"]),
            "lines": tuple(OrderLine(**line) for line in lines),
            "status": OrderStatus(row["status"]),
            "screening": Screening(row["screening"]),
            "credit": Credit(row["credit"]),
            "refusal": None if row["refusal"] is None else Refusal(row["refusal"]),
        }
    )


async def own_order(conn: Conn, order_id: str) -> Order | None:
    """An order of the store this transaction serves (``api`` role only)."""
    return await order_of(conn, await conn.value("SELECT current_setting('app.store_id')"), order_id)


async def order_of_invoice(conn: Conn, store_id: str, invoice_id: str) -> Order | None:
    """The order an invoice is for."""
    order_id = await conn.value(
        "SELECT order_id FROM invoice WHERE store_id = $1 AND invoice_id = $2", store_id, invoice_id
    )
    return None if order_id is None else await order_of(conn, store_id, order_id)


async def open_among(conn: Conn, orders: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of the orders, by store and id, that are not settled (``Order.settled``), or wait for a review."""
    rows = await conn.rows(
        """
        SELECT store_id, order_id
        FROM unnest($1::text[], $2::text[]) AS k (store_id, order_id) JOIN "order" o USING (store_id, order_id)
        WHERE o.status IN ('PLACED', 'UNDER_REVIEW') OR (
            o.status = 'AWAITING_PAYMENT'
            AND o.gross_minor <= o.paid_minor + CASE o.credit WHEN 'uncaptured' THEN 0 ELSE o.asked_credit_minor END
        )
        """,
        [store_id for store_id, _ in orders],
        [order_id for _, order_id in orders],
    )
    return {(row["store_id"], row["order_id"]) for row in rows}


async def save_order(conn: Conn, order: Order) -> None:
    """Write what changes on a locked order."""
    await conn.execute(
        """
        UPDATE "order" SET status = $3, refusal = $4, version = $5, paid_minor = $6, customer_id = $7,
               gateway = $8, screening = $9, credit = $10, answered = $11, first_completed_at = $12
        WHERE store_id = $1 AND order_id = $2
        """,
        order.store_id,
        order.order_id,
        order.status,
        order.refusal,
        order.version,
        order.paid_minor,
        order.customer_id,
        order.gateway,
        order.screening,
        order.credit,
        order.answered,
        order.first_completed_at,
    )


async def complete_invoice(conn: Conn, order: Order) -> None:
    """The invoice counts from now on: the database draws its number inside the commit (see the migration)."""
    await conn.execute(
        "UPDATE invoice SET completed_at = $3 WHERE store_id = $1 AND order_id = $2 AND completed_at IS NULL",
        order.store_id,
        order.order_id,
        order.first_completed_at,
    )
