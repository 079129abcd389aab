"""Gift codes over HTTP: the real application, in this process."""

import asyncio
import itertools
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from handling import somebody_waits
from serving import merchant

from chassis import clock, ids
from chassis.timers import one_slice
from contracts.ids import CUSTOMER
from wallet import gift_codes, store_book, store_gift_codes, timers
from wallet.main import service

PATH = "/dev/v1/wallet/gift-codes"
SWEEP = next(timer for timer in timers.ALL if timer.name == "forget attempts at gift codes")

keys = (f"gift-{n}" for n in itertools.count())
guesses = (gift_codes.write(n).code for n in itertools.count())


@dataclass
class Shop:
    """A store that makes codes, and its customers who redeem them."""

    client: object
    worker: object
    store_id: str

    async def customer(self):
        (customer_id,) = await self.customers(1)
        return customer_id

    async def customers(self, count):
        customer_ids = [ids.new(CUSTOMER) for _ in range(count)]
        sql = "INSERT INTO known_customer SELECT $1, unnest($2::text[]), 1, 'active', NULL"
        await self.execute(sql, self.store_id, customer_ids)
        return customer_ids

    async def make(self, count=1, amount=5, key=None, **more):
        body = {"count": count, "amount": amount, **more}
        return await self.client.post(PATH, body, key=key or next(keys))

    async def code(self, **more):
        """(id, code) of a new one."""
        (made,) = (await self.make(**more)).data["codes"]
        return made["id"], made["code"]

    async def redeem(self, customer_id, code, key=None):
        path = f"/dev/v1/customers/{customer_id}/wallet/gift-codes"
        return await self.client.post(path, {"code": code}, key=key or next(keys))

    async def balance(self, customer_id):
        return (await self.client.get(f"/dev/v1/customers/{customer_id}/wallet")).data["balance"]

    async def of(self, gift_id):
        return next(its for its in (await self.client.get(f"{PATH}?limit=100")).data if its["id"] == gift_id)

    async def execute(self, sql, *args):
        async with self.worker.transaction() as conn:
            return await conn.execute(sql, *args)

    async def rows(self, sql):
        async with self.worker.transaction() as conn:
            return [tuple(row) for row in await conn.rows(sql, self.store_id)]


@pytest.fixture(scope="module")
async def client(database, serve):
    return await serve(service, database)


@pytest.fixture
async def shop(client, ledger, worker):
    return Shop(client.as_(merchant(ledger.store_id)), worker, ledger.store_id)


@pytest.fixture
def terms(ledger):
    """`await terms(cap=1000)`: the store's settings."""

    async def change(cap=None, days=None):
        async with ledger.database.transaction(ledger.store_id) as conn:
            await conn.execute(
                """
                INSERT INTO terms (store_id, version, refunds_as_credit, default_expiry_days, balance_cap_minor,
                                   promo_over_cap, changed_at)
                VALUES ($1, 1, true, $2, $3, 'clip', now())
                ON CONFLICT (store_id) DO UPDATE SET balance_cap_minor = $3
                """,
                ledger.store_id,
                days,
                cap,
            )

    return change


def refusal(reply):
    """A refusal without what differs between any two."""
    problem = reply.json
    del problem["request_id"]
    assert reply.headers["content-type"] == "application/problem+json"
    return reply.status, json.dumps(problem)


async def test_codes_are_made_and_shown_once(shop):
    reply = await shop.make(3, 12.5, reason="xmas", note="for friends", redeem_until="2099-01-01T00:00:00Z")
    assert reply.status == 201
    codes = reply.data["codes"]
    assert reply.data == {
        "id": reply.data["id"],
        "amount": 12.5,
        "currency": "EUR",
        "redeem_until": "2099-01-01T00:00:00Z",
        "credit_expiry_days": None,
        "reason": "xmas",
        "note": "for friends",
        "created_at": reply.data["created_at"],
        "codes": codes,
    }
    assert reply.data["id"].startswith("gifts_")
    assert len({its["code"] for its in codes}) == 3
    listed = await shop.client.get(f"{PATH}?batch_id={reply.data['id']}")
    assert [its["id"] for its in listed.data] == sorted((its["id"] for its in codes), reverse=True)
    for its in codes:
        assert its["code"].encode() not in listed.body
        assert its["code"][-4:] == (await shop.of(its["id"]))["last4"]


