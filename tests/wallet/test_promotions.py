"""Promotions: the list is taken in over HTTP, the timer gives, a slice at a time, on the real database."""

import asyncio
import io
import itertools
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from serving import merchant
from typeid import TypeID

from chassis import clock, ids
from chassis.timers import one_slice
from contracts.ids import CUSTOMER
from gateway.routes import TABLE
from wallet import store_promotions, timers
from wallet.api.promotions import start_promotion
from wallet.main import service

PATH = "/dev/v1/wallet/promotions"
GIVING = next(timer for timer in timers.ALL if timer.name == "promotions")
NEVER_MINTED = "cus_01h455vb4pex5vsknk084sn02r"

keys = (f"promotion-{n}" for n in itertools.count())


def minted(minutes_ago):
    """An id of a customer, that long old."""
    milliseconds = int((time.time() - minutes_ago * 60) * 1000)
    return str(TypeID.from_uuid(UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62), prefix=CUSTOMER))


@dataclass
class Shop:
    """A store whose merchant gives, and whose timer runs when it is told to."""

    client: object
    worker: object
    store_id: str

    async def customers(self, count):
        customer_ids = [ids.new(CUSTOMER) for _ in range(count)]
        await self.know(*customer_ids)
        return customer_ids

    async def know(self, *customer_ids, state="active", merged_into=None, version=1):
        async with self.worker.transaction() as conn:
            await conn.execute(
                """
                INSERT INTO known_customer SELECT $1, unnest($2::text[]), $3, $4, $5
                ON CONFLICT (store_id, id) DO UPDATE SET version = $3, state = $4, merged_into = $5
                """,
                self.store_id,
                customer_ids,
                version,
                state,
                merged_into,
            )

    async def merge(self, customer_id, into):
        await self.know(customer_id, state="merged", merged_into=into, version=2)

    async def start(self, customer_ids, amount=5, key=None, **more):
        body = {"amount": amount, "customer_ids": customer_ids, **more}
        return await self.client.post(PATH, raw=io.BytesIO(json.dumps(body).encode()), key=key or next(keys))

    async def started(self, customer_ids, **more):
        reply = await self.start(customer_ids, **more)
        assert reply.status == 201, reply.body
        return reply.data["id"]

    async def of(self, promotion_id):
        return (await self.client.get(f"{PATH}/{promotion_id}")).data

    async def recipients(self, promotion_id, query=""):
        return (await self.client.get(f"{PATH}/{promotion_id}/recipients?limit=100{query}")).data

    async def outcomes(self, promotion_id):
        return {its["customer_id"]: (its["status"], its["reason"]) for its in await self.recipients(promotion_id)}

    async def give(self):
        """As the timer does: until there is nothing to do."""
        while await one_slice(self.worker, GIVING):
            pass

    async def entries(self):
        """(customer, amount) of every entry of the store."""
        async with self.worker.transaction() as conn:
            sql = "SELECT customer_id, amount_minor FROM entry WHERE store_id = $1 AND type = 'PROMO' ORDER BY 1"
            return [tuple(row) for row in await conn.rows(sql, self.store_id)]

    async def execute(self, sql, *args):
        async with self.worker.transaction() as conn:
            return await conn.execute(sql, *args)


@pytest.fixture(scope="module")
async def client(database, serve):
    return await serve(service, database)


@pytest.fixture
async def shop(client, ledger, worker):
    shop = Shop(client.as_(merchant(ledger.store_id)), worker, ledger.store_id)
    yield shop
    await shop.execute("DELETE FROM outbox")
    await shop.execute("UPDATE promotion SET status = 'CANCELLED', finished_at = now() WHERE finished_at IS NULL")
    async with worker.transaction() as conn:
        rows = await conn.rows(
            """
            SELECT p.promotion_id FROM promotion p WHERE p.store_id = $1 AND (p.granted, p.granted_minor) <> (
                SELECT count(*), coalesce(sum(e.amount_minor), 0) FROM promotion_recipient r
                JOIN entry e USING (store_id, entry_id)
                WHERE r.store_id = $1 AND r.promotion_id = p.promotion_id AND r.status = 'GRANTED'
                  AND e.cause_id = p.promotion_id)
            """,
            shop.store_id,
        )
        assert rows == [], "the figures of a promotion are its entries"


