"""Nobody earns by what they bought themselves, whenever it turns out that buyer and affiliate are one person."""

import asyncio

import pytest
from handling import somebody_waits
from merges import FOLLOW
from payout_desk import OTHER_TRON, TRON, ask

from affiliates import consumers, store_people, timers
from chassis import ids
from chassis.timers import one_slice
from contracts.affiliates import CommissionPayable, CommissionReversed

pytestmark = pytest.mark.usefixtures("alone")
MATURE, *_ = timers.ALL


@pytest.fixture
async def waits(shop):
    """An affiliate who has earned 10 that wait, and the buyer."""
    await shop.program(waiting_days=14)
    affiliate, buyer = await shop.enrol(), await shop.customer()
    await shop.order(customer_id=buyer)
    return affiliate, buyer


async def shown(shop):
    (commission,) = (await shop.client.get("/dev/v1/affiliates/commissions")).data
    return commission["status"], commission["reason"], commission["amount"]


OWN = "declined", "own_purchase", None


async def test_what_staff_release_is_declined_if_it_is_known_to_be_ones_own(shop):
    """The merge is heard, and nobody was looked at yet."""
    affiliate, buyer = await shop.enrol(), await shop.customer()
    await shop.order(customer_id=buyer)
    (commission,) = (await shop.client.get("/dev/v1/affiliates/commissions")).data
    path = f"/dev/v1/affiliates/commissions/{commission['id']}"
    await shop.client.post(f"{path}/hold", key="hold")
    await shop.merge(buyer, affiliate)
    released = await shop.client.post(f"{path}/release", key="release")
    assert (released.status, released.data["status"], released.data["reason"]) == (200, *OWN[:2])
    assert (await shop.buckets(affiliate))["available"] == 0
    assert len(await shop.announced(CommissionPayable)) == 0


@pytest.mark.parametrize("becomes", ["affiliate", "buyer"])
async def test_who_becomes_the_other_while_it_waits_is_paid_nothing(shop, waits, becomes):
    affiliate, buyer = waits
    await shop.merge(*((buyer, affiliate) if becomes == "affiliate" else (affiliate, buyer)))
    await shop.follow()
    assert await shown(shop) == OWN
    summary = await shop.summary(affiliate)
    assert (summary["pending"], summary["link"]["total_sales"]) == (0, 0)
    (told,) = await shop.announced(CommissionReversed)
    assert (told.amount_minor, told.reversed_minor, told.reason) == (0, 1000, "own_purchase")


async def test_what_is_known_to_be_ones_own_does_not_mature(shop, waits, later):
    """The timer that looks again has not come to it yet."""
    affiliate, buyer = waits
    await shop.merge(buyer, affiliate)
    later(days=14.1)
    assert await one_slice(shop.worker, MATURE) == 1
    assert await shown(shop) == OWN
    assert (await shop.buckets(affiliate))["available"] == 0


async def test_what_was_taken_of_ones_own_purchase_is_debt(shop):
    affiliate, buyer = await shop.enrol(), await shop.customer()
    await shop.order(customer_id=buyer)
    await asyncio.gather(shop.convert(affiliate, 10), shop.answer())
    await shop.merge(buyer, affiliate)
    await shop.follow()
    assert (await shop.buckets(affiliate))["debt"] == 10


async def test_a_held_one_and_one_without_a_rate_are_declined_and_a_denied_one_stays(shop):
    affiliate, buyer = await shop.enrol(), await shop.customer()
    for action in ("hold", "deny"):
        await shop.order(customer_id=buyer)
        (commission, *_) = (await shop.client.get("/dev/v1/affiliates/commissions")).data
        body = {"reason": "terms"} if action == "deny" else None
        assert (
            await shop.client.post(
                f"/dev/v1/affiliates/commissions/{commission['id']}/{action}", body, key=ids.new("key")
            )
        ).status == 200
    await shop.order(customer_id=buyer, currency="USD")
    await shop.merge(buyer, affiliate)
    await shop.follow()
    found = (await shop.client.get("/dev/v1/affiliates/commissions")).data
    assert [each["status"] for each in found] == ["declined", "denied", "declined"]


async def test_it_stays_declined_whatever_carts_know(shop, waits):
    affiliate, buyer = waits
    (row,) = await shop.rows("SELECT order_id FROM commission WHERE store_id = $1", shop.store_id)
    await shop.merge(buyer, affiliate)
    await shop.follow()
    again = shop.new_order(order_id=row["order_id"], customer_id=affiliate, current_customer_id=buyer, version=2)
    await shop.complete(again)
    assert await shown(shop) == OWN


