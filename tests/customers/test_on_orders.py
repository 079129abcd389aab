"""Figures follow the highest version of each order, whatever comes twice, late or in another order."""

import asyncio
import itertools
import random

import pytest

from chassis import ids
from chassis.inbox import NotYet
from contracts.carts import OrderCancelled, OrderPlaced
from contracts.ids import CUSTOMER, ORDER
from customers import store_figures
from customers.consumers import on_orders_cancelled, on_orders_completed, on_orders_placed
from customers.figures import LastOrder, Takings, Who


def figures(customer):
    return (customer.stage, customer.orders, customer.gross_minor, customer.refunded_minor, customer.net_minor)


async def test_the_first_completed_order_makes_a_lead_a_customer(shop):
    ann = await shop.meet()
    order = shop.order(ann, gross=2500, number="1007")
    (updated,) = await shop.tell(on_orders_completed, order)
    assert (updated.customer_id, updated.version, updated.fields) == (ann, 2, ("stage",))
    found = await shop.customer(ann)
    assert figures(found) == ("customer", 1, 2500, 0, 2500)
    assert found.last_order == LastOrder(order.order_id, "1007", order.first_completed_at)
    assert found.first_completed_order_at == order.first_completed_at


async def test_a_placed_or_cancelled_order_leaves_a_lead_a_lead(shop):
    ann = await shop.meet()
    placed = shop.order(ann, OrderPlaced, version=1)
    cancelled = shop.order(ann, OrderCancelled, version=2, order_id=placed.order_id)
    assert await shop.tell(on_orders_placed, placed) == []
    assert await shop.tell(on_orders_cancelled, cancelled) == []
    assert figures(await shop.customer(ann)) == ("lead", 0, 0, 0, 0)


async def test_any_order_and_number_of_deliveries_ends_in_the_same_figures(shop):
    """Three versions of one order in each of their six orders, each told three times."""
    for versions in itertools.permutations([1, 2, 3]):
        ann = await shop.meet(f"ann{versions}@example.com".replace(", ", "").replace("(", "").replace(")", ""))
        order_id = ids.new(ORDER)
        told = {
            1: (on_orders_placed, shop.order(ann, OrderPlaced, version=1, order_id=order_id)),
            2: (on_orders_completed, shop.order(ann, version=2, gross=1000, order_id=order_id)),
            3: (on_orders_completed, shop.order(ann, version=3, gross=1000, refunded_minor=400, order_id=order_id)),
        }
        news = [event for version in versions * 3 for event in await shop.tell(*told[version])]
        assert [event.fields for event in news] == [("stage",)]
        assert figures(await shop.customer(ann)) == ("customer", 1, 1000, 400, 600)


async def test_one_batch_may_hold_several_versions_and_customers(shop):
    ann, bob = await shop.meet("ann@example.com"), await shop.meet("bob@example.com")
    first = shop.order(ann, version=2, gross=1000, day=1, number="1")
    again = first.model_copy(update={"version": 3, "refunded_minor": 1000})
    later = shop.order(ann, gross=500, day=2, number="2")
    other = shop.order(bob, gross=700)
    news = await shop.tell(on_orders_completed, again, other, first, later)
    assert {event.customer_id for event in news} == {ann, bob}
    assert figures(await shop.customer(ann)) == ("customer", 2, 1500, 1000, 500)
    assert figures(await shop.customer(bob)) == ("customer", 1, 700, 0, 700)
    assert (await shop.customer(ann)).last_order.number == "2"


async def test_orders_in_other_currencies_count_but_their_money_stands_apart(shop, worker):
    ann = await shop.meet()
    await shop.tell(
        on_orders_completed,
        shop.order(ann, gross=1000),
        shop.order(ann, gross=3000, currency="JPY", gateway="stripe"),
        shop.order(ann, gross=200, gateway=None),
    )
    found = await shop.customer(ann)
    assert (found.orders, found.settled_orders, found.net_minor) == (3, 2, 1200)
    async with worker.transaction() as conn:
        takings = await store_figures.takings_of(conn, Who(shop.store_id, ann))
    assert takings == [
        Takings("EUR", "sandbox", 1, 1000, 0),
        Takings("EUR", None, 1, 200, 0),
        Takings("JPY", "stripe", 1, 3000, 0),
    ]


async def test_orders_completed_at_once_are_all_counted(shop):
    ann = await shop.meet()
    await asyncio.gather(*(shop.tell(on_orders_completed, shop.order(ann, gross=100)) for _ in range(20)))
    assert figures(await shop.customer(ann)) == ("customer", 20, 2000, 0, 2000)


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_happens_to_orders_the_figures_are_the_fold_of_what_is_kept(new_shop, worker, seed):
    """Versions in any order and batch, refunds, another currency, a completion that moves or is undone."""
    dice = random.Random(seed)
    shop = await new_shop()
    people = [await shop.meet(f"p{n}@example.com") for n in range(3)]
    orders = [(ids.new(ORDER), dice.choice(people), str(n)) for n in range(12)]
    told = dict.fromkeys(people, 1)
    for _ in range(25):
        batch = []
        for order_id, who, number in dice.choices(orders, k=dice.randint(1, 6)):
            order = shop.order(
                who,
                order_id=order_id,
                number=number,
                version=dice.randint(1, 40),
                gross=dice.randint(0, 9) * 100,
                refunded_minor=dice.choice([0, 0, 50]),
                currency=dice.choice(["EUR", "EUR", "EUR", "JPY"]),
                day=dice.choice([1, 1, 1, 2, 3]),
            )
            batch.append(order if dice.random() > 0.1 else order.model_copy(update={"first_completed_at": None}))
        told |= {event.customer_id: event.version for event in await shop.tell(on_orders_completed, *batch)}
        async with worker.transaction() as conn:
            assert await store_figures.faults(conn) == []
            rows = await conn.rows("SELECT id, version FROM customer WHERE store_id = $1", shop.store_id)
        assert {row["id"]: row["version"] for row in rows} == told


async def test_an_order_of_somebody_not_here_yet_waits_alone(shop):
    ann = await shop.meet()
    known, unknown = shop.order(ann), shop.order(ids.new(CUSTOMER))
    with pytest.raises(NotYet) as waiting:
        await shop.tell(on_orders_completed, known, unknown)
    assert waiting.value.events == [unknown]


async def test_an_order_of_a_store_not_heard_of_waits(new_shop):
    shop = await new_shop()
    ann = await shop.meet()
    await shop.execute("DELETE FROM store WHERE store_id = $1", shop.store_id)
    with pytest.raises(NotYet):
        await shop.tell(on_orders_completed, shop.order(ann))


async def test_verify_finds_figures_that_are_not_the_fold(new_shop, worker):
    shop = await new_shop()
    ann = await shop.meet()
    await shop.tell(on_orders_completed, shop.order(ann))
    for column in ("orders", "gross_minor", "refunded_minor", "settled_orders"):
        await shop.execute(f"UPDATE customer SET {column} = {column} + 1 WHERE id = $1", ann)
        async with worker.transaction() as conn:
            assert await store_figures.faults(conn) == [f"the figures of {ann} are not the fold of their orders"]
        await shop.execute(f"UPDATE customer SET {column} = {column} - 1 WHERE id = $1", ann)
    async with worker.transaction() as conn:
        assert await store_figures.faults(conn) == []
