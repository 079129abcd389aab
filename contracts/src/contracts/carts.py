"""What the carts service tells and asks about carts and orders."""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from contracts.event import AmountMinor, Country, Currency, Event, Instant
from contracts.ids import CartId, CustomerId, OrderId, ProductId, ScreeningId
from contracts.topics import CART_CONTACTS, ORDERS


class CartContactGiven(Event, type="cart.contact_given", topic=CART_CONTACTS, key="cart_id"):
    """A visitor said who they are; customers answers with ``customer.identified``. Carries personal data.

    ``revision`` counts the contacts a cart was given. The answer repeats it, so that the answer to an earlier contact
    is never taken for that to a later one.
    """

    cart_id: CartId
    revision: Annotated[int, Field(gt=0)] = 1
    email: str
    name: str | None = None
    phone: str | None = None
    country: Country | None = None


class CartBuyerNamed(Event, type="cart.buyer_named", topic=CART_CONTACTS, key="cart_id"):
    """A merchant said by their id who buys. Customers knows their e-mail, and asks for the screening in carts' place.

    ``screening_id``, ``subject`` and ``ip`` are those of the ``screening.requested`` that follows. Carries personal data.
    """

    cart_id: CartId
    screening_id: ScreeningId
    subject: str
    customer_id: CustomerId
    ip: str | None = None


class OrderStatus(StrEnum):
    """The states of an order (design §5 carts)."""

    PLACED = "PLACED"
    UNDER_REVIEW = "UNDER_REVIEW"
    AWAITING_PAYMENT = "AWAITING_PAYMENT"
    COMPLETED = "COMPLETED"
    PARTIALLY_REFUNDED = "PARTIALLY_REFUNDED"
    REFUNDED = "REFUNDED"
    CANCELLED = "CANCELLED"
    DISPUTED = "DISPUTED"


class OrderLine(BaseModel):
    """One product of an order. ``amount_minor`` is quantity times unit price."""

    model_config = ConfigDict(frozen=True)

    product_id: ProductId
    sku: str
    quantity: Annotated[int, Field(gt=0)]
    amount_minor: AmountMinor


class Touch(BaseModel):
    """A visitor followed an affiliate's link before they bought."""

    model_config = ConfigDict(frozen=True)

    code: str
    at: Instant


class OrderFact(BaseModel):
    """The whole money state of an order, as every ``order.*`` event carries it; the highest ``version`` wins.

    ``customer_id`` is the customer at placement and never changes; ``current_customer_id`` follows merges.
    ``commission_base_minor`` is net of tax, shipping, discounts and credit; ``credit_minor`` is the part paid from
    the wallet. ``gateway`` names the payment provider. ``affiliate_code`` was given with the order; ``touches`` are the
    links its visitor had followed.
    """

    order_id: OrderId
    number: str
    version: Annotated[int, Field(gt=0)]
    customer_id: CustomerId
    current_customer_id: CustomerId
    status: OrderStatus
    currency: Currency
    gross_minor: AmountMinor
    refunded_minor: AmountMinor = 0
    credit_minor: AmountMinor = 0
    commission_base_minor: AmountMinor
    base_remaining_minor: AmountMinor
    placed_at: Instant
    first_completed_at: Instant | None = None
    lines: tuple[OrderLine, ...]
    gateway: str | None = None
    affiliate_code: str | None = None
    agent_id: str | None = None
    touches: tuple[Touch, ...] = ()


class OrderPlaced(OrderFact, Event, type="order.placed", topic=ORDERS, key="customer_id"):
    """An order was accepted and waits for its payment."""


class OrderCompleted(OrderFact, Event, type="order.completed", topic=ORDERS, key="customer_id"):
    """Every part of an order is paid, the wallet's included."""


class OrderCancelled(OrderFact, Event, type="order.cancelled", topic=ORDERS, key="customer_id"):
    """An order ended before it was paid."""