@pytest.fixture
def capped(ledger, shop):
    """`await capped(10_00, "refuse")`: the store caps balances."""

    async def cap(minor, over="clip"):
        async with ledger.database.transaction(shop.store_id) as conn:
            await conn.execute(
                """
                INSERT INTO terms (store_id, version, refunds_as_credit, balance_cap_minor, promo_over_cap, changed_at)
                VALUES ($1, 1, true, $2, $3, now())
                """,
                shop.store_id,
                minor,
                over,
            )

    return cap


async def test_everybody_on_the_list_gets_it_once(shop, ledger):
    customers = await shop.customers(3)
    reply = await shop.start([*customers, customers[0]], 7.5, reason="win_back", note="come back", notify=True)
    assert reply.status == 201
    promotion_id, created_at = reply.data["id"], reply.data["created_at"]
    assert promotion_id.startswith("promo_")
    assert reply.data == {
        "id": promotion_id,
        "status": "RUNNING",
        "amount": 7.5,
        "currency": "EUR",
        "reason": "win_back",
        "note": "come back",
        "expires_at": None,
        "notify": True,
        "total": 3,
        "granted": 0,
        "clipped": 0,
        "refused": {},
        "granted_amount": 0,
        "created_at": created_at,
        "finished_at": None,
    }
    assert await shop.entries() == []
    await shop.give()
    its = await shop.of(promotion_id)
    assert (its["status"], its["granted"], its["granted_amount"]) == ("FINISHED", 3, 22.5)
    assert its["finished_at"] is not None
    assert await shop.entries() == [(customer, 750) for customer in sorted(customers)]
    transactions = (await shop.client.get("/dev/v1/wallet/transactions")).data
    assert {(its["type"], its["cause"]["id"], its["reason"], its["note"]) for its in transactions} == {
        ("PROMO", promotion_id, "win_back", "come back")
    }
    listed = await shop.recipients(promotion_id)
    assert {its["transaction_id"] for its in listed} == {its["id"] for its in transactions}
    async with shop.worker.transaction() as conn:
        told = await conn.rows("SELECT type FROM outbox WHERE store_id = $1", shop.store_id)
    assert sorted(row[0] for row in told) == ["mail.requested"] * 3 + ["wallet.posted"] * 3


async def test_a_list_that_comes_again_is_one_promotion(shop):
    customers = await shop.customers(2)
    first, again = [await shop.start(customers, key="once") for _ in range(2)]
    assert (first.status, first.body) == (again.status, again.body)
    await shop.give()
    assert len(await shop.entries()) == 2


async def test_a_slice_that_dies_after_posting_is_done_again_and_gives_nothing_twice(shop, monkeypatch):
    customers = await shop.customers(1201)
    promotion_id = await shop.started(customers)
    write = store_promotions.record

    async def dies(conn, *args):
        await write(conn, *args)
        raise ConnectionError

    for _ in range(3):
        with monkeypatch.context() as patched:
            patched.setattr(store_promotions, "record", dies)
            with pytest.raises(ConnectionError):
                await one_slice(shop.worker, GIVING)
        posted = len(await shop.entries())
        await one_slice(shop.worker, GIVING)
        its = await shop.of(promotion_id)
        assert len(await shop.entries()) == its["granted"] == min(posted + 500, 1201)
    assert its["status"] == "FINISHED"
    assert await shop.entries() == [(customer, 500) for customer in sorted(customers)]


async def test_the_database_alone_refuses_to_give_twice(shop, monkeypatch):
    """The planted fault: what is done is not recorded and not looked for, and the unique key is the lock that holds."""

    async def forgets(*_):
        return []

    promotion_id = await shop.started(await shop.customers(2))
    monkeypatch.setattr(store_promotions, "record", forgets)
    await one_slice(shop.worker, GIVING)
    await one_slice(shop.worker, GIVING)
    assert len(await shop.entries()) == 2
    monkeypatch.setattr(store_promotions, "already_given", forgets)
    with pytest.raises(Exception, match="entry_promotion"):
        await one_slice(shop.worker, GIVING)
    assert len(await shop.entries()) == 2
    await shop.execute("UPDATE promotion SET granted = 2, granted_minor = 1000 WHERE promotion_id = $1", promotion_id)
    await shop.execute(
        """
        UPDATE promotion_recipient r SET status = 'GRANTED', entry_id = e.entry_id FROM entry e
        WHERE r.promotion_id = $1 AND e.cause_id = r.promotion_id AND e.customer_id = r.customer_id
        """,
        promotion_id,
    )


