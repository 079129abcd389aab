"""Paying what is due: a session with a provider, whose page takes the money."""

from typing import Literal

from fastapi import Request
from pydantic import BaseModel, ConfigDict

from carts import store_orders, store_payments
from carts.api.fields import InvoicePath, OrderPath
from carts.orders import Order
from carts.settings import Settings
from carts.store_payments import PaymentSession, SessionStatus
from chassis import clock, ids, stores
from chassis.db import Conn as Transaction
from chassis.http import Api, Caller, Conn, Data, policy
from chassis.problems import NotFound, Refused
from contracts.ids import PAYMENT_SESSION

router = Api()


class OrderNotPayable(Refused):
    """It is paid, cancelled, or not accepted yet; or this session is for another part than the one due now."""

    code = "order_not_payable"
    title = "There is nothing to pay here"


class NewPaymentSession(BaseModel):
    """With whom to pay."""

    model_config = ConfigDict(extra="forbid")

    provider: Literal["sandbox"]


class PaymentSessionReply(BaseModel):
    """A session; send the buyer to ``url``."""

    payment_session_id: str
    provider: str
    url: str
    status: SessionStatus


@router.post("/storefront/v1/orders/{order_id}/payment-sessions", status_code=201)
@policy("orders.write", key="required")
async def pay_order(
    order_id: OrderPath, body: NewPaymentSession, request: Request, caller: Caller, conn: Conn
) -> Data[PaymentSessionReply]:
    """Start paying what is due. 409 ``order_not_payable``."""
    return await _open(conn, request, caller.store_id, order_id, body.provider)


@router.post("/dev/v1/invoices/{invoice_id}/payment-sessions", status_code=201)
@policy("orders.write", key="required")
async def pay_invoice(
    invoice_id: InvoicePath, body: NewPaymentSession, request: Request, caller: Caller, conn: Conn
) -> Data[PaymentSessionReply]:
    """Start paying what is due on an invoice. 409 ``order_not_payable``."""
    order = await store_orders.order_of_invoice(conn, caller.store_id, invoice_id)
    if order is None:
        raise NotFound
    return await _open(conn, request, caller.store_id, order.order_id, body.provider)


async def _open(
    conn: Transaction, request: Request, store_id: str, order_id: str, provider: str
) -> Data[PaymentSessionReply]:
    order = await store_orders.lock_order(conn, store_id, order_id)
    if order is None:
        raise NotFound
    if not order.payable:
        raise OrderNotPayable
    session = _for_what_is_due(order, provider)
    await store_payments.add_session(conn, session)
    return Data(data=await shown(conn, request, session))


def _for_what_is_due(order: Order, provider: str) -> PaymentSession:
    return PaymentSession(
        store_id=order.store_id,
        payment_session_id=ids.new(PAYMENT_SESSION),
        order_id=order.order_id,
        provider=provider,
        paid_before_minor=order.paid_minor,
        amount_minor=order.due_minor,
        status=SessionStatus.OPEN,
        opened_at=clock.now(),
    )


async def shown(conn: Transaction, request: Request, session: PaymentSession) -> PaymentSessionReply:
    """A session as callers see it."""
    settings: Settings = request.app.state.runtime.settings
    slug = (await stores.store(conn, session.store_id)).slug
    return PaymentSessionReply(
        payment_session_id=session.payment_session_id,
        provider=session.provider,
        url=f"{settings.public_url.rstrip('/')}/{session.provider}/{slug}/{session.payment_session_id}",
        status=session.status,
    )
