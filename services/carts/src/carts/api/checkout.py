"""Checkout: a cart becomes an order. The reply waits for the buyer's identity, the screening and the credit (design §4)."""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from carts import progress, store_carts, store_orders
from carts.api.carts import CartClosed
from carts.api.fields import CartPath, ClientIp, Currency, Touches
from carts.api.orders import InvoiceReply, OrderReply, shown
from carts.orders import Credit, Order, OrderLine, Refusal
from carts.store_carts import Cart
from carts.totals import Difference, Line, differences, total_minor
from chassis import clock, ids, known_customers, replies
from chassis.http import Api, Asked, Caller, Conn, Data, Reply, policy
from chassis.money import Amount, major
from chassis.problems import Flaw, Forbidden, Invalid, NotFound, Refused
from contracts.carts import OrderStatus
from contracts.ids import HOLD, INVOICE, ORDER, SCREENING

router = Api()


class CartEmpty(Refused):
    """Nothing was ordered."""

    code = "cart_empty"
    title = "There is nothing in this cart"


class ContactMissing(Refused):
    """An order is somebody's."""

    code = "contact_missing"
    title = "Say who is buying first"


class CartChanged(Refused):
    """The buyer agreed to another total; ``errors`` lists the lines as they are now."""

    code = "cart_changed"
    title = "This is not the total that was expected"


class OrderRefused(Refused):
    """The same words for everybody who is turned away."""

    code = Refusal.NOT_WELCOME.value
    title = "This order cannot be accepted"


class InsufficientCredit(Refused):
    """The customer has less store credit than they want to use."""

    code = Refusal.INSUFFICIENT_CREDIT.value
    title = "There is not enough store credit"


class CurrencyMismatch(Invalid):
    """Carts, and credit with them, are in the store's currency."""

    code = "currency_mismatch"
    title = "This cart is in another currency"


class CreditNeedsCustomer(Forbidden):
    """An e-mail on a cart proves nothing: credit is spent by its customer, or by the merchant who knows them."""

    code = "credit_needs_customer"
    title = "A publishable key alone cannot spend a customer's credit"


class Checkout(BaseModel):
    """The total the buyer agreed to, and how much of it store credit is to pay."""

    model_config = ConfigDict(extra="forbid")

    expected_total: Amount
    credit: Amount | None = None
    currency: Currency | None = None


class Processing(BaseModel):
    """The order is being worked on; ``Location`` tells what became of it."""

    order_id: str
    invoice_id: str
    status: Literal["PROCESSING"] = "PROCESSING"


async def outcome(conn: Conn, order_id: str) -> Reply:
    """What a checkout came to, as stored."""
    order = await placed_order(conn, order_id)
    return came_to(order, Data[OrderReply](data=shown(order)), f"/storefront/v1/orders/{order_id}")


async def placed_order(conn: Conn, order_id: str) -> Order:
    """The order somebody waits for."""
    order = await store_orders.own_order(conn, order_id)
    if order is None:
        raise NotFound
    return order


def came_to(order: Order, told: Data[OrderReply] | Data[InvoiceReply], path: str) -> Reply:
    """What is ``told`` of an accepted order, or that ``path`` will tell. Raises why it was refused."""
    if order.status is OrderStatus.CANCELLED:
        raise _refused(order)
    if not order.settled or order.status is OrderStatus.UNDER_REVIEW:
        working = Processing(order_id=order.order_id, invoice_id=order.invoice_id)
        return Reply(202, Data(data=working), location=path)
    return Reply(201, told)


@router.post("/storefront/v1/carts/{cart_id}/checkout", status_code=201)
@policy("orders.write", key="required")
@replies.answered_by(outcome)
async def check_out(
    cart_id: CartPath, body: Checkout, touches: Touches, caller: Caller, conn: Conn, client_ip: ClientIp = None
) -> Asked:
    """Order what is in a cart. A second checkout of the same cart for the same money is told of the same order."""
    cart = await store_carts.lock_cart(conn, caller.store_id, cart_id)
    if cart is None:
        raise NotFound
    if body.currency not in {None, cart.currency}:
        raise CurrencyMismatch(f"this cart is in {cart.currency}")
    expected = _positive(body.expected_total, cart.currency, "/expected_total")
    credit = credit_for(caller, body.credit, cart.currency)
    if cart.order_id is not None:
        return Asked(await _same_order(conn, cart, cart.order_id, expected, credit))
    lines = await store_carts.lines_of(conn, caller.store_id, cart_id)
    agreed(cart, lines, expected, credit)
    order = await placed(conn, cart.after(touches), lines, credit, client_ip)
    return Asked(order.order_id)