async def test_a_chain_of_merges_on_either_side_ends_in_one_person(shop, waits):
    affiliate, buyer = waits
    first, last = await shop.customer(), await shop.customer()
    await shop.merge(buyer, first)
    await shop.follow()
    assert (await shown(shop))[0] == "pending"
    await shop.merge(affiliate, last)
    await shop.follow()
    assert (await shown(shop))[0] == "pending"
    await shop.merge(first, last)
    await shop.follow()
    assert await shown(shop) == OWN


async def test_who_buys_while_the_merge_is_heard_earns_nothing(shop):
    """The order has the buyer's name from before, and waits for the affiliate while the merge is looked at."""
    affiliate, buyer = await shop.enrol(), await shop.customer()
    async with shop.worker.transaction() as conn:
        await conn.row("SELECT 1 FROM affiliate WHERE customer_id = $1 FOR UPDATE", affiliate)
        heard = asyncio.create_task(shop.order(customer_id=buyer))
        await somebody_waits(shop.worker)
        await shop.merge(buyer, affiliate)
    await heard
    assert await shown(shop) == OWN


async def test_an_affiliate_who_absorbs_the_seller_is_not_paid_for_what_they_bought(shop):
    seller, buyer = await shop.enrol("sell-code"), await shop.enrol("buy-code")
    await shop.order(code="sell-code", customer_id=buyer)
    await shop.merge(seller, buyer)
    await shop.follow()
    assert await shown(shop) == OWN
    assert (await shop.buckets(buyer))["available"] == 0


async def two_who_buy(shop):
    """Two affiliates with something to take, whose purchases by each other's code wait."""
    ann, bob = await shop.enrol("ann-code"), await shop.enrol("bob-code")
    await shop.order(code="ann-code")
    await shop.order(code="bob-code")
    await shop.program(waiting_days=14)
    await shop.order(code="bob-code", customer_id=ann, base=50_000)
    await shop.order(code="ann-code", customer_id=bob, base=50_000)
    return ann, bob


async def pending(shop, *customers):
    return [(await shop.buckets(customer))["pending"] for customer in customers]


async def test_who_asks_for_the_address_of_the_buyer_while_it_waits_earns_nothing(shop):
    ann, bob = await two_who_buy(shop)
    await ask(shop, ann)
    await shop.follow()
    assert await pending(shop, ann, bob) == [50, 50]
    await ask(shop, bob, address=OTHER_TRON)
    await shop.follow()
    assert await pending(shop, ann, bob) == [50, 50]
    assert (await ask(shop, bob, amount=1, address=TRON)).status == 201
    await shop.follow()
    assert await pending(shop, ann, bob) == [0, 0]


async def test_two_who_ask_at_once_do_not_miss_each_other(shop):
    ann, bob = await two_who_buy(shop)
    assert [reply.status for reply in await asyncio.gather(ask(shop, ann), ask(shop, bob))] == [201, 201]
    await shop.follow()
    assert await pending(shop, ann, bob) == [0, 0]


async def test_the_address_of_a_rejected_payout_shows_who_somebody_is(shop):
    ann, bob = await two_who_buy(shop)
    claim = (await ask(shop, ann)).data["claim_id"]
    assert (
        await shop.client.post(f"/dev/v1/affiliates/payouts/{claim}/reject", {"reason": "no"}, key="reject")
    ).status == 200
    await ask(shop, bob)
    await shop.follow()
    assert await pending(shop, ann, bob) == [0, 0]


async def test_who_becomes_one_who_shares_an_address_is_the_same_person_too(shop):
    ann, bob = await two_who_buy(shop)
    other = await shop.customer()
    await shop.order(code="bob-code", customer_id=other)
    await ask(shop, ann)
    await ask(shop, bob)
    await shop.follow()
    assert await pending(shop, bob) == [10]
    await shop.merge(other, ann)
    await shop.follow()
    assert await pending(shop, bob) == [0]


@pytest.mark.parametrize("heard", ["nothing", "buyer became ann", "ann became buyer"])
async def test_who_shares_the_address_of_the_buyer_earns_nothing_from_the_first_moment(shop, heard):
    """Also while the merge is heard and nobody has been looked at."""
    ann, bob = await two_who_buy(shop)
    await ask(shop, ann)
    await ask(shop, bob)
    await shop.follow()
    buyer = ann
    if heard != "nothing":
        buyer = await shop.customer()
        await shop.merge(*((buyer, ann) if heard == "buyer became ann" else (ann, buyer)))
    await shop.order(code="bob-code", customer_id=buyer)
    assert await pending(shop, bob) == [0]


