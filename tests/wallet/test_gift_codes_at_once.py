"""A gift code is worth its credit once, whoever comes for it at once and whatever dies."""

import asyncio

import pytest
from giving import Issuer, refusal
from handling import somebody_waits

from wallet import gift_codes, store_book, store_gift_codes
from wallet.main import service


async def test_two_hundred_customers_at_once_redeem_one_code_once(issuer, ledger):
    customers, (gift_id, code) = await issuer.customers(200), await issuer.code()
    replies = await asyncio.gather(*(issuer.redeem(customer, code) for customer in customers))
    assert sorted(reply.status for reply in replies) == [201] + [409] * 199
    assert len({refusal(reply) for reply in replies if reply.status == 409}) == 1
    winner = customers[[reply.status for reply in replies].index(201)]
    assert (await issuer.of(gift_id))["redeemed_by"] == winner
    assert await issuer.rows("SELECT customer_id, amount_minor FROM entry WHERE store_id = $1") == [(winner, 500)]
    told = "SELECT count(*) FROM outbox WHERE store_id = $1 AND type = 'wallet.posted'"
    assert await issuer.rows(told) == [(1,)]


async def test_two_processes_at_once_redeem_one_code_once(issuer, database, serve):
    other = Issuer((await serve(service, database)).as_(issuer.client.caller), issuer.worker, issuer.store_id)
    for _ in range(5):
        customers, made = await issuer.customers(20), (await issuer.make(20)).data["codes"]
        replies = await asyncio.gather(
            *((issuer, other)[i % 2].redeem(customers[i % 20], made[(i * 7) % 20]["code"]) for i in range(40))
        )
        assert sorted(reply.status for reply in replies) == [201] * 20 + [409] * 20
    assert await issuer.rows("SELECT count(*) FROM entry WHERE store_id = $1") == [(100,)]


async def test_its_entry_alone_keeps_a_code_from_being_redeemed_twice(issuer, monkeypatch):
    """The planted faults: the code is not marked, then its entry is not looked up; the unique key is the last lock."""

    async def marks_nothing(*_):
        pass

    async def knows_nothing(*_):
        return {}

    (first, second, third), (_, code) = await issuer.customers(3), await issuer.code()
    monkeypatch.setattr(store_gift_codes, "redeem", marks_nothing)
    assert (await issuer.redeem(first, code)).status == 201
    assert (await issuer.redeem(second, code)).code == "gift_code_invalid"
    monkeypatch.setattr(store_book, "answers", knows_nothing)
    assert (await issuer.redeem(third, code)).status == 500
    assert await issuer.rows("SELECT customer_id FROM entry WHERE store_id = $1") == [(first,)]


async def test_a_redemption_that_dies_before_it_is_marked_has_not_happened(issuer, monkeypatch):
    customer, (_, code) = await issuer.customer(), await issuer.code()

    async def dies(*_):
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(store_gift_codes, "redeem", dies)
        assert (await issuer.redeem(customer, code, key="retried")).status == 503
    assert await issuer.balance(customer) == 0
    assert (await issuer.redeem(customer, code, key="retried")).status == 201


async def test_the_cap_refuses_a_code_whole_and_leaves_it_usable(issuer, ledger, terms):
    customer, other, (gift_id, code) = await issuer.customer(), await issuer.customer(), await issuer.code()
    await ledger.append(ledger.gift(customer, 600))
    await terms(cap=1000)
    for _ in range(12):
        assert (await issuer.redeem(customer, code)).code == "balance_cap"
    assert (await issuer.of(gift_id))["status"] == "ACTIVE"
    replies = await asyncio.gather(*(issuer.redeem(each, code) for each in (customer, other)))
    assert [reply.status for reply in replies] == [409, 201]
    assert (await issuer.balance(customer), await issuer.balance(other)) == (6, 5)


async def redeeming(conn, issuer, made):
    await store_gift_codes.lock_gifts(
        conn, issuer.store_id, [gift_codes.digest_of(its["code"]) for its in made["codes"][::-1]]
    )


async def voiding(conn, issuer, made):
    await store_gift_codes.void_batch(conn, issuer.store_id, made["id"])


@pytest.mark.parametrize("work", [redeeming, voiding])
async def test_codes_are_locked_in_one_order_by_all(issuer, ledger, work):
    """Else who redeems and who voids could wait in a circle."""
    made = (await issuer.make(3)).data
    first, middle, last = sorted(its["id"] for its in made["codes"])
    touch = "UPDATE gift_code SET last4 = last4 WHERE store_id = $1 AND gift_id = $2"

    async def at_work():
        async with ledger.database.transaction(issuer.store_id) as conn:
            await conn.execute(touch, issuer.store_id, first)  # it lies behind the others now
        async with ledger.database.transaction(issuer.store_id) as conn:
            # The order of an index would hide that nobody asked for one.
            await conn.execute("SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off")
            await work(conn, issuer, made)

    async with ledger.database.transaction(issuer.store_id) as conn:
        await conn.execute(touch, issuer.store_id, middle)
        task = asyncio.create_task(at_work())
        await somebody_waits(issuer.worker)
        async with ledger.database.transaction(issuer.store_id) as another:
            free = await another.rows("SELECT gift_id FROM gift_code FOR UPDATE SKIP LOCKED")
        assert [row[0] for row in free] == [last]
    await task


async def test_codes_voided_and_redeemed_at_once_are_one_or_the_other(issuer):
    made, customers = (await issuer.make(50)).data, await issuer.customers(50)
    path = f"/dev/v1/wallet/gift-code-batches/{made['id']}/void"
    attempts = [
        issuer.redeem(customer, its["code"]) for customer, its in zip(customers, made["codes"][::-1], strict=True)
    ]
    *replies, voided = await asyncio.gather(*attempts, issuer.client.post(path))
    redeemed = [reply.status for reply in replies].count(201)
    assert {reply.status for reply in replies} <= {201, 409}
    assert voided.data == {"id": made["id"], "voided": 50 - redeemed, "redeemed": redeemed}