def credit_for(caller: Caller, wanted: Amount | None, currency: str) -> int:
    """What store credit is to pay. Raises ``CreditNeedsCustomer``."""
    if wanted is None:
        return 0
    if caller.actor == "storefront":
        raise CreditNeedsCustomer
    return _positive(wanted, currency, "/credit")


def _positive(amount: Amount, currency: str, pointer: str) -> int:
    minor = amount.minor(currency, pointer=pointer)
    if minor < 0:
        message = "an amount of money to pay is not negative"
        raise Invalid(message, errors=[Flaw(pointer=pointer, code="amount_range", message=message)])
    return minor


async def _same_order(conn: Conn, cart: Cart, order_id: str, expected: int, credit: int) -> str:
    """The order that closed this cart, if this is the same wish coming twice."""
    order = await store_orders.order_of(conn, cart.store_id, order_id)
    if order is None or (order.gross_minor, order.asked_credit_minor) != (expected, credit):
        raise CartClosed
    return order_id


def agreed(cart: Cart, lines: Sequence[Line], expected: int, credit: int) -> None:
    """Raises what keeps this cart from becoming an order."""
    if not lines:
        raise CartEmpty
    if cart.contact is None and cart.customer_id is None:
        raise ContactMissing
    changed = differences(lines, expected)
    if changed:
        total = total_minor(lines)
        message = f"the cart costs {major(total, cart.currency)} {cart.currency}"
        flaw = Flaw(pointer="/expected_total", code="total_changed", message=message)
        raise CartChanged(message, errors=[flaw, *(_itemised(change, cart.currency) for change in changed)])
    if credit > expected:
        message = "credit cannot pay more than the total"
        raise Invalid(message, errors=[Flaw(pointer="/credit", code="credit_exceeds_total", message=message)])


def _itemised(difference: Difference, currency: str) -> Flaw:
    line = difference.line
    now = f"{line.quantity} x {line.sku} at {major(line.unit_minor, currency)} = {major(line.amount_minor, currency)}"
    was = f", was {major(line.shown_minor, currency)}" if line.shown_minor != line.unit_minor else ""
    return Flaw(pointer=f"/items/{difference.position}", code=difference.change, message=f"{now} {currency}{was}")


async def placed(conn: Conn, cart: Cart, lines: Sequence[Line], credit: int, client_ip: str | None) -> Order:
    """Store the order and ask what can be asked already."""
    order_id = ids.new(ORDER)
    order = Order(
        store_id=cart.store_id,
        order_id=order_id,
        cart_id=cart.cart_id,
        invoice_id=ids.new(INVOICE),
        number=f"R-{order_id[-10:].upper()}",  # of the id's random bits: unguessable, and unique in the store
        currency=cart.currency,
        lines=tuple(OrderLine(line.product_id, line.sku, line.name, line.quantity, line.unit_minor) for line in lines),
        gross_minor=total_minor(lines),
        asked_credit_minor=credit,
        credit=Credit.NEEDED if credit else Credit.NONE,
        screening_id=ids.new(SCREENING),
        hold_id=ids.new(HOLD),
        placed_at=clock.now(),
        customer_id=await _acting(conn, cart),
        affiliate_code=cart.affiliate_code,
        touches=cart.touches,
        email=None if cart.contact is None else cart.contact.email,
        client_ip=client_ip,
    )
    await store_orders.add_order(conn, order)
    return await progress.settle(conn, order)


async def _acting(conn: Conn, cart: Cart) -> str | None:
    """The cart's customer, or whom they were merged into since."""
    if cart.customer_id is None:
        return None
    key = (cart.store_id, cart.customer_id)
    acting = (await known_customers.acting(conn, [key])).get(key)
    return cart.customer_id if acting is None else acting.acting_id


def _refused(order: Order) -> Refused:
    if order.refusal is Refusal.INSUFFICIENT_CREDIT:
        return InsufficientCredit()
    reference = Flaw(pointer="", code="support_reference", message=order.screening_id)
    return OrderRefused(
        f"If you think this is a mistake, ask the store and mention {order.screening_id}", errors=[reference]
    )
