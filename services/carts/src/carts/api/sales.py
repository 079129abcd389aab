"""What a merchant's server sells: an order and its invoice in one call, a cart filled and checked out (features A3, A11)."""

from dataclasses import replace
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from carts import store_carts
from carts.api.carts import ContactBody, Item, introduce, put_in
from carts.api.checkout import agreed, came_to, credit_for, placed, placed_order
from carts.api.fields import BuyersIp, Code
from carts.api.orders import InvoiceReply, OrderReply, billed, shown
from carts.store_carts import Cart, Contact
from carts.totals import MOST_LINES, total_minor
from chassis import clock, ids, known_customers, replies, stores
from chassis.db import Conn as Transaction
from chassis.http import Api, Asked, Caller, Conn, Data, Reply, policy
from chassis.money import Amount
from chassis.problems import Flaw, Invalid
from contracts.ids import CART, CustomerId

router = Api()


class NewSale(BaseModel):
    """What is bought and by whom, through which affiliate, and how much of it store credit is to pay.

    ``client_ip`` is the buyer's address as the merchant saw it, for the screening.
    """

    model_config = ConfigDict(extra="forbid")

    items: Annotated[list[Item], Field(min_length=1, max_length=MOST_LINES)]
    customer_id: CustomerId | None = None
    contact: ContactBody | None = None
    affiliate_code: Code | None = None
    credit: Amount | None = None
    client_ip: BuyersIp | None = None

    @model_validator(mode="after")
    def _one_buyer(self) -> "NewSale":
        if (self.customer_id is None) == (self.contact is None):
            raise ValueError("who buys is named by customer_id or by contact")
        return self


async def order_outcome(conn: Conn, order_id: str) -> Reply:
    """The order, as stored."""
    order = await placed_order(conn, order_id)
    return came_to(order, Data[OrderReply](data=shown(order)), f"/dev/v1/orders/{order_id}")


async def invoice_outcome(conn: Conn, order_id: str) -> Reply:
    """The order's invoice, as stored."""
    order = await placed_order(conn, order_id)
    return came_to(order, Data[InvoiceReply](data=billed(order)), f"/dev/v1/invoices/{order.invoice_id}")


@router.post("/dev/v1/orders", status_code=201)
@policy("orders.write", key="required", names_customer=True)
@replies.answered_by(order_outcome)
async def place_order(body: NewSale, caller: Caller, conn: Conn) -> Asked:
    """Place an order; its invoice is made with it. Refused as a checkout is."""
    return await _sell(body, caller, conn)


@router.post("/dev/v1/invoices", status_code=201)
@policy("orders.write", key="required", names_customer=True)
@replies.answered_by(invoice_outcome)
async def draw_up_invoice(body: NewSale, caller: Caller, conn: Conn) -> Asked:
    """Draw up an invoice; its order is placed with it. Refused as a checkout is."""
    return await _sell(body, caller, conn)


async def _sell(body: NewSale, caller: Caller, conn: Transaction) -> Asked:
    """Fill a cart and check it out. The caller is the merchant's server: its address is not the buyer's."""
    customer_id = None if body.customer_id is None else await _known(conn, caller.store_id, body.customer_id)
    currency = await stores.currency(conn, caller.store_id)
    cart = Cart(caller.store_id, ids.new(CART), currency, clock.now(), body.affiliate_code, customer_id=customer_id)
    await store_carts.add_cart(conn, cart)
    await put_in(conn, cart, body.items)
    if body.contact is not None:
        contact = Contact(**body.contact.model_dump())
        await introduce(conn, cart, contact)
        cart = replace(cart, contact=contact)
    lines = await store_carts.lines_of(conn, cart.store_id, cart.cart_id)
    credit = credit_for(caller, body.credit, currency)
    agreed(cart, lines, total_minor(lines), credit)
    order = await placed(conn, cart, lines, credit, body.client_ip)
    return Asked(order.order_id)


async def _known(conn: Transaction, store_id: str, customer_id: str) -> str:
    """Who acts for a customer."""
    known = (await known_customers.acting(conn, [(store_id, customer_id)])).get((store_id, customer_id))
    if known is None or known.erased:
        message = "there is no such customer"
        raise Invalid(message, errors=[Flaw(pointer="/customer_id", code="customer_unknown", message=message)])
    return known.acting_id
