"""A buyer whom a merchant named by their id is screened by their e-mail as well."""

import pytest

from chassis import ids
from chassis.inbox import NotYet
from contracts.carts import CartBuyerNamed
from contracts.fraud import ScreeningRequested
from contracts.ids import CART, CUSTOMER, ORDER, SCREENING
from customers.consumers import on_cart_buyers_named


def named(shop, customer_id, **more):
    fields = {"cart_id": ids.new(CART), "screening_id": ids.new(SCREENING), "subject": ids.new(ORDER)}
    return CartBuyerNamed(store_id=shop.store_id, customer_id=customer_id, **fields | more)


async def test_the_screening_is_asked_for_with_the_email(shop):
    ann = await shop.meet("Ann@example.com")
    event = named(shop, ann, ip="203.0.113.7")
    (asked,) = await shop.tell(on_cart_buyers_named, event)
    assert isinstance(asked, ScreeningRequested)
    assert (asked.screening_id, asked.subject, asked.customer_id) == (event.screening_id, event.subject, ann)
    assert (asked.email, asked.ip) == ("Ann@example.com", "203.0.113.7")


async def test_a_repeat_asks_the_same_again(shop):
    event = named(shop, await shop.meet())
    assert await shop.tell(on_cart_buyers_named, event) == await shop.tell(on_cart_buyers_named, event)


async def test_each_of_a_batch_of_stores_and_buyers_is_asked_for_in_order(shop, new_shop):
    other = await new_shop()
    buyers = [
        (shop, await shop.meet("ann@example.com"), "ann@example.com"),
        (other, await other.meet("bo@example.com"), "bo@example.com"),
        (shop, await shop.meet("cy@example.com"), "cy@example.com"),
    ] * 2
    told = await shop.tell(on_cart_buyers_named, *(named(where, buyer) for where, buyer, _ in buyers))
    assert [(asked.store_id, asked.customer_id, asked.email) for asked in told] == [
        (where.store_id, buyer, email) for where, buyer, email in buyers
    ]


async def test_who_was_merged_is_screened_by_the_email_of_who_acts_for_them(shop):
    old, ann = await shop.meet("old@example.com"), await shop.meet("ann@example.com")
    await shop.execute("UPDATE customer SET state = 'merged', merged_into = $1 WHERE id = $2", ann, old)
    (asked,) = await shop.tell(on_cart_buyers_named, named(shop, old))
    assert (asked.customer_id, asked.email) == (old, "ann@example.com")


async def test_the_erased_have_no_email(shop):
    ann = await shop.meet()
    await shop.execute("UPDATE customer SET state = 'erased' WHERE id = $1", ann)
    (asked,) = await shop.tell(on_cart_buyers_named, named(shop, ann))
    assert (asked.customer_id, asked.email) == (ann, None)


async def test_whom_nobody_knows_is_not_let_by_without_an_email(shop, new_shop):
    known = named(shop, await shop.meet())
    theirs = named(shop, await (await new_shop()).meet())
    nobody = named(shop, ids.new(CUSTOMER))
    with pytest.raises(NotYet) as verdict:
        await shop.tell(on_cart_buyers_named, known, theirs, nobody)
    assert verdict.value.events == [theirs, nobody]
