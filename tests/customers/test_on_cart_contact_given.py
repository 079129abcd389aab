"""One record per person, made once whatever arrives first."""

import asyncio

import pytest

from chassis import ids
from contracts.customers import CustomerCreated, CustomerIdentified, CustomerUpdated
from contracts.ids import CART
from customers.consumers import on_cart_contact_given


def types(events):
    return [type(event) for event in events]


async def test_a_new_address_makes_a_lead_and_says_whose_cart_it_is(shop):
    given = shop.contact("Ann@Example.com", name=" Ann  Lee ", phone="0170 1234567", country="DE", revision=3)
    created, identified = await shop.tell(on_cart_contact_given, given)
    assert types([created, identified]) == [CustomerCreated, CustomerIdentified]
    assert (identified.cart_id, identified.revision) == (given.cart_id, 3)
    assert (created.customer_id, created.version) == (identified.customer_id, 1)
    found = await shop.customer(identified.customer_id)
    assert (found.email, found.name, found.phone, found.country) == (
        "Ann@example.com",
        "Ann Lee",
        "+491701234567",
        "DE",
    )
    assert found.stage == "lead"


async def test_a_second_delivery_answers_again_and_changes_nothing(shop):
    given = shop.contact(name="Ann")
    first = await shop.tell(on_cart_contact_given, given)
    for _ in range(3):
        assert await shop.tell(on_cart_contact_given, given) == first[1:]
    assert await shop.count() == 1


async def test_fifty_at_once_with_one_address_are_one_customer(shop):
    spellings = ["ann@example.com", "ANN@example.com", "Ann@EXAMPLE.com", "\uff41nn@example.com"]
    told = await asyncio.gather(
        *(shop.tell(on_cart_contact_given, shop.contact(spellings[n % 4], name=f"Ann {n}")) for n in range(50))
    )
    assert len({events[-1].customer_id for events in told}) == 1
    assert sum(types(events).count(CustomerCreated) for events in told) == 1
    assert await shop.count() == 1


async def test_two_batches_of_the_same_people_in_opposite_order_do_not_block_each_other(shop):
    addresses = [f"person{n}@example.com" for n in range(40)]
    for _ in range(3):
        forth = [shop.contact(address, name="Ann") for address in addresses]
        back = [shop.contact(address, phone="+491701234567") for address in reversed(addresses)]
        await asyncio.gather(shop.tell(on_cart_contact_given, *forth), shop.tell(on_cart_contact_given, *back))
    assert await shop.count() == 40


async def test_what_was_empty_is_filled_and_what_is_there_stays(shop):
    customer_id = await shop.meet(name="Ann")
    updated, _ = await shop.tell(on_cart_contact_given, shop.contact(name="Bob", country="DE", phone="0170 1234567"))
    assert isinstance(updated, CustomerUpdated)
    assert (updated.version, updated.fields) == (2, ("phone", "country"))
    found = await shop.customer(customer_id)
    assert (found.name, found.phone, found.country, found.version) == ("Ann", "+491701234567", "DE", 2)


async def test_one_batch_with_a_person_twice_makes_one_record_and_answers_both_in_order(shop):
    cart = ids.new(CART)
    batch = [
        shop.contact("ann@example.com", cart_id=cart, revision=1),
        shop.contact("bob@example.com", cart_id=cart, revision=2),
        shop.contact("ANN@example.com", cart_id=cart, revision=3, name="Ann"),
    ]
    told = await shop.tell(on_cart_contact_given, *batch)
    assert types(told) == [CustomerCreated] * 2 + [CustomerIdentified] * 3
    first, second, third = told[2:]
    assert [answer.revision for answer in told[2:]] == [1, 2, 3]
    assert first.customer_id == third.customer_id != second.customer_id
    assert (await shop.customer(first.customer_id)).name == "Ann"


async def test_two_stores_never_share_a_customer(new_shop):
    one, other = await new_shop(), await new_shop()
    assert await one.meet("ann@example.com") != await other.meet("ann@example.com")


async def test_a_phone_that_is_none_and_a_name_without_end_keep_nobody_from_buying(shop):
    customer_id = await shop.meet(name="A\0" + "n" * 10_000, phone="call me\0")
    found = await shop.customer(customer_id)
    assert found.phone is None
    assert found.name == "A " + "n" * 198


async def test_a_malformed_address_is_the_events_fault_and_writes_nothing(shop):
    with pytest.raises(ValueError, match="@"):
        await shop.tell(on_cart_contact_given, shop.contact("good@example.com"), shop.contact("not an address"))
    assert await shop.count() == 0
