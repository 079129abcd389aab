import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import aiohttp
import asyncpg
import pytest

from chassis import ids
from contracts.ids import STORE, SUFFIX
from regulars import bench_grants, bench_wallet, programs, seed, seed_books, waiting
from regulars.bench_postings import token
from regulars.shopping import Shopping
from wallet.entries import Entry, Part
from wallet.proof import Standing

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def cohorts(customers, entries, store_id="store_" + "0" * 26):
    return list(seed_books.cohorts(store_id, "EUR", customers, entries, NOW))


def entries_of(books):
    rows = [line.split("\t") for line in books.entries.decode().splitlines()]
    return [dict(zip(seed_books.ENTRY_COLUMNS, row, strict=True)) for row in rows]


def parsed(row):
    """An entry as the wallet reads it."""
    numbers = ("sequence", "amount_minor", "balance_after_minor", "debt_after_minor")
    return Entry(**{field: row[field] for field in Entry._fields})._replace(
        **{field: int(row[field]) for field in numbers},
        parts=tuple(Part(*part) for part in json.loads(row["parts"])),
        posted_at=datetime.fromisoformat(row["posted_at"]),
        hash=bytes.fromhex(row["hash"].removeprefix("\\\\x")),
    )


async def of(stack, service, sql, *args):
    conn = await asyncpg.connect(stack.admin_database_url(programs.database(service)))
    try:
        return await conn.fetch(sql, *args)
    finally:
        await conn.close()


async def customers_of(stack, service, table="known_customer"):
    column = "customer_id" if table == "account" else "id"
    rows = await of(stack, service, f"SELECT {column} AS id FROM {table} WHERE store_id = $1", stack.store_id)
    return {row["id"] for row in rows}


def run(*command, **settings):
    """What a Python module prints."""
    environment = {**os.environ, **settings}
    words = [sys.executable, "-m", *command]
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False).stdout


def proven(stack, service):
    """What a service says of all of its books."""
    return run(programs.module(service), "verify", "--whole", **stack.environment(service))


@pytest.fixture(scope="module")
async def seeded(stack):
    """What a seed of 60 customers with 3,000 entries wrote, and who was there before it."""
    before = await customers_of(stack, "customers", "customer")
    done = await seed.add(stack, 60, 3_000, lambda _: None)
    return done, sorted(await customers_of(stack, "customers", "customer") - before)


def test_every_entry_of_a_seed_follows_from_the_one_before_it():
    (cohort,) = cohorts(40, 2_000)
    whose = {}
    rows = entries_of(seed_books.books(cohort))
    for row in sorted(rows, key=lambda row: int(row["sequence"])):
        standing = whose.setdefault(row["customer_id"], Standing(row["store_id"], row["customer_id"], "EUR"))
        assert standing.follow([parsed(row)]) == []
    assert len(rows) >= 2_000
    assert {row["type"] for row in rows} == {"CREDIT", "DEBIT", "REFUND", "PROMO", "ADJUSTMENT", "EXPIRED"}


def test_nothing_of_a_seed_is_over_and_still_there():
    (cohort,) = cohorts(40, 2_000)
    people = seed_books.books(cohort).people
    assert all(account.due_at is None or account.due_at > NOW for _, account in people)
    assert any(account.due_at is not None for _, account in people)


def test_of_what_is_over_within_a_week_the_customers_were_told():
    (cohort,) = cohorts(40, 2_000)
    lines = seed_books.books(cohort).grants.decode().splitlines()
    grants = [dict(zip(seed_books.GRANT_COLUMNS, line.split("\t"), strict=True)) for line in lines]
    dated = [grant for grant in grants if grant["expires_at"] != "\\N"]
    week = NOW + timedelta(days=7)
    assert {(datetime.fromisoformat(grant["expires_at"]) <= week, grant["reminded"]) for grant in dated} == {
        (True, "True"),
        (False, "False"),
    }
    assert {grant["reminded"] for grant in grants if grant["expires_at"] == "\\N"} == {"False"}


