"""Converting earnings into store balance: exactly what is available, exactly once, the reply as features A5 has it."""

import asyncio
import collections

import pytest
from handling import slowly
from payout_desk import codes, some
from serving import merchant, new_store

from affiliates import consumers, store
from chassis import ids
from chassis.money import LIMIT
from contracts.affiliates import ClaimCompleted, ClaimFailed
from contracts.ids import CLAIM, CUSTOMER
from contracts.wallet import Cause, EntryType


def told(shop, kind):
    return [event for event in shop.told if isinstance(event, kind)]


async def test_the_reply_has_the_wallets_figures(shop, customer):
    reply, (request,) = await asyncio.gather(
        shop.convert(customer, 10), shop.answer(lambda request: shop.credited(request, balance=1750))
    )
    (completed,) = told(shop, ClaimCompleted)
    assert (reply.status, reply.json) == (
        200,
        {
            "data": {
                "claim_id": request.claim_id,
                "amount": 10,
                "status": "COMPLETED",
                "wallet_transaction_id": completed.wallet_transaction_id,
                "new_balance": 17.5,
            }
        },
    )
    assert some(await shop.buckets(customer)) == {"available": 15, "converted": 10}
    assert len(await shop.rows("SELECT 1 FROM answer WHERE request_id = $1", request.claim_id)) == 1


async def test_while_the_wallet_is_silent_it_is_processing(shop, customer, impatient):
    reply = await shop.convert(customer, 25, key="k")
    claim_id = reply.data["claim_id"]
    assert (reply.status, reply.json) == (
        202,
        {"data": {"claim_id": claim_id, "amount": 25, "status": "PROCESSING"}},
    )
    location = f"/dev/v1/customers/{customer}/affiliate/claims/{claim_id}"
    assert reply.headers["location"] == location
    assert some(await shop.buckets(customer)) == {"requested": 25}
    assert (await shop.client.get(location)).data["status"] == "PROCESSING"
    await shop.answer()
    final = await shop.convert(customer, 25, key="k")
    assert (final.status, final.data["status"], final.data["new_balance"]) == (200, "COMPLETED", 25)
    polled = (await shop.client.get(location)).data
    assert final.data.items() <= polled.items()
    assert (await shop.convert(customer, 25, key="k")).body == final.body


async def test_a_refusal_gives_the_money_back(shop, customer):
    reply, _ = await asyncio.gather(shop.convert(customer, 25, key="k"), shop.answer(shop.refused))
    assert (reply.status, reply.code) == (409, "conversion_refused")
    assert some(await shop.buckets(customer)) == {"available": 25}
    (failed,) = told(shop, ClaimFailed)
    assert (failed.reason, failed.amount_minor) == ("balance_limit", 2500)
    (claim,) = (await shop.summary(customer))["claims"]
    assert (claim["status"], claim["reason"], claim["new_balance"]) == ("FAILED", "balance_limit", None)
    again = await shop.convert(customer, 25, key="k")
    assert (again.body, again.headers["idempotent-replayed"]) == (reply.body, "true")
    assert len(await shop.requests()) == 1


async def test_a_capped_balance_has_a_code_of_its_own(shop, customer):
    reply, _ = await asyncio.gather(
        shop.convert(customer, 25), shop.answer(lambda request: shop.refused(request, "balance_cap"))
    )
    assert (reply.status, reply.code) == (409, "balance_cap")
    assert some(await shop.buckets(customer)) == {"available": 25}


async def test_the_new_balance_is_what_is_left_when_debt_is_paid(shop, customer):
    reply, _ = await asyncio.gather(
        shop.convert(customer, 25),
        shop.answer(lambda request: shop.credited(request, balance=2500, settled_balance_minor=0)),
    )
    assert reply.data["new_balance"] == 0


@pytest.mark.parametrize("answer", ["credited", "refused"])
async def test_an_answer_that_comes_again_changes_nothing(shop, customer, impatient, answer):
    await shop.convert(customer, 25)
    make = getattr(shop, answer)
    (request,) = await shop.answer(make)
    before, told_before = await shop.summary(customer), len(shop.told)
    first = make(request)
    for _ in range(3):
        await shop.answer(lambda _: first)
    assert await shop.summary(customer) == before
    assert len(shop.told) == told_before