async def test_many_are_taken_back_slice_by_slice(shop, monkeypatch):
    monkeypatch.setattr(timers, "_SLICE", 2)
    affiliate, buyer = await shop.enrol(), await shop.customer()
    await shop.complete(*(shop.new_order(customer_id=buyer) for _ in range(5)))
    await shop.order()
    await shop.merge(buyer, affiliate)
    await shop.follow()
    assert (await shop.buckets(affiliate))["available"] == 10


async def looks(shop) -> int:
    """How often somebody was looked at until nobody waits."""
    count = 0
    while await one_slice(shop.worker, FOLLOW):
        count += 1
    return count


async def test_a_thousand_paid_at_one_address_are_looked_at_once_each(shop):
    """Not each by each, though all earn: an agency has its creators paid at one wallet."""
    creators = [await shop.enrol(f"code-{n}") for n in range(12)]
    await shop.complete(*(shop.new_order(code=f"code-{n}") for n in range(12)))
    await looks(shop)
    for creator in creators:
        assert (await ask(shop, creator)).status == 201
        assert await looks(shop) == 1


async def test_all_that_is_new_of_somebody_is_one_look(shop):
    affiliate = await shop.enrol()
    await shop.order()
    for network, address in (("tron", TRON), ("tron", OTHER_TRON)):
        assert (await ask(shop, affiliate, amount=1, network=network, address=address)).status == 201
    for _ in range(3):
        await shop.merge(await shop.customer(), affiliate)
    assert await looks(shop) == 2  # the merges are noted, the affiliate looked at


async def test_who_was_about_to_earn_when_the_address_was_looked_at_is_looked_at_too(shop):
    """The order was decided before the buyer asked for the address, and commits after the look."""
    ann, bob = await shop.enrol("ann-code"), await shop.enrol("bob-code")
    await shop.complete(*(shop.new_order(code=code) for code in ("ann-code", "bob-code")))
    await shop.program(waiting_days=14)
    await ask(shop, ann)
    await shop.follow()
    async with shop.worker.transaction() as conn:
        await consumers.on_orders_completed([shop.new_order(code="ann-code", customer_id=bob)], conn)
        assert (await ask(shop, bob)).status == 201
        assert await one_slice(shop.worker, FOLLOW) == 1
    await shop.follow()
    assert await pending(shop, ann, bob) == [0, 0]


async def test_a_look_that_never_succeeds_is_told_and_hides_only_its_own(shop, monkeypatch):
    affiliate, buyer, other = await shop.enrol(), await shop.customer(), await shop.enrol("other-code")
    await shop.order(customer_id=buyer)
    other_order = await shop.order(code="other-code")
    await shop.follow()
    own_purchases_of = store_people.own_purchases_of

    async def broken(*_):
        raise ValueError

    monkeypatch.setattr(store_people, "own_purchases_of", broken)
    await shop.merge(buyer, affiliate)
    await shop.follow()
    for tries in range(1, 6):
        assert (await shop.faults() == []) == (tries < 5)
        await shop.rows("UPDATE look_again SET due_at = now() WHERE store_id = $1", shop.store_id)
        await shop.follow()
    assert [fault.partition("could")[2] for fault in await shop.faults()] == [" not be looked at, 6 tries"]
    await shop.rows(
        "UPDATE commission SET customer_id = $2 WHERE store_id = $1 AND order_id = $3",
        shop.store_id,
        other,
        other_order.order_id,
    )
    assert sum("who bought it" in fault for fault in await shop.faults()) == 1
    await shop.rows(
        "UPDATE commission SET customer_id = $2 WHERE store_id = $1 AND order_id = $3",
        shop.store_id,
        other_order.customer_id,
        other_order.order_id,
    )
    monkeypatch.setattr(store_people, "own_purchases_of", own_purchases_of)
    await shop.rows("UPDATE look_again SET due_at = now() WHERE store_id = $1", shop.store_id)
    await shop.follow()
    assert (await shop.buckets(affiliate))["available"] == 0


async def test_verify_sees_what_a_sharer_of_the_address_bought(shop):
    ann, bob = await shop.enrol("ann-code"), await shop.enrol("bob-code")
    await shop.complete(*(shop.new_order(code=code) for code in ("ann-code", "bob-code")))
    await ask(shop, ann)
    await ask(shop, bob)
    await shop.follow()
    await shop.rows("UPDATE commission SET current_customer_id = $2 WHERE store_id = $1", shop.store_id, ann)
    faults = await shop.faults()
    assert len(faults) == 2
    assert all("who bought it" in fault for fault in faults)
    shop.expected = faults