async def test_the_timer_at_work_in_two_processes_gives_once(shop):
    await shop.started(await shop.customers(700))
    await asyncio.gather(*(one_slice(shop.worker, GIVING) for _ in range(8)))
    await shop.give()
    assert len(await shop.entries()) == 700


async def test_slices_give_while_the_same_customers_spend_and_get(shop, ledger):
    customers = await shop.customers(40)
    promotion_id = await shop.started(customers)
    work = [ledger.append(*(ledger.gift(customer, 1) for customer in customers[::step])) for step in (1, -1) * 5]
    await asyncio.gather(shop.give(), *work)
    assert (await shop.of(promotion_id))["granted"] == 40


async def test_unknown_and_erased_customers_are_told_apart_from_the_job(shop, new_store):
    (known, erased, elsewhere) = await shop.customers(3)
    await shop.know(erased, state="erased", version=2)
    await shop.execute("DELETE FROM known_customer WHERE id = $1", elsewhere)
    await shop.execute("INSERT INTO known_customer VALUES ($1, $2, 1, 'active', NULL)", await new_store(), NEVER_MINTED)
    promotion_id = await shop.started([known, erased, NEVER_MINTED])
    await shop.give()
    refused = ("REFUSED", "unknown_customer")
    assert await shop.outcomes(promotion_id) == {known: ("GRANTED", None), erased: refused, NEVER_MINTED: refused}
    its = await shop.of(promotion_id)
    assert (its["status"], its["refused"]) == ("FINISHED", {"unknown_customer": 2})


async def test_a_customer_of_whom_we_have_not_heard_yet_is_waited_for(shop):
    (known,), late = await shop.customers(1), ids.new(CUSTOMER)
    promotion_id = await shop.started([known, late])
    await shop.give()
    assert await shop.outcomes(promotion_id) == {known: ("GRANTED", None), late: ("PENDING", None)}
    assert (await shop.of(promotion_id))["status"] == "RUNNING"
    await shop.know(late)
    await shop.give()
    assert (await shop.of(promotion_id))["status"] == "FINISHED"
    assert len(await shop.entries()) == 2


async def test_those_who_are_waited_for_hold_up_nobody_behind_them(shop):
    late = [ids.new(CUSTOMER) for _ in range(600)]
    known = await shop.customers(3)
    promotion_id = await shop.started([*late, *known])
    assert await one_slice(shop.worker, GIVING) == 3
    assert [customer for customer, _ in await shop.entries()] == sorted(known)
    assert await one_slice(shop.worker, GIVING) == 0
    assert (await shop.of(promotion_id))["status"] == "RUNNING"
    await shop.know(*late)
    await shop.give()
    its = await shop.of(promotion_id)
    assert (its["status"], its["granted"], its["refused"]) == ("FINISHED", 603, {})


async def test_an_unknown_customer_is_waited_for_until_the_id_is_an_hour_old(shop):
    old, young, ahead, far_ahead = [minted(minutes) for minutes in (61, 59, -59, -61)]
    (known,) = await shop.customers(1)
    promotion_id = await shop.started([old, young, ahead, far_ahead, known])
    await shop.give()
    waits, refused = ("PENDING", None), ("REFUSED", "unknown_customer")
    expected = {old: refused, young: waits, ahead: waits, far_ahead: refused, known: ("GRANTED", None)}
    assert await shop.outcomes(promotion_id) == expected
    assert (await shop.of(promotion_id))["status"] == "RUNNING"


async def test_promotions_that_only_wait_let_others_go_first(shop):
    """Also when more of them wait than are looked at in one go: they take turns."""
    waiting = [await shop.started([ids.new(CUSTOMER)]) for _ in range(7)]
    other = await shop.started(await shop.customers(501))
    await one_slice(shop.worker, GIVING)
    assert [await one_slice(shop.worker, GIVING) for _ in range(2)] == [500, 0]
    await shop.give()
    assert (await shop.of(other))["granted"] >= 500
    assert {(await shop.of(its))["status"] for its in waiting} == {"RUNNING"}
    await shop.give()
    assert (await shop.of(other))["status"] == "FINISHED"


async def test_two_ids_of_one_customer_get_it_once(shop):
    first, second, acting = await shop.customers(3)
    await shop.merge(first, acting)
    await shop.merge(second, first)
    promotion_id = await shop.started([first, second, acting])
    await shop.give()
    assert await shop.entries() == [(acting, 500)]
    assert sorted((await shop.outcomes(promotion_id)).values(), key=str) == [
        ("GRANTED", None),
        ("REFUSED", "duplicate"),
        ("REFUSED", "duplicate"),
    ]


