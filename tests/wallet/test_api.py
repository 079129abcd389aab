"""The wallet over HTTP: the real application, in this process."""

import asyncio
import itertools
from dataclasses import dataclass

import pytest
from paging import listed
from serving import merchant

MINTED_LONG_AGO = "cus_01h455vb4pex5vsknk084sn02q"  # nobody waits for an event that should have come by now
NEVER_MINTED = "cus_01h455vb4pex5vsknk084sn02r"

keys = (f"key-{n}" for n in itertools.count())


@dataclass
class Shop:
    """One customer of a store of their own, as the merchant's client sees them."""

    client: object
    store_id: str
    customer_id: str

    @property
    def path(self):
        return f"/dev/v1/customers/{self.customer_id}/wallet"

    async def adjust(self, amount=None, *, key=None, raw=None, **more):
        body = None if raw is not None else {"amount": amount, **more}
        return await self.client.post(f"{self.path}/adjustments", body, raw=raw, key=key or next(keys))

    async def figures(self):
        data = (await self.client.get(self.path)).data
        return data["balance"], data["held"], data["available"]


@pytest.fixture
async def shop(served, ledger, know):
    await know(MINTED_LONG_AGO)
    return Shop(served.as_(merchant(ledger.store_id)), ledger.store_id, MINTED_LONG_AGO)


async def test_an_adjustment_answers_the_entry_and_the_balance(shop):
    reply = await shop.adjust(25, reason="apology", note="sorry about the delay")
    assert reply.status == 201
    entry_id, created_at = reply.data["id"], reply.data["created_at"]
    assert reply.data == {
        "id": entry_id,
        "customer_id": shop.customer_id,
        "sequence": 1,
        "type": "ADJUSTMENT",
        "amount": 25,
        "balance": 25,
        "debt": 0,
        "on_debt": False,
        "currency": "EUR",
        "reason": "apology",
        "note": "sorry about the delay",
        "cause": {"kind": "adjustment", "id": entry_id},
        "expires_at": None,
        "created_at": created_at,
    }
    assert b'"amount":25,' in reply.body
    assert entry_id.startswith("wallet_tx_")
    assert (await shop.adjust(-10.5)).data["balance"] == 14.5
    assert await shop.figures() == (14.5, 0, 14.5)


@pytest.mark.parametrize(("kind", "amount"), [("CREDIT", 5), ("PROMO", 5), ("REFUND", 5), ("DEBIT", -5)])
async def test_the_type_may_be_named(shop, kind, amount):
    await shop.adjust(5)
    assert (await shop.adjust(amount, type=kind)).data["type"] == kind


async def test_a_deduction_of_more_than_there_is_is_refused_and_pinned(shop):
    await shop.adjust(5)
    refused = await shop.adjust(-5.01, key="once")
    assert (refused.status, refused.code) == (409, "insufficient_credit")
    await shop.adjust(5)
    again = await shop.adjust(-5.01, key="once")
    assert (again.body, again.headers["idempotent-replayed"]) == (refused.body, "true")
    assert await shop.figures() == (10, 0, 10)


async def test_what_is_held_cannot_be_deducted(shop, ledger):
    await shop.adjust(10)
    await ledger.append(ledger.Purchase(shop.customer_id, 600).place)
    assert await shop.figures() == (10, 6, 4)
    assert (await shop.adjust(-4.01)).code == "insufficient_credit"
    assert (await shop.adjust(-4)).data["balance"] == 6


async def test_a_balance_has_at_most_fifteen_digits(shop):
    await shop.adjust(9_999_999_999_999.99)
    assert (await shop.adjust(0.01)).code == "balance_limit"


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b'{"amount": 0}', 422, "amount_zero"),
        (b'{"amount": 0.00}', 422, "amount_zero"),
        (b'{"amount": 1.005}', 422, "amount_precision"),
        (b'{"amount": 1e400}', 422, "amount_format"),
        (b'{"amount": 2.5e1}', 422, "amount_format"),
        (b'{"amount": 10000000000000}', 422, "amount_range"),
        (b'{"amount": "25"}', 422, "amount_type"),
        (b'{"amount": true}', 422, "amount_type"),
        (b'{"amount": null}', 422, "amount_type"),
        (b"{}", 422, "missing"),
        (b'{"amount": 5, "type": "DEBIT"}', 422, "amount_sign"),
        (b'{"amount": -5, "type": "CREDIT"}', 422, "amount_sign"),
        (b'{"amount": 5, "type": "PAYMENT"}', 422, "literal_error"),
        (b'{"amount": 5, "expires_at": "2020-01-01T00:00:00Z"}', 422, "expires_at_past"),
        (b'{"amount": 5, "expires_at": "2099-01-01T00:00:00"}', 422, "timezone_aware"),
        (b'{"amount": 5, "expires_at": "9999-12-31T23:59:59.999999Z"}', 422, "datetime_range"),
        (b'{"amount": 5, "expires_at": "9999-12-31T23:59:59-05:00"}', 422, "datetime_range"),
        (b'{"amount": 5, "expires_at": 4102444800}', 422, "datetime_format"),
        (b'{"amount": 5, "notify": "yes"}', 422, "bool_type"),
        (b'{"amount": 5, "expires_at": "soon"}', 422, "datetime_format"),
        (b'{"amount": -5, "expires_at": "2099-01-01T00:00:00Z"}', 422, "expires_at_unused"),
        (b'{"amount": 5, "balance": 25}', 422, "extra_forbidden"),
        (b'{"amount": 5, "reason": "Not a code"}', 422, "string_pattern_mismatch"),
        (b'{"amount": 5, "note": ""}', 422, "string_too_short"),
    ],
)
async def test_what_is_no_adjustment_changes_nothing(shop, raw, status, code):
    reply = await shop.adjust(raw=raw, key="reused")
    assert (reply.status, reply.json["errors"][0]["code"]) == (status, code)
    assert await shop.figures() == (0, 0, 0)
    assert (await shop.adjust(5, key="reused")).status == 201


