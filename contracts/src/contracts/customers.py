"""What the customers service tells: who exists, and who a cart belongs to."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from contracts.event import Event, Instant
from contracts.ids import CartId, CustomerId
from contracts.topics import CUSTOMER_IDENTITY, CUSTOMERS


class CustomerState(StrEnum):
    """Where a customer record stands."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    MERGED = "merged"
    ERASED = "erased"


class CustomerCreated(Event, type="customer.created", topic=CUSTOMERS, key="customer_id"):
    """A customer record appeared; once per record. The highest ``version`` of any ``customer.*`` event wins."""

    customer_id: CustomerId
    version: int
    state: CustomerState
    merged_into: CustomerId | None = None
    created_at: Instant


class CustomerUpdated(Event, type="customer.updated", topic=CUSTOMERS, key="customer_id"):
    """Fields of a customer changed: which ones, never their values."""

    customer_id: CustomerId
    version: int
    state: CustomerState
    merged_into: CustomerId | None = None
    fields: tuple[str, ...] = ()


class CustomerIdentified(Event, type="customer.identified", topic=CUSTOMER_IDENTITY, key="cart_id"):
    """The answer to ``cart.contact_given``: whose cart it is, by the contact of this ``revision``."""

    cart_id: CartId
    revision: Annotated[int, Field(gt=0)] = 1
    customer_id: CustomerId