async def test_customers_merged_between_two_slices_get_it_once(shop, ledger):
    """The entry stays where it was posted: it is found through the merge."""
    customers = await shop.customers(501)
    first, last = min(customers), max(customers)
    promotion_id = await shop.started(customers)
    await one_slice(shop.worker, GIVING)
    await shop.merge(first, last)
    await shop.give()
    assert (await shop.outcomes(promotion_id))[first] == ("GRANTED", None)
    (refused,) = await shop.recipients(promotion_id, "&status=REFUSED")
    assert (refused["customer_id"], refused["reason"]) == (last, "duplicate")
    assert len(await shop.entries()) == 500


@pytest.mark.parametrize(
    ("over", "entries", "figures"),
    [("clip", [300], (1, 1, {"balance_cap": 1}, 3)), ("refuse", [], (0, 0, {"balance_cap": 2}, 0))],
)
async def test_the_cap_clips_or_refuses_as_the_store_says(shop, ledger, capped, over, entries, figures):
    part, full = await shop.customers(2)
    await ledger.append(ledger.gift(part, 700), ledger.gift(full, 1000))
    await capped(1000, over)
    promotion_id = await shop.started([part, full])
    await shop.give()
    its = await shop.of(promotion_id)
    assert [amount for _, amount in await shop.entries()] == entries
    assert (its["granted"], its["clipped"], its["refused"], its["granted_amount"]) == figures


async def test_credit_whose_date_comes_before_the_job_is_done_is_refused(shop, monkeypatch):
    promotion_id = await shop.started(
        await shop.customers(1), expires_at=(datetime.now(UTC) + timedelta(days=1)).isoformat()
    )
    monkeypatch.setattr(clock, "now", lambda: datetime.now(UTC) + timedelta(days=2))
    await shop.give()
    assert (await shop.of(promotion_id))["refused"] == {"expires_at_past": 1}


async def test_left_out_the_store_s_default_says_when_it_expires(shop, ledger):
    async with ledger.database.transaction(shop.store_id) as conn:
        await conn.execute(
            """
            INSERT INTO terms (store_id, version, refunds_as_credit, default_expiry_days, promo_over_cap, changed_at)
            VALUES ($1, 1, true, 30, 'clip', now())
            """,
            shop.store_id,
        )
    customers = await shop.customers(1)
    default, never = await shop.started(customers), await shop.started(customers, expires_at=None)
    its = await shop.of(default)
    assert datetime.fromisoformat(its["expires_at"]) - datetime.fromisoformat(its["created_at"]) == timedelta(days=30)
    await shop.give()
    dates = {
        row["cause"]["id"]: row["expires_at"] for row in (await shop.client.get("/dev/v1/wallet/transactions")).data
    }
    assert dates == {default: its["expires_at"], never: None}


async def test_a_cancelled_promotion_stops_where_it_is(shop):
    promotion_id = await shop.started(await shop.customers(501))
    await one_slice(shop.worker, GIVING)
    first, again = [await shop.client.post(f"{PATH}/{promotion_id}/cancel") for _ in range(2)]
    assert (first.status, first.data["status"], first.data["granted"]) == (200, "CANCELLED", 500)
    assert again.data == first.data
    await shop.give()
    assert len(await shop.entries()) == 500
    assert len(await shop.recipients(promotion_id, "&status=PENDING")) == 1


async def test_a_finished_promotion_is_not_cancelled(shop):
    promotion_id = await shop.started(await shop.customers(1))
    await shop.give()
    before = await shop.of(promotion_id)
    assert (await shop.client.post(f"{PATH}/{promotion_id}/cancel")).data == before


async def test_a_promotion_waits_while_much_is_unpublished(shop):
    customers = await shop.customers(1)
    await shop.started(customers)
    await shop.execute(
        """
        INSERT INTO outbox (event_id, topic, key, type, store_id, payload)
        SELECT uuidv7(), 't', 'k', 'x', $1, '' FROM generate_series(1, 2001)
        """,
        shop.store_id,
    )
    assert await one_slice(shop.worker, GIVING) == 0
    assert await shop.entries() == []
    await shop.execute("DELETE FROM outbox WHERE seq = (SELECT min(seq) FROM outbox)")
    assert await one_slice(shop.worker, GIVING) == 1