@pytest.mark.parametrize("raw", [b'{"amount": NaN}', b'{"amount": -Infinity}', b'{"amount": 5', b""])
async def test_what_is_no_json_changes_nothing(shop, raw):
    reply = await shop.adjust(raw=raw)
    assert reply.status in {400, 422}
    assert reply.code
    assert await shop.figures() == (0, 0, 0)


async def test_a_key_is_required(shop):
    reply = await shop.client.post(f"{shop.path}/adjustments", {"amount": 5})
    assert (reply.status, reply.code) == (400, "idempotency_key_missing")


async def test_one_key_fifty_times_at_once_is_one_entry(shop):
    replies = await asyncio.gather(*(shop.adjust(5, key="same") for _ in range(50)))
    assert len({(reply.status, reply.body) for reply in replies}) == 1
    assert await shop.figures() == (5, 0, 5)


async def test_many_at_once_are_each_answered_with_their_own_entry(shop):
    replies = await asyncio.gather(*(shop.adjust(1) for _ in range(300)))
    assert {reply.status for reply in replies} == {201}
    assert sorted(reply.data["balance"] for reply in replies) == list(range(1, 301))
    assert len({reply.data["id"] for reply in replies}) == 300


async def test_good_and_bad_in_one_batch_are_each_answered_on_their_own(shop):
    amounts = [1, 0, -500, 1.001] * 10
    replies = await asyncio.gather(*(shop.adjust(amount) for amount in amounts))
    assert [reply.status for reply in replies] == [201, 422, 409, 422] * 10
    assert await shop.figures() == (10, 0, 10)


async def test_spenders_at_once_spend_exactly_what_is_there(shop):
    await shop.adjust(50)
    replies = await asyncio.gather(*(shop.adjust(-1) for _ in range(200)))
    assert sorted(reply.status for reply in replies) == [201] * 50 + [409] * 150
    assert await shop.figures() == (0, 0, 0)


async def test_the_history_is_paged_newest_first(shop, ledger):
    for amount in range(1, 6):
        await shop.adjust(amount)
    await ledger.append(ledger.credit(ledger.customer(), 900))
    for path, expected in (
        (f"{shop.path}/transactions", [5, 4, 3, 2, 1]),
        ("/dev/v1/wallet/transactions", [9, 5, 4, 3, 2, 1]),
    ):
        assert await listed(shop.client, f"{path}?limit=2", "amount") == expected


async def test_a_cursor_of_another_list_is_refused(shop):
    await shop.adjust(1)
    await shop.adjust(1)
    cursor = (await shop.client.get(f"{shop.path}/transactions?limit=1")).json["next_cursor"]
    reply = await shop.client.get(f"/dev/v1/wallet/transactions?cursor={cursor}")
    assert (reply.status, reply.code) == (400, "invalid_cursor")


async def test_a_customer_without_postings_has_nothing(shop):
    assert await shop.figures() == (0, 0, 0)
    assert (await shop.client.get(f"{shop.path}/transactions")).data == []


async def test_another_store_does_not_know_the_customer(shop, new_store):
    stranger = shop.client.as_(merchant(await new_store()))
    for reply in (
        await stranger.get(shop.path.replace(MINTED_LONG_AGO, NEVER_MINTED)),
        await stranger.get(shop.path),
        await stranger.get(f"{shop.path}/transactions"),
        await stranger.post(f"{shop.path}/adjustments", {"amount": 1}, key="k"),
    ):
        assert (reply.status, reply.code) == (404, "not_found")
    assert (await stranger.get("/dev/v1/wallet/transactions")).data == []


@pytest.mark.parametrize(("scope", "statuses"), [("wallet.read", (200, 403)), ("wallet.write", (403, 201))])
async def test_reading_and_writing_are_scopes_of_their_own(shop, scope, statuses):
    shop.client = shop.client.as_(merchant(shop.store_id, [scope]))
    assert ((await shop.client.get(shop.path)).status, (await shop.adjust(1)).status) == statuses


async def test_without_a_token_nothing_is_told(shop):
    assert (await shop.client.as_(None).get(shop.path)).status == 401
