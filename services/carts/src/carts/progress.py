"""Carrying out what ``orders.advance`` decides: the only writer of an order after its checkout.

The caller holds the order's row lock. Everything here is the caller's transaction: state, questions to other
services and announcements commit together.
"""

from collections.abc import Awaitable, Callable

from carts import orders, store_orders
from carts.orders import Do, Order
from chassis import clock, known_customers, outbox, replies
from chassis.db import Conn
from contracts.carts import CartBuyerNamed, OrderCancelled, OrderCompleted, OrderFact, OrderLine, OrderPlaced
from contracts.fraud import ScreeningRequested
from contracts.ids import CustomerId
from contracts.wallet import CaptureRequested, HoldRequested, ReleaseRequested


async def settle(conn: Conn, order: Order) -> Order:
    """Decide what follows from the facts on a locked order, write it and do it. The order as it stands now."""
    decided = orders.advance(order, clock.now())
    await store_orders.save_order(conn, decided.order)
    for step in decided.steps:
        await _DO[step.do](conn, step.order)
    return decided.order


def _customer(order: Order) -> CustomerId:
    if order.customer_id is None:
        raise ValueError(f"order {order.order_id} advanced without a customer")
    return order.customer_id


async def _ask_screening(conn: Conn, order: Order) -> None:
    """Ask whether the buyer is welcome: of customers, who asks on with their e-mail, where we have only their id."""
    if order.email is None:
        named = CartBuyerNamed(
            store_id=order.store_id,
            cart_id=order.cart_id,
            screening_id=order.screening_id,
            subject=order.order_id,
            customer_id=_customer(order),
            ip=order.client_ip,
        )
        await replies.ask(conn, order.screening_id, named)
        return
    request = ScreeningRequested(
        store_id=order.store_id,
        screening_id=order.screening_id,
        subject=order.order_id,
        email=order.email,
        ip=order.client_ip,
        customer_id=_customer(order),
    )
    await replies.ask(conn, order.screening_id, request)


async def _ask_hold(conn: Conn, order: Order) -> None:
    request = HoldRequested(
        store_id=order.store_id,
        hold_id=order.hold_id,
        customer_id=_customer(order),
        order_id=order.order_id,
        amount_minor=order.credit_minor,
        currency=order.currency,
    )
    await replies.ask(conn, order.hold_id, request)


async def _ask_capture(conn: Conn, order: Order) -> None:
    request = CaptureRequested(
        store_id=order.store_id,
        hold_id=order.hold_id,
        customer_id=_customer(order),
        order_id=order.order_id,
        amount_minor=order.credit_minor,
    )
    await replies.ask(conn, order.hold_id, request)


async def _ask_release(conn: Conn, order: Order) -> None:
    """Give the hold back. Whether it was placed or not no longer matters, so that is not asked again."""
    await replies.answered(conn, order.hold_id, HoldRequested)
    request = ReleaseRequested(store_id=order.store_id, hold_id=order.hold_id, customer_id=_customer(order))
    await replies.ask(conn, order.hold_id, request)


async def _announce(conn: Conn, order: Order, event: type[OrderPlaced | OrderCompleted | OrderCancelled]) -> None:
    outbox.add(conn, event(store_id=order.store_id, **dict(await _fact(conn, order))))


async def _fact(conn: Conn, order: Order) -> OrderFact:
    """The money state as events carry it. No tax, shipping or discounts yet: the base is what credit did not pay."""
    customer_id = _customer(order)
    key = (order.store_id, customer_id)
    acting = (await known_customers.acting(conn, [key])).get(key)
    base_minor = order.gross_minor - order.credit_minor
    return OrderFact(
        order_id=order.order_id,
        number=order.number,
        version=order.version,
        customer_id=customer_id,
        current_customer_id=customer_id if acting is None else acting.acting_id,
        status=order.status,
        currency=order.currency,
        gross_minor=order.gross_minor,
        credit_minor=order.credit_minor,
        commission_base_minor=base_minor,
        base_remaining_minor=base_minor,
        placed_at=order.placed_at,
        first_completed_at=order.first_completed_at,
        lines=tuple(
            OrderLine(product_id=line.product_id, sku=line.sku, quantity=line.quantity, amount_minor=line.amount_minor)
            for line in order.lines
        ),
        gateway=order.gateway,
        affiliate_code=order.affiliate_code,
        touches=order.touches,
    )


async def _announce_placed(conn: Conn, order: Order) -> None:
    await _announce(conn, order, OrderPlaced)


async def _announce_completed(conn: Conn, order: Order) -> None:
    await _announce(conn, order, OrderCompleted)


async def _announce_cancelled(conn: Conn, order: Order) -> None:
    await _announce(conn, order, OrderCancelled)


async def _answer(conn: Conn, order: Order) -> None:
    await replies.answer(conn, order.order_id)


_DO: dict[Do, Callable[[Conn, Order], Awaitable[None]]] = {
    Do.ASK_SCREENING: _ask_screening,
    Do.ASK_HOLD: _ask_hold,
    Do.ASK_CAPTURE: _ask_capture,
    Do.ASK_RELEASE: _ask_release,
    Do.ANNOUNCE_PLACED: _announce_placed,
    Do.ANNOUNCE_COMPLETED: _announce_completed,
    Do.ANNOUNCE_CANCELLED: _announce_cancelled,
    Do.NUMBER_INVOICE: store_orders.complete_invoice,
    Do.ANSWER: _answer,
}
