"""One answer per screening, the same for every repeat."""

import asyncio
from datetime import timedelta

import pytest
from handling import somebody_waits

from chassis import clock, ids
from contracts.ids import CUSTOMER, RULE
from fraud_block import store, store_faults
from fraud_block.identifiers import RuleType
from fraud_block.screening import Effect

ANN = ids.new(CUSTOMER)


async def test_nobody_knows_a_reason_against_a_stranger(shop):
    request = shop.request(email="ann@example.com", ip="203.0.113.7")
    (decided,) = await shop.screen(request)
    assert (decided.screening_id, decided.subject, decided.key) == (
        request.screening_id,
        request.subject,
        request.subject,
    )
    assert (decided.decision, decided.rule_ids) == ("allow", ())


@pytest.mark.parametrize(
    ("rule", "buyer"),
    [
        ((RuleType.EMAIL, "Ann@Example.com"), {"email": "ANN@example.COM"}),
        ((RuleType.EMAIL_DOMAIN, "BÜCHER.de"), {"email": "ann@xn--bcher-kva.de"}),
        ((RuleType.IP, "203.0.113.7"), {"ip": "::ffff:203.0.113.7"}),
        ((RuleType.IP, "2001:db8::1"), {"ip": "2001:0DB8::0001"}),
        ((RuleType.CUSTOMER, ANN), {"customer_id": ANN}),
    ],
)
async def test_a_blocked_buyer_is_blocked_however_it_is_written(shop, rule, buyer):
    rule_id = await shop.rule(*rule)
    assert await shop.decision(**buyer) == ("block", (rule_id,))
    assert await shop.hits(rule_id) == 1


@pytest.mark.parametrize(
    "buyer",
    [
        {"email": "bob@example.com"},
        {"email": "ann@mail.example.com"},
        {"email": "not an address"},
        {"email": "ann@example.com\0"},
        {"ip": "203.0.113.70"},
        {"ip": "no address"},
        {"ip": "203.0.113.7\0"},
        {"customer_id": ids.new(CUSTOMER)},
        {},
    ],
)
async def test_nobody_else_is_blocked(shop, buyer):
    for rule in ((RuleType.EMAIL, "ann@example.com"), (RuleType.IP, "203.0.113.7"), (RuleType.CUSTOMER, ANN)):
        await shop.rule(*rule)
    assert await shop.decision(**buyer) == ("allow", ())


async def test_an_allow_rule_lets_one_address_of_a_blocked_domain_in(shop):
    blocking = await shop.rule(RuleType.EMAIL_DOMAIN, "example.com")
    allowing = await shop.rule(RuleType.EMAIL, "ann@example.com", Effect.ALLOW)
    assert await shop.decision(email="ann@example.com") == ("allow", (blocking, allowing))
    assert await shop.decision(email="bob@example.com") == ("block", (blocking,))


async def test_another_stores_rule_matches_nobody_here(shop, new_shop):
    await new_shop().rule(RuleType.EMAIL, "ann@example.com")
    assert await shop.decision(email="ann@example.com") == ("allow", ())


async def test_a_rule_counts_until_it_expires(shop):
    await shop.rule(RuleType.EMAIL, "ann@example.com", expires_in=timedelta(seconds=-1))
    lasting = await shop.rule(RuleType.EMAIL, "bob@example.com", expires_in=timedelta(minutes=1))
    assert await shop.decision(email="ann@example.com") == ("allow", ())
    assert await shop.decision(email="bob@example.com") == ("block", (lasting,))


async def test_a_rule_expires_by_business_time(shop, tmp_path):
    rule_id = await shop.rule(RuleType.EMAIL, "ann@example.com", expires_in=timedelta(days=30))
    offset = tmp_path / "clock"
    offset.write_text(str(timedelta(days=31).total_seconds()))
    clock.follow(offset)
    try:
        assert await shop.decision(email="ann@example.com") == ("allow", ())
    finally:
        clock.follow(None)
    assert await shop.decision(email="ann@example.com") == ("block", (rule_id,))


