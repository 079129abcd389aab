"""Balances at a time and statements of a period, over HTTP and for what nobody plans: debt, expiry, skewed clocks."""

import asyncio
import itertools
from datetime import timedelta

import pytest
from paging import pages
from serving import merchant

from contracts.wallet import EntryType
from wallet.postings import Capture, Expire, Post, Reverse

MONTHS = [f"2026-{month:02}-01T00:00:00Z" for month in range(1, 8)]


@pytest.fixture
def live(ledger, on):
    """`await live(customer)`: half a year with credit that is spent, taken back, owed, paid, held and expired."""

    async def lived(customer):
        on(2026, 1, 10)
        (given,) = await ledger.append(ledger.gift(customer, 10_000))
        until = on(2026, 2, 10) + timedelta(days=60)
        await ledger.append(Post(customer, EntryType.PROMO, 2_000, "EUR", expires_at=until))
        on(2026, 2, 20)
        await ledger.append(ledger.gift(customer, -9_000))
        on(2026, 3, 1)
        await ledger.append(Reverse(given.entry))  # 30 is there, 70 is owed
        on(2026, 3, 10)
        await ledger.append(ledger.gift(customer, 4_000))  # all of it pays debt
        until = on(2026, 4, 1) + timedelta(days=30)
        await ledger.append(ledger.gift(customer, 5_000, expires_at=until))  # 30 pays debt
        on(2026, 4, 10)
        purchase = ledger.Purchase(customer, 1_500)
        await ledger.append(purchase.place)
        await ledger.append(Capture(purchase.hold_id, customer, purchase.order_id, 1_000))
        on(2026, 5, 2)
        await ledger.append(Expire(customer))
        on(2026, 5, 10)
        await ledger.append(ledger.gift(customer, 700))
        await ledger.append(ledger.Purchase(customer, 600).place)

    return lived


@pytest.fixture
def path(customer_id):
    return f"/dev/v1/customers/{customer_id}/wallet"


def figures(statement):
    """(opening, credited, deducted, closing) of credit and of debt, by type: (count, credited, deducted, owed, repaid)."""
    credit = tuple(statement[n] for n in ("opening_balance", "credited", "deducted", "closing_balance"))
    debt = tuple(statement[n] for n in ("opening_debt", "debt_incurred", "debt_repaid", "closing_debt"))
    return credit, debt, {row.pop("type"): tuple(row.values()) for row in statement["by_type"]}


SPRING = (
    (30, 90, 110, 10),
    (0, 70, 70, 0),
    {"ADJUSTMENT": (4, 90, 30, 70, 0), "DEBIT": (2, 0, 70, 0, 70), "PAYMENT": (1, 0, 10, 0, 0)},
)


@pytest.mark.parametrize(
    ("at", "stood"),
    [
        ("2026-01-09T23:59:59.999999Z", (0, 0)),
        ("2026-01-10T00:00:00Z", (100, 0)),
        ("2026-02-15T00:00:00%2B02:00", (120, 0)),
        ("2026-03-05T00:00:00Z", (0, 70)),
        ("2026-03-10T00:00:00Z", (0, 30)),
        ("2026-05-02T00:00:00Z", (0, 0)),
        ("2026-05-10T00:00:00Z", (7, 0)),
    ],
)
async def test_a_balance_is_told_as_it_was_at_any_time(store, live, path, customer_id, at, stood):
    await live(customer_id)
    told = (await store.get(f"{path}/balance?at={at}")).data
    assert (told["balance"], told["debt"]) == stood
    assert (told["transaction_id"] is None) == (at < "2026-01-10")


async def test_a_balance_is_told_as_it_is_now_unless_asked(store, live, path, customer_id, on):
    await live(customer_id)
    on(2026, 6, 1)
    last = (await store.get(f"{path}/transactions?limit=1")).data[0]["id"]
    assert (await store.get(f"{path}/balance")).data == {
        "customer_id": customer_id,
        "currency": "EUR",
        "at": "2026-06-01T00:00:00Z",
        "balance": 7,
        "debt": 0,
        "transaction_id": last,
    }


async def test_the_balance_of_tomorrow_is_not_told(store, path, on):
    on(2026, 6, 1)
    reply = await store.get(f"{path}/balance?at=2026-06-01T00:00:00.000001Z")
    assert (reply.status, reply.json["errors"][0]["code"]) == (422, "at_future")


