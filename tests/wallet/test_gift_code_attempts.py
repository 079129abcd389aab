"""Who guesses at gift codes learns nothing and is locked out; who makes a mistake is not."""

import asyncio
from datetime import UTC, datetime, timedelta

from giving import GIFT_CODES, Issuer, guesses, refusal
from handling import somebody_waits
from serving import merchant

from chassis import clock
from chassis.timers import one_slice
from wallet import timers

SWEEP = next(timer for timer in timers.ALL if timer.name == "forget attempts at gift codes")


async def test_every_code_that_is_none_is_refused_in_the_same_words(issuer, new_store, monkeypatch):
    elsewhere = Issuer(issuer.client.as_(merchant(await new_store())), issuer.worker, None)
    (void_id, void), (_, expired), (_, taken), (_, own) = [await issuer.code() for _ in range(4)]
    _, over = await issuer.code(redeem_until=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    (_, other_store) = await elsewhere.code()
    customer = await issuer.customer()
    await issuer.client.post(f"{GIFT_CODES}/{void_id}/void")
    await issuer.redeem(await issuer.customer(), taken)
    await issuer.redeem(customer, own)
    monkeypatch.setattr(clock, "now", lambda: datetime.now(UTC) + timedelta(hours=2))
    written = [next(guesses), "", "no code", "U" * 20, "1" * 5000, void, over, taken, own, other_store]
    refusals = [refusal(await issuer.redeem(customer, code)) for code in written]
    assert len(set(refusals)) == 1
    assert refusals[0][0] == 409
    assert '"gift_code_invalid"' in refusals[0][1]
    assert await issuer.balance(customer) == 5
    assert (await issuer.redeem(await issuer.customer(), expired)).status == 201


async def test_ten_failures_lock_a_customer_out_also_of_a_right_code(issuer):
    customer, other, (gift_id, code) = await issuer.customer(), await issuer.customer(), await issuer.code()
    assert [(await issuer.redeem(customer, next(guesses))).code for _ in range(10)] == ["gift_code_invalid"] * 10
    reply = await issuer.redeem(customer, code, key="later")
    assert (reply.status, reply.code) == (429, "too_many_attempts")
    assert 800 < int(reply.headers["retry-after"]) <= 900
    assert (await issuer.of(gift_id))["status"] == "ACTIVE"
    await issuer.execute(
        "UPDATE gift_attempt SET failed_at[1] = now() - interval '14 minutes' WHERE customer_id = $1",
        customer,
    )
    assert 1 <= int((await issuer.redeem(customer, code)).headers["retry-after"]) <= 60
    await issuer.execute(
        "UPDATE gift_attempt SET failed_at[1] = now() - interval '15 minutes' WHERE customer_id = $1", customer
    )
    assert (await issuer.redeem(customer, code, key="later")).status == 201
    assert (await issuer.redeem(other, next(guesses))).code == "gift_code_invalid"


async def test_guesses_at_once_are_counted_one_by_one(issuer):
    customer = await issuer.customer()
    replies = await asyncio.gather(*(issuer.redeem(customer, next(guesses)) for _ in range(60)))
    assert sorted(reply.status for reply in replies) == [409] * 10 + [429] * 50


async def test_an_attempt_waits_for_those_of_another_process(issuer):
    customer, (_, code) = await issuer.customer(), await issuer.code()
    await issuer.redeem(customer, next(guesses))
    async with issuer.worker.transaction() as conn:
        sql = "UPDATE gift_attempt SET failed_at = failed_at || array_fill(now(), '{9}') WHERE customer_id = $1"
        await conn.execute(sql, customer)
        attempt = asyncio.create_task(issuer.redeem(customer, code))
        await somebody_waits(issuer.worker)
    assert (await attempt).status == 429


async def test_a_refusal_repeated_under_its_key_is_no_further_attempt(issuer):
    customer, (_, code), guess = await issuer.customer(), await issuer.code(), next(guesses)
    replies = [await issuer.redeem(customer, guess, key="guess") for _ in range(12)]
    assert len({reply.body for reply in replies}) == 1
    assert (await issuer.redeem(customer, code)).status == 201


async def test_what_succeeds_is_no_failure(issuer):
    customer, made = await issuer.customer(), (await issuer.make(12)).data["codes"]
    assert [(await issuer.redeem(customer, its["code"])).status for its in made] == [201] * 12


async def test_old_attempts_are_forgotten_and_new_ones_are_not(issuer):
    old, new, (_, code) = await issuer.customer(), await issuer.customer(), await issuer.code()
    for customer in (old, new):
        await issuer.redeem(customer, next(guesses))
    await issuer.redeem(await issuer.customer(), code)
    await issuer.execute("UPDATE gift_attempt SET failed_at[1] = now() - interval '1 hour' WHERE customer_id = $1", old)
    await one_slice(issuer.worker, SWEEP)
    assert await issuer.rows("SELECT customer_id FROM gift_attempt WHERE store_id = $1") == [(new,)]
