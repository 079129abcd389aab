"""What became of an order. Buyers read theirs by its id, which only they were told; merchants read any of the store."""

from datetime import datetime

from pydantic import BaseModel

from carts import store_orders
from carts.api.fields import InvoicePath, OrderPath
from carts.orders import Order
from chassis.http import Api, Caller, Conn, Data, policy
from chassis.money import Major, major
from chassis.problems import NotFound
from contracts.carts import OrderStatus

router = Api()


class RefusalReply(BaseModel):
    """Why an order was cancelled, without saying why. Staff find the reason under ``support_reference``."""

    code: str
    support_reference: str


class OrderLineReply(BaseModel):
    """One product of an order."""

    product_id: str
    sku: str
    name: str
    quantity: int
    unit_price: Major
    amount: Major


class OrderReply(BaseModel):
    """An order. ``due`` is left for a payment provider; ``invoice_number`` is drawn when the order completes."""

    order_id: str
    invoice_id: str
    cart_id: str
    number: str
    invoice_number: int | None
    status: OrderStatus
    currency: str
    total: Major
    credit: Major
    paid: Major
    due: Major
    customer_id: str | None
    affiliate_code: str | None
    gateway: str | None
    lines: list[OrderLineReply]
    placed_at: datetime
    completed_at: datetime | None
    refusal: RefusalReply | None


class InvoiceReply(BaseModel):
    """An invoice; its number is null until its order completes, and gap-free in its store from then on."""

    invoice_id: str
    order_id: str
    number: int | None
    status: OrderStatus
    currency: str
    total: Major
    due: Major
    affiliate_code: str | None
    lines: list[OrderLineReply]
    completed_at: datetime | None


@router.get("/storefront/v1/orders/{order_id}")
@policy("orders.read")
async def get_own_order(order_id: OrderPath, caller: Caller, conn: Conn) -> Data[OrderReply]:
    """The order, for who placed it."""
    return Data(data=shown(await _found(conn, caller, order_id)))


@router.get("/dev/v1/orders/{order_id}")
@policy("orders.read")
async def get_order(order_id: OrderPath, caller: Caller, conn: Conn) -> Data[OrderReply]:
    """The order, for the merchant."""
    return Data(data=shown(await _found(conn, caller, order_id)))


@router.get("/dev/v1/invoices/{invoice_id}")
@policy("invoices.read")
async def get_invoice(invoice_id: InvoicePath, caller: Caller, conn: Conn) -> Data[InvoiceReply]:
    """The invoice."""
    order = await store_orders.order_of_invoice(conn, caller.store_id, invoice_id)
    if order is None:
        raise NotFound
    return Data(data=billed(order))


async def _found(conn: Conn, caller: Caller, order_id: str) -> Order:
    order = await store_orders.order_of(conn, caller.store_id, order_id)
    if order is None:
        raise NotFound
    return order


def shown(order: Order) -> OrderReply:
    """An order as callers see it."""
    refusal = order.refusal and RefusalReply(code=order.refusal, support_reference=order.screening_id)
    return OrderReply(
        order_id=order.order_id,
        invoice_id=order.invoice_id,
        cart_id=order.cart_id,
        number=order.number,
        invoice_number=order.invoice_number,
        status=order.status,
        currency=order.currency,
        total=major(order.gross_minor, order.currency),
        credit=major(order.credit_minor, order.currency),
        paid=major(order.paid_minor, order.currency),
        due=major(order.due_minor, order.currency),
        customer_id=order.customer_id,
        affiliate_code=order.affiliate_code,
        gateway=order.gateway,
        lines=_lines(order),
        placed_at=order.placed_at,
        completed_at=order.first_completed_at,
        refusal=refusal or None,
    )


def billed(order: Order) -> InvoiceReply:
    """The invoice of an order as callers see it."""
    return InvoiceReply(
        invoice_id=order.invoice_id,
        order_id=order.order_id,
        number=order.invoice_number,
        status=order.status,
        currency=order.currency,
        total=major(order.gross_minor, order.currency),
        due=major(order.due_minor, order.currency),
        affiliate_code=order.affiliate_code,
        lines=_lines(order),
        completed_at=order.first_completed_at,
    )


def _lines(order: Order) -> list[OrderLineReply]:
    return [
        OrderLineReply(
            product_id=line.product_id,
            sku=line.sku,
            name=line.name,
            quantity=line.quantity,
            unit_price=major(line.unit_minor, order.currency),
            amount=major(line.amount_minor, order.currency),
        )
        for line in order.lines
    ]