async def test_a_statement_of_a_customer_tells_what_moved_credit_and_debt(store, live, path, customer_id):
    await live(customer_id)
    page = (await store.get(f"{path}/statement?from={MONTHS[2]}&to=2026-05-01T00:00:00Z")).json
    assert figures(page["statement"]) == SPRING
    assert [row["amount"] for row in page["data"]] == [-30, -70, 40, -40, 50, -30, -10]
    assert [row["on_debt"] for row in page["data"]].count(True) == 1


async def test_a_statement_of_the_store_is_that_of_all_its_customers(store, ledger, live, customer_id, new_store, api):
    other = type(ledger)(api, await new_store())
    for customer in (customer_id, ledger.customer()):
        await live(customer)
    await other.append(other.gift(other.customer(), 5))
    told = (await store.get(f"/dev/v1/wallet/statement?from={MONTHS[2]}&to=2026-05-01T00:00:00Z")).data
    assert (told["currency"], told["from"], told["to"]) == ("EUR", MONTHS[2], MONTHS[4])
    doubled = [tuple(2 * figure for figure in part) for part in SPRING[:2]]
    credit, debt, by_type = figures(told)
    assert [credit, debt] == doubled
    assert by_type == {kind: tuple(2 * figure for figure in row) for kind, row in SPRING[2].items()}


@pytest.fixture
def statements(store, path):
    """`await statements(since, until)`: the customer's and the store's, figures only."""

    async def both(since, until):
        query = f"from={since}&to={until}"
        of_customer = (await store.get(f"{path}/statement?{query}")).json["statement"]
        return figures(of_customer), figures((await store.get(f"/dev/v1/wallet/statement?{query}")).data)

    return both


async def test_every_period_ends_where_the_next_begins(live, customer_id, statements, on):
    await live(customer_id)
    on(2026, 6, 15)
    ended = ((0, 0), (0, 0))
    for since, until in itertools.pairwise(MONTHS):
        of_customer, of_store = await statements(since, until)
        assert of_customer == of_store
        (opening, credited, deducted, closing), (owed, incurred, repaid, still_owed), by_type = of_store
        assert ((opening, owed), opening + credited - deducted) == (ended[0], closing)
        assert owed + incurred - repaid == still_owed
        assert credited == sum(row[1] for row in by_type.values())
        ended = ((closing, still_owed), ended[0])
    assert ended[0] == (7, 0)


async def test_a_period_holds_its_first_instant_and_not_its_last(ledger, customer_id, statements, on):
    for day in (1, 2):
        on(2026, 3, day)
        await ledger.append(ledger.gift(customer_id, 100))
    on(2026, 3, 3)
    for told in await statements("2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"):
        assert told[0] == (0, 1, 0, 1)


async def test_a_period_in_which_nothing_happened_stands_still(ledger, customer_id, statements, on):
    on(2026, 3, 1)
    await ledger.append(ledger.gift(customer_id, 100))
    on(2026, 6, 1)
    for told in await statements("2026-04-01T00:00:00Z", "2026-12-01T00:00:00Z"):
        assert told == ((1, 0, 0, 1), (0, 0, 0, 0), {})


async def test_a_clock_that_runs_back_leaves_no_gap_between_two_statements(ledger, customer_id, statements, on):
    """The clocks of two processes differ: an entry is later in the sequence and earlier in time."""
    for day, amount in ((2, 100), (1, 30), (3, 7)):
        on(2026, 3, day)
        await ledger.append(ledger.gift(customer_id, amount))
    ended = [0, 0]
    for day in range(1, 5):
        told = await statements(f"2026-03-0{day}T00:00:00Z", f"2026-03-0{day + 1}T00:00:00Z")
        for i, ((opening, credited, deducted, closing), *_) in enumerate(told):
            assert (opening, round(opening + credited - deducted, 2)) == (ended[i], closing)
            ended[i] = closing
    assert ended == [1.37, 1.37]