def test_most_customers_have_a_few_entries_and_some_have_thousands():
    counts = sorted(count for cohort in cohorts(10_000, 1_000_000) for count in cohort.counts)
    assert (len(counts), sum(counts)) == (10_000, 1_000_000)
    assert counts[5_000] < 30
    assert 1_000 < counts[-10] <= counts[-1] < 20_000


def test_a_cohort_keeps_to_its_time():
    first, *_, last = cohorts(100, 300_000)
    assert (first.begin, last.end - NOW < timedelta(seconds=1)) == (NOW - timedelta(days=730), True)
    rows = entries_of(seed_books.books(first))
    on_time = [row for row in rows if row["type"] != "EXPIRED"]
    assert all(first.begin <= datetime.fromisoformat(row["posted_at"]) < first.end for row in on_time)
    assert [row["entry_id"] for row in rows] == sorted({row["entry_id"] for row in rows})


def test_an_id_of_a_seed_tells_when_it_was_minted():
    (cohort,) = cohorts(5, 200)
    for row in entries_of(seed_books.books(cohort)):
        assert re.fullmatch(f"wallet_tx_{SUFFIX}", row["entry_id"])
        posted_at = datetime.fromisoformat(row["posted_at"]).timestamp()
        before, age, after = time.time() - posted_at, ids.age_seconds(row["entry_id"]), time.time() - posted_at
        assert before - 0.002 < age < after + 0.002


@pytest.mark.journeys
@pytest.mark.parametrize("service", ["customers", "wallet", "affiliates", "carts"])
def test_the_whole_books_are_clean_after_a_seed(stack, seeded, service):
    assert proven(stack, service) == f"{service}: clean\n"


@pytest.mark.journeys
async def test_everybody_knows_the_customers_and_their_balances(stack, seeded):
    done, made = seeded
    assert (done.customers, len(made)) == (60, 60)
    for service in ("wallet", "affiliates", "carts"):
        assert set(made) <= await customers_of(stack, service)
    accounts = {
        row["customer_id"]: (row["balance_minor"], row["sequence"])
        for row in await of(stack, "wallet", "SELECT * FROM account WHERE customer_id = ANY($1)", made)
    }
    kept = await of(stack, "customers", "SELECT * FROM customer WHERE id = ANY($1)", made)
    told = {row["id"]: (row["balance_minor"], row["balance_sequence"]) for row in kept}
    assert told == {customer_id: accounts.get(customer_id, (0, None)) for customer_id in made}
    assert sum(sequence for _, sequence in accounts.values()) == done.entries >= 3_000


@pytest.mark.journeys
async def test_a_seeded_customer_goes_on_where_the_seed_ended(stack, seeded):
    _, made = seeded
    (row,) = await of(
        stack, "wallet", "SELECT * FROM account WHERE customer_id = ANY($1) ORDER BY sequence DESC LIMIT 1", made
    )
    async with aiohttp.ClientSession() as session:
        shop = Shopping.of(session, stack)
        posted = await shop.call("POST", f"/dev/v1/customers/{row['customer_id']}/wallet/adjustments", {"amount": 12.5})
        history = await shop.call("GET", f"/dev/v1/customers/{row['customer_id']}/wallet/transactions?limit=100")
        spent = await shop.call(
            "POST", f"/dev/v1/customers/{row['customer_id']}/wallet/adjustments", {"amount": -posted.data["balance"]}
        )
    assert posted.data["sequence"] == row["sequence"] + 1
    assert round(posted.data["balance"] * 100) == row["balance_minor"] + 1_250
    assert [line["sequence"] for line in history.data] == list(range(row["sequence"] + 1, 0, -1))[:100]
    assert (spent.status, spent.data["balance"]) == (201, 0)
    assert proven(stack, "wallet") == "wallet: clean\n"


