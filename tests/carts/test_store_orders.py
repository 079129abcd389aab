"""Orders as the database knows them, beside the rules that it repeats."""

from dataclasses import replace
from itertools import product

import pytest

from carts import store_orders
from carts.orders import Credit, Refusal
from contracts.carts import OrderStatus

PAID = (0, 13_00, 17_00)


@pytest.mark.parametrize("status", OrderStatus)
async def test_an_order_is_open_until_its_buyers_next_step_is_known_and_while_it_is_reviewed(shop, status):
    key = shop.store_id, (await shop.bought(credit=4))["order_id"]
    async with shop.client.runtime.worker.transaction() as conn:
        order = await store_orders.lock_order(conn, *key)
        refusal = Refusal.NOT_WELCOME if status is OrderStatus.CANCELLED else None
        states = [
            replace(order, status=status, refusal=refusal, credit=credit, paid_minor=paid)
            for credit, paid in product(Credit, PAID)
        ]
        for state in [state for state in states if state.due_minor >= 0]:  # the table refuses the others
            await store_orders.save_order(conn, state)
            expected = {key} if status is OrderStatus.UNDER_REVIEW or not state.settled else set()
            assert await store_orders.open_among(conn, [key]) == expected, state
        await store_orders.save_order(conn, order)