async def test_promotions_take_turns(shop):
    """A large one does not hold up a small one that came later."""
    large, small = await shop.started(await shop.customers(1001)), await shop.started(await shop.customers(1))
    await one_slice(shop.worker, GIVING)
    await one_slice(shop.worker, GIVING)
    assert [(await shop.of(its))["status"] for its in (large, small)] == ["RUNNING", "FINISHED"]
    await shop.give()


async def test_lists_are_paged(shop):
    customers = await shop.customers(3)
    made = [await shop.started(customers) for _ in range(3)]
    await shop.give()
    for path, name, expected in (
        (PATH, "id", made[::-1]),
        (f"{PATH}/{made[0]}/recipients", "customer_id", sorted(customers)),
        (f"{PATH}/{made[0]}/recipients?status=GRANTED", "customer_id", sorted(customers)),
    ):
        seen, cursor = [], ""
        while cursor is not None:
            page = (
                await shop.client.get(f"{path}{'&' if '?' in path else '?'}limit=2{cursor and f'&cursor={cursor}'}")
            ).json
            seen += [row[name] for row in page["data"]]
            cursor = page["next_cursor"]
        assert seen == expected


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"amount": 0}, "/amount", "amount_not_positive"),
        ({"amount": -5}, "/amount", "amount_not_positive"),
        ({"amount": 1.005}, "/amount", "amount_precision"),
        ({"amount": 5_000_000_000_000}, "/amount", "amount_range"),
        ({"customer_ids": []}, "/customer_ids", "too_short"),
        ({"customer_ids": [7] * 100}, "/customer_ids/0", "string_type"),
        ({"customer_ids": [NEVER_MINTED, "cus_1"]}, "/customer_ids/1", "customer_id_format"),
        ({"customer_ids": [f"{NEVER_MINTED}\n"]}, "/customer_ids/0", "customer_id_format"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at", "expires_at_past"),
        ({"expires_at": "9999-12-31T23:59:59.999999Z"}, "/expires_at", "datetime_range"),
        ({"reason": "Not a code"}, "/reason", "string_pattern_mismatch"),
        ({"status": "FINISHED"}, "/status", "extra_forbidden"),
    ],
    ids=str,
)
async def test_what_is_no_promotion_changes_nothing(shop, body, pointer, code):
    reply = await shop.start(**{"customer_ids": [NEVER_MINTED, f"{NEVER_MINTED[:-1]}s"]} | body, key="reused")
    assert reply.status == 422
    assert (reply.json["errors"][0]["pointer"], reply.json["errors"][0]["code"]) == (pointer, code)
    assert (await shop.client.get(PATH)).data == []
    assert (await shop.start([NEVER_MINTED], key="reused")).status == 201


async def test_of_many_malformed_ids_the_first_few_are_named(shop):
    reply = await shop.start(["nobody"] * 100_000)
    assert [flaw["pointer"] for flaw in reply.json["errors"]] == [f"/customer_ids/{i}" for i in range(5)]


async def test_a_list_has_an_end(shop):
    reply = await shop.start([NEVER_MINTED] * 100_001)
    assert (reply.status, reply.json["errors"][0]["code"]) == (422, "too_long")


def test_a_body_is_as_large_as_the_gateway_passes_on():
    assert {route.body_bytes for route in TABLE if route.path == PATH} == {start_promotion.__policy__.max_body}


async def test_another_store_knows_nothing_of_it(shop, new_store):
    promotion_id = await shop.started(await shop.customers(1))
    stranger = shop.client.as_(merchant(await new_store()))
    for reply in (
        await stranger.get(f"{PATH}/{promotion_id}"),
        await stranger.get(f"{PATH}/{promotion_id}/recipients"),
        await stranger.post(f"{PATH}/{promotion_id}/cancel"),
        await stranger.get(f"{PATH}/nothing%00"),
    ):
        assert (reply.status, reply.code) == (404, "not_found")
    assert (await stranger.get(PATH)).data == []
    await shop.give()
    assert len(await shop.entries()) == 1


async def test_a_hundred_thousand_customers_are_taken_in_at_once(shop):
    customers = [ids.new(CUSTOMER) for _ in range(100_000)]
    began = time.monotonic()
    reply = await shop.start(customers, amount=1)
    assert (reply.status, reply.data["total"]) == (201, 100_000)
    assert time.monotonic() - began < 10, "some three seconds where nobody else is at work"
    await shop.client.post(f"{PATH}/{reply.data['id']}/cancel")