async def test_a_thousand_codes_are_made_once_under_one_key(shop):
    first, again = [await shop.make(1000, key="thousand") for _ in range(2)]
    assert first.status == 201
    assert first.body == again.body
    assert await shop.rows("SELECT count(*), count(DISTINCT hash) FROM gift_code WHERE store_id = $1") == [(1000, 1000)]


async def test_a_code_becomes_credit(shop):
    customer, (gift_id, code) = await shop.customer(), await shop.code(amount=7.5, reason="xmas", note="for you")
    reply = await shop.redeem(customer, code.lower().replace("-", " "))
    its = reply.data
    assert (reply.status, its["type"], its["amount"], its["balance"], its["note"]) == (
        201,
        "CREDIT",
        7.5,
        7.5,
        "for you",
    )
    assert its["cause"] == {"kind": "gift_code", "id": gift_id}
    assert its["reason"] == "xmas"
    assert (await shop.client.get(f"/dev/v1/customers/{customer}/wallet/transactions")).data == [its]
    shown = await shop.of(gift_id)
    assert (shown["status"], shown["redeemed_by"], shown["transaction_id"]) == ("REDEEMED", customer, its["id"])
    assert shown["redeemed_at"] == its["created_at"]


async def test_a_redemption_that_comes_again_under_its_key_is_answered_again(shop):
    customer, (_, code) = await shop.customer(), await shop.code()
    first, again = [await shop.redeem(customer, code, key="once") for _ in range(2)]
    assert (first.status, first.body) == (again.status, again.body) == (201, first.body)
    assert again.headers["idempotent-replayed"] == "true"
    assert await shop.balance(customer) == 5