async def test_answers_of_one_wave_end_each_claim_once(shop, customer, impatient):
    await asyncio.gather(*(shop.convert(customer, 5) for _ in range(5)))
    entries = [shop.credited(request) for request in await shop.requests()]
    await shop.hear(consumers.on_wallet_posted, [*entries, *reversed(entries)])
    assert some(await shop.buckets(customer)) == {"converted": 25}
    assert len(told(shop, ClaimCompleted)) == 5


async def test_entries_of_other_causes_are_nothing_to_us(shop, customer, impatient):
    await shop.convert(customer, 25)
    (request,) = await shop.requests()
    other = shop.credited(request, cause=Cause(kind="order", id=request.claim_id))
    debit = shop.credited(request, type=EntryType.DEBIT, amount_minor=-600)
    await shop.hear(consumers.on_wallet_posted, [other, debit])
    refusal = shop.refused(request).model_copy(update={"cause": Cause(kind="refund", id=request.claim_id)})
    await shop.hear(consumers.on_credits_refused, [refusal])
    assert some(await shop.buckets(customer)) == {"requested": 25}


async def test_an_answer_to_nobody_does_not_pass_in_silence(shop, customer, impatient):
    await shop.convert(customer, 25)
    (request,) = await shop.requests()
    unknown = shop.credited(request, cause=Cause(kind="claim", id=ids.new(CLAIM)))
    with pytest.raises(LookupError, match="not here"):
        await shop.hear(consumers.on_wallet_posted, [unknown])


async def test_fifty_at_once_never_take_more_than_is_available(shop, customer, monkeypatch):
    monkeypatch.setattr(store, "lock_affiliate_of", slowly(store.lock_affiliate_of))
    calls = [shop.convert(customer, 2) for _ in range(50)]
    *heard, _ = await asyncio.gather(*calls, shop.answer(count=12))
    assert collections.Counter(reply.status for reply in heard) == {200: 12, 409: 38}
    assert {reply.code for reply in heard if reply.status == 409} == {"insufficient_balance"}
    assert some(await shop.buckets(customer)) == {"available": 1, "converted": 24}


async def test_without_the_lock_the_fifty_take_more_and_the_proof_finds_it(shop, customer, monkeypatch, impatient):
    """Planted: the same race without the lock."""
    monkeypatch.setattr(store, "lock_affiliate_of", slowly(store.affiliate_of))
    heard = await asyncio.gather(*(shop.convert(customer, 25) for _ in range(50)))
    taken = [reply.status for reply in heard].count(202)
    assert taken > 1
    assert (await shop.buckets(customer))["debt"] == 25 * (taken - 1)
    found = [fault for fault in await shop.faults() if "took 2500, which left -" in fault]
    assert len(found) == taken - 1
    shop.expected = found


async def test_one_key_fifty_times_at_once_is_one_claim(shop, customer):
    calls = [shop.convert(customer, 10, key="k") for _ in range(50)]
    *heard, _ = await asyncio.gather(*calls, shop.answer())
    assert {(reply.status, reply.body) for reply in heard} == {(200, heard[0].body)}
    assert some(await shop.buckets(customer)) == {"available": 15, "converted": 10}
    assert len(await shop.requests()) == 1


async def test_commissions_and_conversions_at_once_add_up(shop, customer):
    orders = [shop.order(base=10_000) for _ in range(10)]
    *heard, _ = await asyncio.gather(*(shop.convert(customer, 5) for _ in range(5)), *orders, shop.answer(count=5))
    assert [reply.status for reply in heard[:5]] == [200] * 5
    assert some(await shop.buckets(customer)) == {"available": 100, "converted": 25}


@pytest.mark.parametrize(
    "amount", ["0", "-1", "0.00", "1.005", "1e400", "2.5e1", "NaN", '"25"', "true", "null", "[]", "1000000000000000"]
)
async def test_an_amount_is_money_and_more_than_nothing(shop, customer, amount):
    path = f"/dev/v1/customers/{customer}/affiliate/convert-to-balance"
    reply = await shop.client.post(path, raw=b'{"amount": %s}' % amount.encode(), key="k")
    assert (reply.status, reply.code) == ((400, "malformed_json") if amount == "NaN" else (422, "invalid"))
    assert some(await shop.buckets(customer)) == {"available": 25}


