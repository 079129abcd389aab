"""Undoing transactions, and asking again, over HTTP."""

import itertools
from dataclasses import dataclass
from datetime import timedelta
from types import SimpleNamespace

import pytest
from serving import merchant

from chassis import clock, ids
from contracts.ids import WALLET_ENTRY
from wallet import store

CUSTOMER = "cus_01h455vb4pex5vsknk084sn02q"  # minted long ago: nobody waits for an event that should have come by now

keys = (f"key-{n}" for n in itertools.count())


@dataclass
class Shop:
    """One customer of a store of their own, as the merchant's client sees them."""

    client: object

    async def adjust(self, amount, *, key=None, **more):
        path = f"/dev/v1/customers/{CUSTOMER}/wallet/adjustments"
        return await self.client.post(path, {"amount": amount, **more}, key=key or next(keys))

    async def reverse(self, entry_id, body=None, *, key=None):
        path = f"/dev/v1/wallet/transactions/{entry_id}/reversal"
        return await self.client.post(path, body or {}, key=key or next(keys))

    async def figures(self):
        data = (await self.client.get(f"/dev/v1/customers/{CUSTOMER}/wallet")).data
        return data["balance"], data["debt"]


@pytest.fixture
async def shop(served, ledger, know):
    await know(CUSTOMER)
    return Shop(served.as_(merchant(ledger.store_id)))


@pytest.fixture
def later(monkeypatch):
    """`later(days)`: it is so many days later for the ledger."""

    def move(days):
        monkeypatch.setattr(store, "clock", SimpleNamespace(now=lambda: clock.now() + timedelta(days=days)))

    return move


async def test_replies_say_what_is_left_and_owed_in_the_end(shop):
    given = (await shop.adjust(30)).data
    await shop.adjust(-25)
    said = [(await shop.reverse(given["id"], {})).data, (await shop.adjust(10)).data, (await shop.adjust(20)).data]
    assert [(each["balance"], each["debt"]) for each in said] == [(0, 25), (0, 15), (5, 0)]
    assert await shop.figures() == (5, 0)


async def test_a_reversal_answers_the_entry_that_undoes(shop):
    given = (await shop.adjust(25)).data
    reply = await shop.reverse(given["id"], {"reason": "mistake", "note": "wrong customer"})
    assert reply.status == 201
    entry_id, created_at = reply.data["id"], reply.data["created_at"]
    assert reply.data == {
        "id": entry_id,
        "customer_id": CUSTOMER,
        "sequence": 2,
        "type": "ADJUSTMENT",
        "amount": -25,
        "balance": 0,
        "debt": 0,
        "on_debt": False,
        "currency": "EUR",
        "reason": "mistake",
        "note": "wrong customer",
        "cause": {"kind": "reversal", "id": given["id"]},
        "expires_at": None,
        "created_at": created_at,
    }


async def test_what_is_spent_by_then_is_owed_and_the_next_credit_pays_it(shop):
    given = (await shop.adjust(25)).data
    await shop.adjust(-20)
    assert (await shop.reverse(given["id"])).data["balance"] == 0
    assert await shop.figures() == (0, 20)
    paid = await shop.adjust(30)
    assert (paid.data["amount"], paid.data["balance"]) == (30, 10)
    assert await shop.figures() == (10, 0)


async def test_a_transaction_is_reversed_once_whatever_the_keys(shop):
    given = (await shop.adjust(25)).data
    first = await shop.reverse(given["id"], key="same")
    again = await shop.reverse(given["id"], key="same")
    assert (again.body, again.headers["idempotent-replayed"]) == (first.body, "true")
    other = await shop.reverse(given["id"])
    assert (other.status, other.code) == (409, "already_reversed")
    assert await shop.figures() == (0, 0)


async def test_what_others_count_on_is_not_reversible(shop, ledger):
    (credited,) = await ledger.append(ledger.credit(CUSTOMER, 500))
    reply = await shop.reverse(credited.entry.entry_id)
    assert (reply.status, reply.code) == (409, "not_reversible")
    assert await shop.figures() == (5, 0)


async def test_a_transaction_of_nobody_or_of_another_store_is_not_there(shop, served, new_store):
    given = (await shop.adjust(25)).data
    stranger = Shop(served.as_(merchant(await new_store())))
    for reply in (await shop.reverse(ids.new(WALLET_ENTRY)), await stranger.reverse(given["id"])):
        assert reply.status == 404
    assert await shop.figures() == (25, 0)


@pytest.mark.parametrize("body", [{"amount": 5}, {"reason": "Not a code"}, {"note": ""}])
async def test_what_is_no_reversal_changes_nothing(shop, body):
    given = (await shop.adjust(25)).data
    assert (await shop.reverse(given["id"], body)).status == 422
    assert await shop.figures() == (25, 0)


async def test_a_retry_after_the_chosen_grant_expired_is_the_same_reply_byte_for_byte(shop, later):
    """The key is answered from what was stored: nothing is chosen a second time."""
    soon = (clock.now() + timedelta(days=2)).isoformat()
    await shop.adjust(10, expires_at=soon)
    await shop.adjust(10)
    taken = await shop.adjust(-5, key="once")
    later(3)
    assert (await shop.adjust(1)).data["balance"] == 11
    again = await shop.adjust(-5, key="once")
    assert (again.status, again.body, again.headers["idempotent-replayed"]) == (201, taken.body, "true")
    assert await shop.figures() == (11, 0)


async def test_a_retry_of_credit_that_is_over_by_now_gives_nothing_more(shop, later):
    soon = (clock.now() + timedelta(days=2)).isoformat()
    given = await shop.adjust(10, key="once", expires_at=soon)
    later(3)
    again = await shop.adjust(10, key="once", expires_at=soon)
    assert (again.status, again.body) == (201, given.body)


async def test_a_refused_deduction_stays_refused_for_its_key(shop):
    refused = await shop.adjust(-5, key="once")
    await shop.adjust(10)
    again = await shop.adjust(-5, key="once")
    assert (again.status, again.body) == (409, refused.body)
    assert await shop.figures() == (10, 0)