async def test_every_code_that_is_none_is_refused_in_the_same_words(shop, client, new_store, monkeypatch):
    elsewhere = Shop(client.as_(merchant(await new_store())), shop.worker, None)
    (void_id, void), (_, expired), (_, taken), (_, own) = [await shop.code() for _ in range(4)]
    _, over = await shop.code(redeem_until=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    (_, other_store) = await elsewhere.code()
    customer = await shop.customer()
    await shop.client.post(f"{PATH}/{void_id}/void")
    await shop.redeem(await shop.customer(), taken)
    await shop.redeem(customer, own)
    monkeypatch.setattr(clock, "now", lambda: datetime.now(UTC) + timedelta(hours=2))
    written = [next(guesses), "", "no code", "U" * 20, "1" * 5000, void, over, taken, own, other_store]
    refusals = [refusal(await shop.redeem(customer, code)) for code in written]
    assert len(set(refusals)) == 1
    assert refusals[0][0] == 409
    assert '"gift_code_invalid"' in refusals[0][1]
    assert await shop.balance(customer) == 5
    assert (await shop.redeem(await shop.customer(), expired)).status == 201


async def test_two_hundred_customers_at_once_redeem_one_code_once(shop, ledger):
    customers, (gift_id, code) = await shop.customers(200), await shop.code()
    replies = await asyncio.gather(*(shop.redeem(customer, code) for customer in customers))
    assert sorted(reply.status for reply in replies) == [201] + [409] * 199
    assert len({refusal(reply) for reply in replies if reply.status == 409}) == 1
    winner = customers[[reply.status for reply in replies].index(201)]
    assert (await shop.of(gift_id))["redeemed_by"] == winner
    assert await shop.rows("SELECT customer_id, amount_minor FROM entry WHERE store_id = $1") == [(winner, 500)]
    told = "SELECT count(*) FROM outbox WHERE store_id = $1 AND type = 'wallet.posted'"
    assert await shop.rows(told) == [(1,)]


async def test_two_processes_at_once_redeem_one_code_once(shop, database, serve):
    other = Shop((await serve(service, database)).as_(shop.client.caller), shop.worker, shop.store_id)
    for _ in range(5):
        customers, made = await shop.customers(20), (await shop.make(20)).data["codes"]
        replies = await asyncio.gather(
            *((shop, other)[i % 2].redeem(customers[i % 20], made[(i * 7) % 20]["code"]) for i in range(40))
        )
        assert sorted(reply.status for reply in replies) == [201] * 20 + [409] * 20
    assert await shop.rows("SELECT count(*) FROM entry WHERE store_id = $1") == [(100,)]


async def test_its_entry_alone_keeps_a_code_from_being_redeemed_twice(shop, monkeypatch):
    """The planted faults: the code is not marked, then its entry is not looked up; the unique key is the last lock."""

    async def marks_nothing(*_):
        pass

    async def knows_nothing(*_):
        return {}

    (first, second, third), (_, code) = await shop.customers(3), await shop.code()
    monkeypatch.setattr(store_gift_codes, "redeem", marks_nothing)
    assert (await shop.redeem(first, code)).status == 201
    assert (await shop.redeem(second, code)).code == "gift_code_invalid"
    monkeypatch.setattr(store_book, "answers", knows_nothing)
    assert (await shop.redeem(third, code)).status == 500
    assert await shop.rows("SELECT customer_id FROM entry WHERE store_id = $1") == [(first,)]


async def test_a_redemption_that_dies_before_it_is_marked_has_not_happened(shop, monkeypatch):
    customer, (_, code) = await shop.customer(), await shop.code()

    async def dies(*_):
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(store_gift_codes, "redeem", dies)
        assert (await shop.redeem(customer, code, key="retried")).status == 503
    assert await shop.balance(customer) == 0
    assert (await shop.redeem(customer, code, key="retried")).status == 201


async def test_the_cap_refuses_a_code_whole_and_leaves_it_usable(shop, ledger, terms):
    customer, other, (gift_id, code) = await shop.customer(), await shop.customer(), await shop.code()
    await ledger.append(ledger.gift(customer, 600))
    await terms(cap=1000)
    for _ in range(12):
        assert (await shop.redeem(customer, code)).code == "balance_cap"
    assert (await shop.of(gift_id))["status"] == "ACTIVE"
    replies = await asyncio.gather(*(shop.redeem(each, code) for each in (customer, other)))
    assert [reply.status for reply in replies] == [409, 201]
    assert (await shop.balance(customer), await shop.balance(other)) == (6, 5)


async def test_ten_failures_lock_a_customer_out_also_of_a_right_code(shop):
    customer, other, (gift_id, code) = await shop.customer(), await shop.customer(), await shop.code()
    assert [(await shop.redeem(customer, next(guesses))).code for _ in range(10)] == ["gift_code_invalid"] * 10
    reply = await shop.redeem(customer, code, key="later")
    assert (reply.status, reply.code) == (429, "too_many_attempts")
    assert 800 < int(reply.headers["retry-after"]) <= 900
    assert (await shop.of(gift_id))["status"] == "ACTIVE"
    await shop.execute(
        "UPDATE gift_attempt SET failed_at[1] = now() - interval '14 minutes' WHERE customer_id = $1",
        customer,
    )
    assert 1 <= int((await shop.redeem(customer, code)).headers["retry-after"]) <= 60
    await shop.execute(
        "UPDATE gift_attempt SET failed_at[1] = now() - interval '15 minutes' WHERE customer_id = $1", customer
    )
    assert (await shop.redeem(customer, code, key="later")).status == 201
    assert (await shop.redeem(other, next(guesses))).code == "gift_code_invalid"


async def test_guesses_at_once_are_counted_one_by_one(shop):
    customer = await shop.customer()
    replies = await asyncio.gather(*(shop.redeem(customer, next(guesses)) for _ in range(60)))
    assert sorted(reply.status for reply in replies) == [409] * 10 + [429] * 50


async def test_an_attempt_waits_for_those_of_another_process(shop):
    customer, (_, code) = await shop.customer(), await shop.code()
    await shop.redeem(customer, next(guesses))
    async with shop.worker.transaction() as conn:
        sql = "UPDATE gift_attempt SET failed_at = failed_at || array_fill(now(), '{9}') WHERE customer_id = $1"
        await conn.execute(sql, customer)
        attempt = asyncio.create_task(shop.redeem(customer, code))
        await somebody_waits(shop.worker)
    assert (await attempt).status == 429


async def test_a_refusal_repeated_under_its_key_is_no_further_attempt(shop):
    customer, (_, code), guess = await shop.customer(), await shop.code(), next(guesses)
    replies = [await shop.redeem(customer, guess, key="guess") for _ in range(12)]
    assert len({reply.body for reply in replies}) == 1
    assert (await shop.redeem(customer, code)).status == 201


async def test_what_succeeds_is_no_failure(shop):
    customer, made = await shop.customer(), (await shop.make(12)).data["codes"]
    assert [(await shop.redeem(customer, its["code"])).status for its in made] == [201] * 12


async def test_old_attempts_are_forgotten_and_new_ones_are_not(shop):
    old, new, (_, code) = await shop.customer(), await shop.customer(), await shop.code()
    for customer in (old, new):
        await shop.redeem(customer, next(guesses))
    await shop.redeem(await shop.customer(), code)
    await shop.execute("UPDATE gift_attempt SET failed_at[1] = now() - interval '1 hour' WHERE customer_id = $1", old)
    await one_slice(shop.worker, SWEEP)
    assert await shop.rows("SELECT customer_id FROM gift_attempt WHERE store_id = $1") == [(new,)]


@pytest.mark.parametrize(("given", "days"), [({}, 30), ({"credit_expiry_days": None}, None), ({"credit_expiry_days": 7}, 7)])  # fmt: skip
async def test_the_credit_lasts_as_long_as_the_batch_says_or_else_the_store(shop, terms, given, days):
    await terms(days=30)
    reply = await shop.make(**given)
    assert reply.data["credit_expiry_days"] == days
    its = (await shop.redeem(await shop.customer(), reply.data["codes"][0]["code"])).data
    if days is None:
        assert its["expires_at"] is None
    else:
        lasts = datetime.fromisoformat(its["expires_at"]) - datetime.fromisoformat(its["created_at"])
        assert abs(lasts - timedelta(days=days)) < timedelta(minutes=1)


async def test_a_code_is_void_for_ever_unless_it_was_redeemed(shop):
    (void_id, void), (redeemed_id, redeemed) = await shop.code(), await shop.code()
    await shop.redeem(await shop.customer(), redeemed)
    for gift_id, status in ((void_id, "VOID"), (redeemed_id, "REDEEMED")):
        first, again = [await shop.client.post(f"{PATH}/{gift_id}/void") for _ in range(2)]
        assert (first.status, first.data["status"], again.data) == (200, status, first.data)
    assert (await shop.redeem(await shop.customer(), void)).code == "gift_code_invalid"


async def test_a_batch_is_void_but_for_what_was_redeemed(shop):
    made = (await shop.make(3)).data
    await shop.redeem(await shop.customer(), made["codes"][1]["code"])
    path = f"/dev/v1/wallet/gift-code-batches/{made['id']}/void"
    first, again = [await shop.client.post(path) for _ in range(2)]
    assert first.data == again.data == {"id": made["id"], "voided": 2, "redeemed": 1}


async def redeeming(conn, shop, made):
    await store_gift_codes.lock_gifts(
        conn, shop.store_id, [gift_codes.digest_of(its["code"]) for its in made["codes"][::-1]]
    )


async def voiding(conn, shop, made):
    await store_gift_codes.void_batch(conn, shop.store_id, made["id"])


@pytest.mark.parametrize("work", [redeeming, voiding])
async def test_codes_are_locked_in_one_order_by_all(shop, ledger, work):
    """Else who redeems and who voids could wait in a circle."""
    made = (await shop.make(3)).data
    first, middle, last = sorted(its["id"] for its in made["codes"])
    touch = "UPDATE gift_code SET last4 = last4 WHERE store_id = $1 AND gift_id = $2"

    async def at_work():
        async with ledger.database.transaction(shop.store_id) as conn:
            await conn.execute(touch, shop.store_id, first)  # it lies behind the others now
        async with ledger.database.transaction(shop.store_id) as conn:
            # The order of an index would hide that nobody asked for one.
            await conn.execute("SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off")
            await work(conn, shop, made)

    async with ledger.database.transaction(shop.store_id) as conn:
        await conn.execute(touch, shop.store_id, middle)
        task = asyncio.create_task(at_work())
        await somebody_waits(shop.worker)
        async with ledger.database.transaction(shop.store_id) as another:
            free = await another.rows("SELECT gift_id FROM gift_code FOR UPDATE SKIP LOCKED")
        assert [row[0] for row in free] == [last]
    await task


async def test_codes_voided_and_redeemed_at_once_are_one_or_the_other(shop):
    made, customers = (await shop.make(50)).data, await shop.customers(50)
    path = f"/dev/v1/wallet/gift-code-batches/{made['id']}/void"
    attempts = [
        shop.redeem(customer, its["code"]) for customer, its in zip(customers, made["codes"][::-1], strict=True)
    ]
    *replies, voided = await asyncio.gather(*attempts, shop.client.post(path))
    redeemed = [reply.status for reply in replies].count(201)
    assert {reply.status for reply in replies} <= {201, 409}
    assert voided.data == {"id": made["id"], "voided": 50 - redeemed, "redeemed": redeemed}


async def test_codes_are_listed_by_where_they_stand(shop, monkeypatch):
    made = [(await shop.code())[0] for _ in range(2)]
    void_id, (redeemed_id, redeemed) = (await shop.code())[0], await shop.code()
    over_id, _ = await shop.code(redeem_until=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    await shop.client.post(f"{PATH}/{void_id}/void")
    await shop.redeem(await shop.customer(), redeemed)
    monkeypatch.setattr(clock, "now", lambda: datetime.now(UTC) + timedelta(hours=2))
    expected = {"ACTIVE": made[::-1], "VOID": [void_id], "REDEEMED": [redeemed_id], "EXPIRED": [over_id]}
    for status, gift_ids in expected.items():
        page = await shop.client.get(f"{PATH}?status={status}")
        assert [(its["id"], its["status"]) for its in page.data] == [(gift_id, status) for gift_id in gift_ids]
    cursor, seen = "", []
    while cursor is not None:
        page = (await shop.client.get(f"{PATH}?limit=2{cursor and f'&cursor={cursor}'}")).json
        seen += [its["id"] for its in page["data"]]
        cursor = page["next_cursor"]
    assert seen == sorted([*made, void_id, redeemed_id, over_id], reverse=True)


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"count": 0}, "/count", "greater_than_equal"),
        ({"count": 1001}, "/count", "less_than_equal"),
        ({"count": "3"}, "/count", "int_type"),
        ({"amount": 0}, "/amount", "amount_not_positive"),
        ({"amount": -1}, "/amount", "amount_not_positive"),
        ({"amount": 1.005}, "/amount", "amount_precision"),
        ({"amount": 5_000_000_000_000, "count": 2}, "/amount", "amount_range"),
        ({"redeem_until": "2020-01-01T00:00:00Z"}, "/redeem_until", "redeem_until_past"),
        ({"redeem_until": "2099-01-01T00:00:00"}, "/redeem_until", "timezone_aware"),
        ({"redeem_until": "9999-12-31T23:59:59.999999Z"}, "/redeem_until", "datetime_range"),
        ({"credit_expiry_days": 0}, "/credit_expiry_days", "greater_than_equal"),
        ({"codes": ["mine"]}, "/codes", "extra_forbidden"),
    ],
    ids=str,
)
async def test_what_is_no_batch_changes_nothing(shop, body, pointer, code):
    reply = await shop.make(**body, key="reused")
    assert (reply.status, reply.json["errors"][0]["pointer"], reply.json["errors"][0]["code"]) == (422, pointer, code)
    assert (await shop.client.get(PATH)).data == []
    assert (await shop.make(key="reused")).status == 201


async def test_another_store_knows_none_of_it(shop, new_store):
    made = (await shop.make()).data
    stranger = shop.client.as_(merchant(await new_store()))
    for path in (
        f"{PATH}/{made['codes'][0]['id']}/void",
        f"/dev/v1/wallet/gift-code-batches/{made['id']}/void",
        f"{PATH}/nothing%00/void",
    ):
        reply = await stranger.post(path)
        assert (reply.status, reply.code) == (404, "not_found")
    assert (await stranger.get(PATH)).data == (await stranger.get(f"{PATH}?batch_id={made['id']}")).data == []
    assert (await shop.of(made["codes"][0]["id"]))["status"] == "ACTIVE"


async def test_no_table_but_the_reply_kept_under_its_key_holds_a_code(shop):
    _, code = await shop.code()
    for spelling in (code, code.replace("-", "")):
        for table in ("gift_code", "gift_batch", "entry", "outbox"):
            async with shop.worker.transaction() as conn:
                rows = await conn.rows(f"SELECT t::text FROM {table} t WHERE store_id = $1", shop.store_id)
            assert not [row for row in rows if spelling in row[0]]
