"""What carts does when it hears of something: note the fact on the order, and let ``settle`` decide.

All of it is answers to what carts asked. An answer about something this database does not know (it was restored from
an older state) has nobody to serve and is dropped. The order, or the cart before it, is locked first and its question
closed after: ``settle`` closes questions under the order's lock too.
"""

from collections.abc import Callable

from carts import orders, progress, store_carts, store_orders
from carts.orders import Order
from chassis import replies
from chassis.db import Conn
from chassis.inbox import Router
from contracts.carts import CartBuyerNamed, CartContactGiven
from contracts.customers import CustomerIdentified
from contracts.event import Event
from contracts.fraud import ScreeningDecided, ScreeningRequested
from contracts.wallet import (
    Captured,
    CaptureRefused,
    CaptureRequested,
    HoldPlaced,
    HoldRefused,
    HoldReleased,
    HoldRequested,
    ReleaseRequested,
)

router = Router()


@router.on_ask(CustomerIdentified)
async def on_customer_identified(answer: CustomerIdentified, conn: Conn) -> None:
    """Note whose cart it is, if the contact is still the one that was asked about, and let its order go on."""
    cart = await store_carts.lock_cart(conn, answer.store_id, answer.cart_id)
    await replies.answered(conn, store_carts.contact_request(answer.cart_id, answer.revision), CartContactGiven)
    if cart is None or cart.contact_revision != answer.revision or cart.customer_id is not None:
        return
    await store_carts.identify(conn, cart, answer.customer_id)
    if cart.order_id is None:
        return
    order = await store_orders.lock_order(conn, answer.store_id, cart.order_id)
    if order is not None:
        await progress.settle(conn, orders.identified(order, answer.customer_id))


@router.on_ask(ScreeningDecided)
async def on_screening_decided(verdict: ScreeningDecided, conn: Conn) -> None:
    """Let the order go on, wait for a human, or end. Other services' screenings are none of ours."""
    order = await store_orders.lock_order(conn, verdict.store_id, verdict.subject)
    await replies.answered(conn, verdict.screening_id, ScreeningRequested, CartBuyerNamed)
    if order is not None and order.screening_id == verdict.screening_id:
        await progress.settle(conn, orders.screened(order, verdict.decision))


@router.on_ask(HoldPlaced)
async def on_hold_placed(answer: HoldPlaced, conn: Conn) -> None:
    """The credit of an order is set aside."""
    await _wallet_answered(conn, answer, HoldRequested, orders.hold_placed)


@router.on_ask(HoldRefused)
async def on_hold_refused(answer: HoldRefused, conn: Conn) -> None:
    """The customer has less credit than the order wants to use."""
    await _wallet_answered(conn, answer, HoldRequested, orders.hold_refused)


@router.on_ask(HoldReleased)
async def on_hold_released(answer: HoldReleased, conn: Conn) -> None:
    """A hold ended without a payment."""
    await _wallet_answered(conn, answer, ReleaseRequested, orders.hold_released)


@router.on_ask(Captured)
async def on_captured(answer: Captured, conn: Conn) -> None:
    """The credit paid its part of an order."""
    await _wallet_answered(conn, answer, CaptureRequested, orders.captured)


@router.on_ask(CaptureRefused)
async def on_capture_refused(answer: CaptureRefused, conn: Conn) -> None:
    """The credit is gone: its part of the order is due again."""
    await _wallet_answered(conn, answer, CaptureRequested, orders.capture_refused)


async def _wallet_answered(
    conn: Conn,
    answer: HoldPlaced | HoldRefused | HoldReleased | Captured | CaptureRefused,
    request: type[Event],
    fact: Callable[[Order], Order],
) -> None:
    order = await store_orders.lock_order_with_hold(conn, answer.store_id, answer.hold_id)
    await replies.answered(conn, answer.hold_id, request)
    if order is not None:
        await progress.settle(conn, fact(order))
