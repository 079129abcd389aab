"""A claim that affiliates has set aside becomes credit, once."""

from chassis import ids
from contracts.affiliates import ClaimConverted
from contracts.ids import CLAIM, CUSTOMER
from wallet.consumers import on_claims_converted


def claim(store_id, *, amount=2500, currency="EUR", customer_id=None):
    return ClaimConverted(
        store_id=store_id,
        claim_id=ids.new(CLAIM),
        customer_id=customer_id or ids.new(CUSTOMER),
        amount_minor=amount,
        currency=currency,
    )


async def hear(worker, *claims):
    """What is told when these arrive together."""
    async with worker.transaction() as conn:
        await on_claims_converted(claims, conn)
    return [announced.event for announced in conn.announced]


async def test_a_claim_is_credited_and_told(ledger, worker):
    asked = claim(ledger.store_id)
    (told,) = await hear(worker, asked)
    assert (told.TYPE, told.type, told.amount_minor, told.balance_after_minor) == (
        "wallet.posted",
        "CREDIT",
        2500,
        2500,
    )
    assert (told.cause.kind, told.cause.id, told.customer_id) == ("claim", asked.claim_id, asked.customer_id)
    assert await ledger.balance(asked.customer_id) == (2500, 0)


async def test_a_claim_that_comes_again_is_told_again_with_the_same_figures(ledger, worker):
    asked = claim(ledger.store_id)
    first = await hear(worker, asked)
    await hear(worker, claim(ledger.store_id, customer_id=asked.customer_id))
    assert await hear(worker, asked, asked) == first * 2
    assert await ledger.balance(asked.customer_id) == (5000, 0)


async def test_a_claim_in_another_currency_is_refused_each_time(ledger, worker):
    asked = claim(ledger.store_id, currency="USD")
    first, again = [*await hear(worker, asked), *await hear(worker, asked)]
    assert first == again
    assert (first.TYPE, first.reason, first.cause.id) == ("wallet.credit_refused", "currency_mismatch", asked.claim_id)
    assert await ledger.balance(asked.customer_id) == (0, 0)


async def test_claims_of_many_stores_arrive_together(ledger, worker, new_store):
    claims = [claim(await new_store()) for _ in range(3)] + [claim(ledger.store_id)]
    claims += [claim(asked.store_id, customer_id=asked.customer_id) for asked in claims]
    told = await hear(worker, *claims)
    assert {(event.store_id, event.cause.id) for event in told} == {
        (asked.store_id, asked.claim_id) for asked in claims
    }
    assert sorted(event.balance_after_minor for event in told) == [2500] * 4 + [5000] * 4


async def test_an_answer_carries_the_trace_of_its_own_claim(ledger, worker):
    traces = [f"00-{n:032x}-{n:016x}-01" for n in (1, 2)]
    claims = [ClaimConverted.parse(ledger.store_id, claim(ledger.store_id).body(), trace) for trace in traces]
    async with worker.transaction() as conn:
        await on_claims_converted(claims, conn)
    assert [announced.traceparent for announced in conn.announced] == traces