@pytest.mark.parametrize("body", [{}, {"amount": 1, "currency": "EUR"}])
async def test_a_body_is_an_amount_and_nothing_else(shop, customer, body):
    path = f"/dev/v1/customers/{customer}/affiliate/convert-to-balance"
    assert (await shop.client.post(path, body, key="k")).code == "invalid"


async def test_zero_is_refused_with_a_code(shop, customer):
    reply = await shop.convert(customer, 0)
    assert [flaw["code"] for flaw in reply.json["errors"]] == ["amount_not_positive"]


async def test_a_decision_against_is_pinned(shop, customer):
    first = await shop.convert(customer, 26, key="k")
    assert (first.status, first.code, first.json["detail"]) == (409, "insufficient_balance", "25 EUR is available")
    await shop.order(base=10_000)
    again = await shop.convert(customer, 26, key="k")
    assert (again.body, again.headers["idempotent-replayed"]) == (first.body, "true")


async def test_a_suspended_affiliate_takes_nothing(shop, customer):
    await shop.step(customer, "suspend")
    assert (await shop.convert(customer, 1)).code == "not_active"


async def test_a_key_is_needed(shop, customer):
    path = f"/dev/v1/customers/{customer}/affiliate/convert-to-balance"
    assert (await shop.client.post(path, {"amount": 1})).code == "idempotency_key_missing"


async def test_only_a_writer_converts(shop, customer):
    reader = shop.client.as_(merchant(shop.store_id, ["customers.read"]))
    path = f"/dev/v1/customers/{customer}/affiliate/convert-to-balance"
    assert (await reader.post(path, {"amount": 1}, key="k")).code == "insufficient_scope"


async def test_who_is_no_affiliate_gets_404(shop):
    customer_id = await shop.customer()
    reply = await shop.convert(customer_id, 1)
    assert (reply.status, reply.code) == (404, "not_found")


async def test_another_store_gets_404(shop, customer, impatient):
    claim_id = (await shop.convert(customer, 25)).data["claim_id"]
    stranger = shop.client.as_(merchant(new_store()))
    base = f"/dev/v1/customers/{customer}/affiliate"
    answers = await asyncio.gather(  # at once: whoever was never heard of is waited for, a little
        stranger.get(base),
        stranger.get(f"{base}/claims/{claim_id}"),
        stranger.post(f"{base}/convert-to-balance", {"amount": 1}, key="k"),
    )
    assert [reply.status for reply in answers] == [404] * 3


@pytest.mark.parametrize("claim_id", [ids.new(CLAIM), "nonsense", "claim_%00", ids.new(CUSTOMER)])
async def test_a_claim_that_is_not_ones_own_is_404(shop, customer, claim_id):
    path = f"/dev/v1/customers/{customer}/affiliate/claims/{claim_id}"
    assert (await shop.client.get(path)).status == 404


async def test_another_affiliates_claim_is_404(shop, customer, impatient):
    claim_id = (await shop.convert(customer, 25)).data["claim_id"]
    other = await shop.enrol("other")
    assert (await shop.client.get(f"/dev/v1/customers/{other}/affiliate/claims/{claim_id}")).status == 404


async def test_without_a_token_nobody_is_known(shop, customer):
    reply = await shop.client.as_(None).get(f"/dev/v1/customers/{customer}/affiliate")
    assert reply.status == 401


async def test_a_conversion_has_its_bonus_from_the_store(shop, customer):
    await shop.program(conversion_bonus_percent=12.5)
    reply, (request,) = await asyncio.gather(
        shop.convert(customer, 9.99), shop.answer(lambda request: shop.credited(request, balance=request.amount_minor))
    )
    assert (reply.data["amount"], reply.data["new_balance"], request.amount_minor) == (9.99, 11.23, 999 + 124)
    (claim,) = (await shop.summary(customer))["claims"]
    assert (claim["amount"], claim["bonus"]) == (9.99, 1.24)
    assert some(await shop.buckets(customer)) == {"available": 15.01, "converted": 9.99}


async def test_a_conversion_that_its_bonus_makes_too_large_is_refused(shop, customer):
    await shop.program(conversion_bonus_percent=100)
    reply = await shop.convert(customer, LIMIT // 200)
    assert codes(reply) == [("/amount", "amount_range")]
    assert (await shop.convert(customer, LIMIT // 200 - 1)).code == "insufficient_balance"
