"""An order is refunded before, while and after its commission is taken, and its dispute is won again: to the cent.

A version of ``order.completed`` says so in each case: 25 are owed, 20 are taken, and of the order so much is refunded
that 5 are owed.
"""

import asyncio

import pytest

from affiliates import consumers
from chassis import ids, replies
from contracts.carts import OrderStatus

TRON = {"asset": "USDT", "network": "tron", "address": "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"}
BODIES = {"sent": {"transaction_hash": "ab" * 32}, "reject": {"reason": "no"}, "fail": {"reason": "lost"}}


class Book:
    """An affiliate with 25 available, what can happen to them, and where their money is: what is not nothing."""

    def __init__(self, shop, customer, order):
        self.shop, self.customer, self.order, self.claim = shop, customer, order, None

    async def refund(self):
        await self._version(2, OrderStatus.PARTIALLY_REFUNDED, base_remaining_minor=5_000, refunded_minor=20_000)

    async def win(self):
        await self._version(3, OrderStatus.COMPLETED, base_remaining_minor=25_000, refunded_minor=0)

    async def _version(self, version, status, **more):
        changed = self.order.model_copy(update={"version": version, "status": status} | more)
        for _ in range(2):  # it comes twice, and the first version late
            await self.shop.complete(changed, self.order)

    async def earn(self):
        """10 more, by another order."""
        await self.shop.order()

    async def convert(self):
        assert (await self.shop.convert(self.customer, 20)).status == 202

    async def credited(self):
        await self.shop.answer(self.shop.credited)

    async def refused(self):
        await self.shop.answer(self.shop.refused)

    async def request(self):
        path = f"/dev/v1/customers/{self.customer}/affiliate/payout-requests"
        self.claim = (await self.shop.client.post(path, TRON | {"amount": 20}, key=ids.new("key"))).data["claim_id"]

    async def settle(self):
        assert (await self.staff("settle")).status == 202

    async def staff(self, does):
        path = f"/dev/v1/affiliates/payouts/{self.claim}/{does}"
        return await self.shop.client.post(path, BODIES.get(does), key=ids.new("key"))

    async def does(self, step):
        if hasattr(self, step):
            await getattr(self, step)()
        else:
            assert (await self.staff(step)).status == 200, step

    async def has(self):
        return {name: amount for name, amount in (await self.shop.buckets(self.customer)).items() if amount}


@pytest.fixture
async def book(shop, monkeypatch):
    monkeypatch.setattr(replies.Waiters.wait, "__defaults__", (0.01,))
    customer = await shop.enrol()
    return Book(shop, customer, await shop.order(base=25_000))


STORIES = {
    "while a conversion waits, and it is credited": [
        ("convert", {"available": 5, "requested": 20}),
        ("refund", {"requested": 20, "debt": 15}),
        ("credited", {"converted": 20, "debt": 15}),
        ("earn", {"converted": 20, "debt": 5}),
        ("earn", {"converted": 20, "available": 5}),
    ],
    "while a conversion waits, and it is refused": [
        ("convert", {"available": 5, "requested": 20}),
        ("refund", {"requested": 20, "debt": 15}),
        ("refused", {"available": 5}),
        ("win", {"available": 25}),
    ],
    "after a conversion": [
        ("convert", {"available": 5, "requested": 20}),
        ("credited", {"available": 5, "converted": 20}),
        ("refund", {"converted": 20, "debt": 15}),
        ("win", {"available": 5, "converted": 20}),
    ],
    "while a payout is pending, and it is rejected": [
        ("request", {"available": 5, "requested": 20}),
        ("refund", {"requested": 20, "debt": 15}),
        ("reject", {"available": 5}),
    ],
    "while a payout is being settled": [
        ("request", {"available": 5, "requested": 20}),
        ("settle", {"available": 5, "requested": 20}),
        ("refund", {"requested": 20, "debt": 15}),
        ("credited", {"converted": 20, "debt": 15}),
        ("win", {"converted": 20, "available": 5}),
    ],
    "while a payout is sent, and it arrives": [
        ("request", {"available": 5, "requested": 20}),
        ("approve", {"available": 5, "requested": 20}),
        ("sent", {"available": 5, "requested": 20}),
        ("refund", {"requested": 20, "debt": 15}),
        ("confirm", {"paid": 20, "debt": 15}),
    ],
    "while a payout is sent, and it fails": [
        ("request", {"available": 5, "requested": 20}),
        ("approve", {"available": 5, "requested": 20}),
        ("sent", {"available": 5, "requested": 20}),
        ("refund", {"requested": 20, "debt": 15}),
        ("fail", {"available": 5}),
    ],
    "after a payout": [
        ("request", {"available": 5, "requested": 20}),
        ("approve", {"available": 5, "requested": 20}),
        ("sent", {"available": 5, "requested": 20}),
        ("confirm", {"available": 5, "paid": 20}),
        ("refund", {"paid": 20, "debt": 15}),
        ("earn", {"paid": 20, "debt": 5}),
        ("win", {"paid": 20, "available": 15}),
    ],
}


@pytest.mark.parametrize("story", STORIES)
async def test_a_refund_comes(book, story):
    for number, (step, has) in enumerate(STORIES[story]):
        await book.does(step)
        assert await book.has() == has, (number, step)


async def test_a_refund_before_leaves_what_is_left_to_take(book, monkeypatch):
    await book.refund()
    assert await book.has() == {"available": 5}
    assert (await book.shop.convert(book.customer, 20)).code == "insufficient_balance"
    monkeypatch.undo()  # the caller waits again
    reply, _ = await asyncio.gather(book.shop.convert(book.customer, 5), book.credited())
    assert (reply.status, await book.has()) == (200, {"converted": 5})


async def test_a_refund_that_is_heard_with_the_answer_comes_to_the_same(book):
    """Both at once, in two deliveries that wait for each other's lock."""
    await book.convert()
    (request,) = await book.shop.requests()
    await asyncio.gather(
        book.refund(), *(book.shop.hear(consumers.on_wallet_posted, [book.shop.credited(request)]) for _ in range(2))
    )
    assert await book.has() == {"converted": 20, "debt": 15}
