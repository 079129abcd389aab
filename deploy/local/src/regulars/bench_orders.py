"""Completed orders as carts tells of them."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from chassis import ids
from contracts.carts import OrderCompleted, OrderLine, OrderStatus
from contracts.ids import ORDER, PRODUCT


@dataclass(frozen=True)
class Orders:
    """Whose orders they are and by whose codes: each in turn."""

    store_id: str
    customers: Sequence[str]
    codes: Sequence[str]

    def made(self, count: int, each: int = 1) -> Iterator[OrderCompleted]:
        """So many orders of 10.00, each completed a moment ago; every ``each``-th came with a code."""
        now, product = datetime.now(UTC), ids.new(PRODUCT)
        customers, codes = itertools.cycle(self.customers), itertools.cycle(self.codes)
        for number in range(count):
            customer_id = next(customers)
            yield OrderCompleted(
                store_id=self.store_id,
                order_id=ids.new(ORDER),
                number=f"B{number}",
                version=2,
                customer_id=customer_id,
                current_customer_id=customer_id,
                status=OrderStatus.COMPLETED,
                currency="EUR",
                gross_minor=1_000,
                commission_base_minor=1_000,
                base_remaining_minor=1_000,
                placed_at=now,
                first_completed_at=now,
                lines=(OrderLine(product_id=product, sku="bench", quantity=1, amount_minor=1_000),),
                gateway="sandbox",
                affiliate_code=None if number % each else next(codes),
            )