async def test_a_statement_read_while_credit_moves_still_adds_up(store, ledger):
    """Balances and entries are of one snapshot: else an opening before the first posting would not be nothing."""
    customers = [ledger.customer() for _ in range(3)]
    done = asyncio.Event()

    async def post():
        for amount in [5, -3] * 60:
            await ledger.append(*(ledger.gift(customer, amount) for customer in customers))
        done.set()

    posting = asyncio.create_task(post())
    seen = set()
    while not done.is_set():
        told = (await store.get("/dev/v1/wallet/statement?from=2020-01-01T00:00:00Z&to=2099-01-01T00:00:00Z")).data
        assert (told["opening_balance"], round(told["credited"] - told["deducted"], 2)) == (0, told["closing_balance"])
        seen.add(told["closing_balance"])
    await posting
    assert len(seen) > 2


async def test_a_statement_is_paged_oldest_first_with_the_figures_of_the_whole_on_each(store, live, path, customer_id):
    await live(customer_id)
    query = f"{path}/statement?from={MONTHS[1]}&to={MONTHS[4]}&limit=3"
    read = [page async for page in pages(store, query)]
    assert [row["sequence"] for page in read for row in page["data"]] == list(range(2, 11))
    assert [page["statement"] for page in read] == [read[0]["statement"]] * 3


async def test_a_cursor_of_another_period_is_refused(store, live, path, customer_id):
    await live(customer_id)
    query = f"{path}/statement?limit=1&to={MONTHS[4]}"
    cursor = (await store.get(f"{query}&from={MONTHS[0]}")).json["next_cursor"]
    reply = await store.get(f"{query}&from={MONTHS[1]}&cursor={cursor}")
    assert (reply.status, reply.code) == (400, "invalid_cursor")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("from=2026-03-01T00:00:00Z&to=2026-03-01T00:00:00Z", "period_empty"),
        ("from=2026-03-01T00:00:00Z&to=2026-03-01T00:30:00%2B01:00", "period_empty"),
        ("from=2026-03-01T00:00:00&to=2026-04-01T00:00:00Z", "timezone_aware"),
        ("from=2026-03-01&to=2026-04-01T00:00:00Z", "datetime_format"),
        ("to=2026-04-01T00:00:00Z", "missing"),
        ("from=2026-04-01T00:00:00Z", "missing"),
        ("from=0001-01-01T00:00:00%2B05:00&to=2026-04-01T00:00:00Z", "datetime_range"),
        ("from=2026-04-01T00:00:00Z&to=9999-12-31T23:59:59-05:00", "datetime_range"),
        ("from=2026-04-01T00:00:00Z&to=9999-12-31T23:59:59.999999Z", "datetime_range"),
        ("from=soon&to=2026-04-01T00:00:00Z", "datetime_format"),
        ("from=1700000000&to=2026-04-01T00:00:00Z", "datetime_format"),
    ],
)
async def test_what_is_no_period_is_refused(store, path, query, code):
    for asked in (f"{path}/statement", "/dev/v1/wallet/statement"):
        reply = await store.get(f"{asked}?{query}")
        assert (reply.status, reply.json["errors"][0]["code"]) == (422, code)


async def test_the_longest_period_there_is_can_be_asked_for(statements):
    for told in await statements("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999998Z"):
        assert told == ((0, 0, 0, 0), (0, 0, 0, 0), {})


async def test_another_store_is_told_nothing(served, live, path, customer_id, new_store, impatient):
    await live(customer_id)
    stranger = served.as_(merchant(await new_store()))
    period = f"from={MONTHS[0]}&to={MONTHS[6]}"
    asked = (f"{path}/balance", f"{path}/statement?{period}")
    # At once: whoever was never heard of is waited for, a little.
    answers = await asyncio.gather(*map(stranger.get, asked))
    assert [reply.status for reply in answers] == [404, 404]
    told = (await stranger.get(f"/dev/v1/wallet/statement?{period}")).data
    assert figures(told) == ((0, 0, 0, 0), (0, 0, 0, 0), {})


async def test_statements_need_the_scope_of_reading(served, ledger, path):
    limited = served.as_(merchant(ledger.store_id, ["wallet.write"]))
    period = f"from={MONTHS[0]}&to={MONTHS[1]}"
    for asked in (f"{path}/balance", f"{path}/statement?{period}", f"/dev/v1/wallet/statement?{period}"):
        assert (await limited.get(asked)).status == 403
