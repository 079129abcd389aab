"""What the world is told of a customer."""

from datetime import datetime

from contracts.customers import CustomerCreated, CustomerState, CustomerUpdated
from customers.figures import Who


def created(who: Who, now: datetime) -> CustomerCreated:
    """The record appeared."""
    return CustomerCreated(
        store_id=who.store_id, customer_id=who.customer_id, version=1, state=CustomerState.ACTIVE, created_at=now
    )


def updated(who: Who, version: int, state: str, fields: tuple[str, ...]) -> CustomerUpdated:
    """These fields changed, and the record is at this version now."""
    return CustomerUpdated(
        store_id=who.store_id, customer_id=who.customer_id, version=version, state=CustomerState(state), fields=fields
    )
