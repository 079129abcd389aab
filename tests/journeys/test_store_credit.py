"""Store credit through the whole platform: dates, debt, caps and mails, as a merchant and their customers meet them."""

import asyncio
import secrets
from datetime import UTC, datetime, timedelta

import pytest
from journey import World
from patience import until

pytestmark = pytest.mark.journeys


@pytest.fixture
async def clock(stack):
    """Business time, put back where it was afterwards; the next test begins when all programs have seen that."""
    before = stack.clock_file.offset
    yield stack.clock_file
    stack.clock_file.set(before)
    await asyncio.sleep(0.5)


class Merchant:
    """One store at the gateway, and what it does about one customer's credit."""

    def __init__(self, shop) -> None:
        self.shop = shop

    async def customer(self):
        made = await self.shop.add_customer(f"credit-{secrets.token_hex(6)}@example.com", "Ada")
        return made["id"]

    async def adjust(self, customer, amount, **more):
        path = f"/dev/v1/customers/{customer}/wallet/adjustments"
        return await self.shop.call("POST", path, {"amount": amount, **more})

    async def lines(self, customer):
        """(type, amount, balance, debt) of a customer's transactions, oldest first."""
        rows = (await self.shop.call("GET", f"/dev/v1/customers/{customer}/wallet/transactions")).data
        return [(row["type"], row["amount"], row["balance"], row["debt"]) for row in reversed(rows)]


@pytest.fixture
def merchant(world):
    return Merchant(world.shop)


async def told(world, topic, customer):
    """The types of what was published on a topic about a customer."""
    history = await world.history()
    mine = [record for record in history if record.topic == topic and record.key == customer.encode()]
    return [dict(record.headers)["ce_type"].decode() for record in mine]


async def test_credit_is_warned_of_and_then_expires_on_its_date(world, merchant, clock):
    customer = await merchant.customer()
    over = datetime.now(UTC) + clock.offset + timedelta(days=10)
    await merchant.adjust(customer, 25, expires_at=over.isoformat(), notify=True)
    await merchant.adjust(customer, 5)
    wallet = await world.shop.wallet(customer)
    assert (wallet["balance"], wallet["next_expiry"]["amount"]) == (30, 25)
    clock.advance(timedelta(days=10, seconds=1))
    await until(lambda: world.shop.wallet(customer), lambda it: it["balance"] == 5)
    await until(lambda: world.shop.customer(customer), lambda it: it["balance"] == 5)
    assert await merchant.lines(customer) == [
        ("ADJUSTMENT", 25, 25, 0),
        ("ADJUSTMENT", 5, 30, 0),
        ("EXPIRED", -25, 5, 0),
    ]
    await world.settle()
    assert await told(world, "mail", customer) == ["mail.requested"]
    await world.verify()


async def test_a_warning_comes_once_a_week_before(world, merchant, clock):
    customer = await merchant.customer()
    over = datetime.now(UTC) + clock.offset + timedelta(days=5)
    assert (await merchant.adjust(customer, 25, expires_at=over.isoformat())).status == 201
    await until(lambda: told(world, "mail", customer), lambda mails: len(mails) == 1)
    assert (await told(world, "wallet", customer)).count("wallet.grant_expiring") == 1


async def test_what_is_converted_pays_debt_first_and_the_reply_says_what_is_left(world, merchant):
    customer, _ = await world.affiliate_with()
    given = (await merchant.adjust(customer, 6)).data["id"]
    await merchant.adjust(customer, -6)
    undone = await world.shop.call("POST", f"/dev/v1/wallet/transactions/{given}/reversal", {"note": "a mistake"})
    assert (undone.data["amount"], undone.data["debt"], undone.data["on_debt"]) == (-6, 6, True)
    assert undone.data["cause"] == {"kind": "reversal", "id": given}
    replies = await asyncio.gather(*(world.convert(customer, 10, key="one") for _ in range(5)))
    assert {reply.data["new_balance"] for reply in replies} == {4}
    lines = await merchant.lines(customer)
    assert lines[-2:] == [("CREDIT", 10, 10, 6), ("DEBIT", -6, 4, 0)]
    rows = (await world.shop.call("GET", f"/dev/v1/customers/{customer}/wallet/transactions")).data
    assert replies[0].data["wallet_transaction_id"] == rows[1]["id"]
    await world.settle()
    await world.verify()


async def test_a_conversion_above_the_cap_is_refused_and_its_money_goes_back(world):
    other = World(world.stack, world.session, world.other_store())
    shop, merchant = other.shop, Merchant(other.shop)
    await until(lambda: shop.call("GET", "/dev/v1/products"), lambda reply: reply.status == 200)
    customer, available = await other.affiliate_with(price=1000)
    assert (await shop.call("PATCH", "/dev/v1/wallet/settings", {"balance_cap": 20})).status == 200
    assert (await merchant.adjust(customer, 15)).status == 201
    assert (await merchant.adjust(customer, 6)).json["code"] == "balance_cap"
    refused = await other.convert(customer, 6)
    assert (refused.status, refused.json["code"]) == (409, "balance_cap")
    balances = (await shop.affiliate(customer))["balances"]
    assert balances == {"available": available, "requested": 0, "converted": 0}
    assert (await merchant.adjust(customer, 6, type="PROMO")).data["amount"] == 5
    assert (await merchant.adjust(customer, 6, type="REFUND")).data["balance"] == 26
    await world.settle()
    await world.verify()
