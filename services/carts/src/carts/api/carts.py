"""The buyer's cart. Its id is the secret that opens it: any caller of the store who knows it may use it."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from carts import store_carts, store_catalogue
from carts.api.fields import CartPath, Code, Country, Email, Name, Phone, ProductPath, Quantity, Sku, Touches
from carts.store_carts import Cart, Contact
from carts.totals import LARGEST_QUANTITY, MOST_LINES, Line, total_minor
from chassis import clock, ids, replies, stores
from chassis.db import Conn as Transaction
from chassis.http import Api, Caller, Conn, Data, policy
from chassis.money import Major, major
from chassis.problems import Flaw, Invalid, NotFound, Refused
from contracts.carts import CartContactGiven
from contracts.ids import CART, ProductId

router = Api()


class CartClosed(Refused):
    """What was ordered does not change any more."""

    code = "cart_closed"
    title = "This cart was checked out"


class Item(BaseModel):
    """A product, by its id or its SKU."""

    model_config = ConfigDict(extra="forbid")

    product_id: ProductId | None = None
    sku: Sku | None = None
    quantity: Quantity = 1

    @model_validator(mode="after")
    def _one_name(self) -> "Item":
        if (self.product_id is None) == (self.sku is None):
            raise ValueError("an item is named by product_id or by sku")
        return self


class NewCart(BaseModel):
    """What a visitor wants, and through whom they came."""

    model_config = ConfigDict(extra="forbid")

    items: Annotated[list[Item], Field(max_length=MOST_LINES)] = []
    affiliate_code: Code | None = None


class NewQuantity(BaseModel):
    """How many of a product."""

    model_config = ConfigDict(extra="forbid")

    quantity: Quantity


class ContactBody(BaseModel):
    """Who a visitor says they are."""

    model_config = ConfigDict(extra="forbid")

    email: Email
    name: Name | None = None
    phone: Phone | None = None
    country: Country | None = None


class ContactReply(BaseModel):
    """Who a visitor said they are."""

    email: str
    name: str | None
    phone: str | None
    country: str | None


class LineReply(BaseModel):
    """One product of a cart at its price of now. ``available``: it is for sale."""

    product_id: str
    sku: str
    name: str
    quantity: int
    unit_price: Major
    amount: Major
    available: bool


class CartReply(BaseModel):
    """A cart. ``order_id`` is the order that closed it; ``customer_id`` is null until customers has answered."""

    id: str
    status: Literal["open", "closed"]
    currency: str
    items: list[LineReply]
    total: Major
    contact: ContactReply | None
    customer_id: str | None
    affiliate_code: str | None
    order_id: str | None


@router.post("/storefront/v1/carts", status_code=201)
@policy("carts.write")
async def open_cart(body: NewCart, touches: Touches, caller: Caller, conn: Conn) -> Data[CartReply]:
    """Open a cart. The affiliate code stays what it is, and the links that were followed until now are kept."""
    currency = await stores.currency(conn, caller.store_id)
    cart = Cart(caller.store_id, ids.new(CART), currency, clock.now(), body.affiliate_code, touches)
    await store_carts.add_cart(conn, cart)
    await put_in(conn, cart, body.items)
    return await _shown(conn, cart)


@router.get("/storefront/v1/carts/{cart_id}")
@policy("carts.read")
async def get_cart(cart_id: CartPath, caller: Caller, conn: Conn) -> Data[CartReply]:
    """A cart at the prices of now."""
    cart = await store_carts.cart_of(conn, caller.store_id, cart_id)
    if cart is None:
        raise NotFound
    return await _shown(conn, cart)


@router.post("/storefront/v1/carts/{cart_id}/items")
@policy("carts.write")
async def add_item(cart_id: CartPath, body: Item, caller: Caller, conn: Conn) -> Data[CartReply]:
    """Put more of a product into a cart."""
    cart = await lock_open(conn, caller.store_id, cart_id)
    await put_in(conn, cart, [body], pointer="")
    return await _shown(conn, cart)


@router.put("/storefront/v1/carts/{cart_id}/items/{product_id}")
@policy("carts.write")
async def set_quantity(
    cart_id: CartPath, product_id: ProductPath, body: NewQuantity, caller: Caller, conn: Conn
) -> Data[CartReply]:
    """Change how many of a product are in a cart; 404 when none is."""
    cart = await lock_open(conn, caller.store_id, cart_id)
    if product_id not in {line.product_id for line in await store_carts.lines_of(conn, caller.store_id, cart_id)}:
        raise NotFound("the cart has no such item")
    await store_carts.put_items(conn, caller.store_id, cart_id, {product_id: body.quantity})
    return await _shown(conn, cart)


@router.delete("/storefront/v1/carts/{cart_id}/items/{product_id}")
@policy("carts.write")
async def remove_item(cart_id: CartPath, product_id: ProductPath, caller: Caller, conn: Conn) -> Data[CartReply]:
    """Take a product out of a cart, if it is in there."""
    cart = await lock_open(conn, caller.store_id, cart_id)
    await store_carts.remove_item(conn, caller.store_id, cart_id, product_id)
    return await _shown(conn, cart)


@router.put("/storefront/v1/carts/{cart_id}/contact")
@policy("carts.write")
async def put_contact(cart_id: CartPath, body: ContactBody, caller: Caller, conn: Conn) -> Data[CartReply]:
    """Say who the buyer is; the customers service is asked whose cart this makes it. The same again changes nothing."""
    cart = await lock_open(conn, caller.store_id, cart_id)
    contact = Contact(**body.model_dump())
    if contact != cart.contact:
        await introduce(conn, cart, contact)
    return await get_cart(cart_id, caller, conn)


async def lock_open(conn: Transaction, store_id: str, cart_id: str) -> Cart:
    """A locked cart that no order has closed. Raises ``NotFound``, ``CartClosed``."""
    cart = await store_carts.lock_cart(conn, store_id, cart_id)
    if cart is None:
        raise NotFound
    if cart.order_id is not None:
        raise CartClosed
    return cart


async def introduce(conn: Transaction, cart: Cart, contact: Contact) -> None:
    """Say who buys a locked cart, and ask the customers service whose that makes it."""
    revision = await store_carts.give_contact(conn, cart, contact)
    question = CartContactGiven(store_id=cart.store_id, cart_id=cart.cart_id, revision=revision, **asdict(contact))
    await replies.ask(conn, store_carts.contact_request(cart.cart_id, revision), question)


async def put_in(conn: Transaction, cart: Cart, items: Sequence[Item], pointer: str = "/items/{}") -> None:
    """Add to what is in a locked cart. Raises ``Invalid`` naming each item that does not fit."""
    found = await store_catalogue.products(
        conn, cart.store_id, [i.product_id for i in items if i.product_id], [i.sku for i in items if i.sku]
    )
    by_id = {product.product_id: product for product in found}
    by_sku = {product.sku: product for product in found}
    inside = {line.product_id: line.quantity for line in await store_carts.lines_of(conn, cart.store_id, cart.cart_id)}
    quantities: dict[str, int] = {}
    flaws: list[Flaw] = []
    for position, item in enumerate(items):
        product = by_sku.get(item.sku) if item.sku is not None else by_id.get(item.product_id or "")
        at = pointer.format(position)
        if product is None:
            flaws.append(Flaw(pointer=at, code="product_unknown", message="there is no such product"))
        elif not product.active:
            flaws.append(Flaw(pointer=at, code="product_unavailable", message="this product is not for sale"))
        else:
            known = quantities.get(product.product_id, inside.get(product.product_id, 0))
            quantities[product.product_id] = known + item.quantity
            if quantities[product.product_id] > LARGEST_QUANTITY:
                message = f"a cart holds at most {LARGEST_QUANTITY} of a product"
                flaws.append(Flaw(pointer=at, code="quantity_range", message=message))
    if len(inside | quantities) > MOST_LINES:
        message = f"a cart holds at most {MOST_LINES} products"
        flaws.append(Flaw(pointer=pointer.format(len(items) - 1), code="too_many_items", message=message))
    if flaws:
        raise Invalid(errors=flaws)
    await store_carts.put_items(conn, cart.store_id, cart.cart_id, quantities)


async def _shown(conn: Transaction, cart: Cart) -> Data[CartReply]:
    lines = await store_carts.lines_of(conn, cart.store_id, cart.cart_id)
    contact = cart.contact
    reply = CartReply(
        id=cart.cart_id,
        status="open" if cart.order_id is None else "closed",
        currency=cart.currency,
        items=[_line(line, cart.currency) for line in lines],
        total=major(total_minor(lines), cart.currency),
        contact=None if contact is None else ContactReply(**asdict(contact)),
        customer_id=cart.customer_id,
        affiliate_code=cart.affiliate_code,
        order_id=cart.order_id,
    )
    return Data(data=reply)


def _line(line: Line, currency: str) -> LineReply:
    return LineReply(
        product_id=line.product_id,
        sku=line.sku,
        name=line.name,
        quantity=line.quantity,
        unit_price=major(line.unit_minor, currency),
        amount=major(line.amount_minor, currency),
        available=line.available,
    )