@pytest.mark.journeys
async def test_a_second_seed_adds_to_the_first(stack, seeded):
    before = await customers_of(stack, "customers", "customer")
    told = run("regulars", "seed", "--customers", "20", REGULARS_FOLDER=str(stack.places.folder))
    assert re.fullmatch(r"Added 20 customers with 2\d\d entries in \d+\.\d s\.\n", told)
    after = await customers_of(stack, "customers", "customer")
    assert (len(after - before), before <= after) == (20, True)
    assert proven(stack, "wallet") == "wallet: clean\n"


@pytest.mark.journeys
async def test_a_seed_that_dies_between_two_services_leaves_clean_books(stack, monkeypatch):
    async def die(*_):
        raise OSError("killed")

    monkeypatch.setattr(seed, "_meet", die)
    with pytest.raises(OSError, match="killed"):
        await seed.add(stack, 5, 50, lambda _: None)
    assert [proven(stack, service) for service in ("wallet", "customers")] == ["wallet: clean\n", "customers: clean\n"]


async def test_a_seed_that_dies_while_it_writes_has_written_nothing(clone):
    database = await clone("wallet")
    store_id = ids.new(STORE)
    (cohort,) = cohorts(5, 50, store_id)
    books = seed_books.books(cohort)
    half = books.entries.index(b"\n", len(books.entries) // 2) + len(store_id)  # in the middle of a line
    conn = await asyncpg.connect(database.admin_url)
    try:
        with pytest.raises(asyncpg.BadCopyFileFormatError):
            await seed._write(conn, store_id, books._replace(entries=books.entries[:half]))
        counts = [await conn.fetchval(f"SELECT count(*) FROM {table}") for table in seed._WALLET]
    finally:
        await conn.close()
    assert counts == [0, 0, 0, 0]


@pytest.mark.journeys
async def test_a_top_up_leaves_ten_open_grants_whatever_was_there(stack, seeded):
    async with aiohttp.ClientSession() as session:
        shop = Shopping.of(session, stack)
        made = [(await shop.add_customer(f"{ids.new(STORE)}@example.com", "Bench"))["id"] for _ in range(2)]
        waiting.run(bench_grants.top_up(stack, made))
        path = f"/dev/v1/customers/{made[0]}/wallet/adjustments"
        debit = await shop.call("POST", path, {"amount": -bench_grants.DEBIT_MINOR / 100})
        waiting.run(bench_grants.top_up(stack, made))
    grants = await of(stack, "wallet", "SELECT * FROM credit_grant WHERE customer_id = ANY($1) AND open", made)
    assert Counter(grant["customer_id"] for grant in grants) == dict.fromkeys(made, bench_grants.GRANTS)
    (entry,) = await of(stack, "wallet", "SELECT parts FROM entry WHERE entry_id = $1", debit.data["id"])
    assert json.loads(entry["parts"]) == [[1, 200], [2, 10]]


@pytest.mark.journeys
async def test_the_http_ceiling_answers_and_writes_nothing(stack, seeded):
    _, made = seeded
    before = await of(stack, "wallet", "SELECT count(*) FROM entry")
    headers = {"authorization": f"Bearer {token(stack, 'wallet')}", "idempotency-key": "ceiling"}
    path = f"/dev/v1/customers/{made[0]}/wallet/adjustments"
    with bench_wallet.serving(stack, ["regulars.bench_ceiling"]) as url:
        async with aiohttp.ClientSession(headers=headers) as session:
            async with session.post(url + path, json={"amount": 1}) as reply:
                assert (reply.status, (await reply.json())["data"]["amount"]) == (201, 1)
            async with session.post(url + path, json={"amount": "x"}) as refused:
                assert refused.status == 422
            async with session.post(url + path.replace(made[0], "cus_nobody"), json={"amount": 1}) as unknown:
                assert unknown.status == 404
    assert await of(stack, "wallet", "SELECT count(*) FROM entry") == before