async def test_a_repeat_gets_the_first_answer_whatever_the_rules_say_by_then(shop):
    request = shop.request(email="ann@example.com")
    first = await shop.screen(request)
    rule_id = await shop.rule(RuleType.EMAIL, "ann@example.com")
    for _ in range(3):
        assert await shop.screen(request, request) == first
    assert await shop.hits(rule_id) == 0
    assert await shop.decision(email="ann@example.com") == ("block", (rule_id,))


async def test_a_lifted_rule_leaves_the_answers_it_gave(shop):
    rule_id, request = await shop.rule(RuleType.EMAIL, "ann@example.com"), shop.request(email="ann@example.com")
    blocked = await shop.screen(request)
    async with shop.api.transaction(shop.store_id) as conn:
        await store.delete(conn, shop.store_id, rule_id, clock.now(), "merchant:key_test")
    assert await shop.screen(request) == blocked
    assert await shop.decision(email="ann@example.com") == ("allow", ())


async def test_one_request_at_twenty_workers_has_one_answer_and_one_hit(shop):
    rule_id, request = await shop.rule(RuleType.EMAIL, "ann@example.com"), shop.request(email="ann@example.com")
    told = await asyncio.gather(*(shop.screen(request) for _ in range(20)))
    assert {decided.rule_ids for (decided,) in told} == {(rule_id,)}
    assert await shop.hits(rule_id) == 1


@pytest.mark.parametrize("back", [False, True])
async def test_hits_lock_rules_in_the_order_of_ids(shop, back):
    """Whatever order their screenings and rows are in: two batches that hit the same rules never wait in a circle."""
    low, high = ids.new(RULE), ids.new(RULE)
    await shop.rule(RuleType.EMAIL, "high@example.com", rule_id=high)
    await shop.rule(RuleType.EMAIL, "low@example.com", rule_id=low)
    requests = [shop.request(email="high@example.com"), shop.request(email="low@example.com")]
    async with shop.holding(low):
        task = asyncio.create_task(shop.screen(*(reversed(requests) if back else requests)))
        await somebody_waits(shop.worker)
        assert await shop.is_free(high)
    assert [decided.decision for decided in await task] == ["block", "block"]
    assert [await shop.hits(rule_id) for rule_id in (low, high)] == [1, 1]


async def test_a_batch_of_stores_and_buyers_is_answered_in_order(shop, new_shop):
    rule_id, other = await shop.rule(RuleType.EMAIL, "ann@example.com"), new_shop()
    batch = [
        shop.request(email="ann@example.com"),
        other.request(email="ann@example.com"),
        shop.request(ip="203.0.113.7"),
        shop.request(email="ANN@example.com"),
    ]
    told = await shop.screen(*batch)
    assert [decided.subject for decided in told] == [request.subject for request in batch]
    assert [decided.decision for decided in told] == ["block", "allow", "allow", "block"]
    assert await shop.hits(rule_id) == 2


async def test_verify_finds_hits_and_decisions_that_are_not_so(new_shop):
    shop = new_shop()
    rule_id, request = await shop.rule(RuleType.EMAIL, "ann@example.com"), shop.request(email="ann@example.com")
    await shop.screen(request)

    async def faults():
        async with shop.worker.transaction() as conn:
            return await store_faults.faults(conn)

    await shop.execute("UPDATE rule SET hits = hits + 1 WHERE id = $1", rule_id)
    assert await faults() == [f"the hits of {rule_id} are not the screenings it matched"]
    await shop.execute("UPDATE rule SET hits = hits - 1, effect = 'allow' WHERE id = $1", rule_id)
    assert await faults() == [f"{request.screening_id} was not decided by the rules it names"]
    await shop.execute("UPDATE rule SET effect = 'block' WHERE id = $1", rule_id)
    assert await faults() == []
