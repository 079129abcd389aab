"""What a period did to an affiliate's money: it closes with what it opened with and what moved, to the cent (A8)."""

import asyncio
from collections import Counter
from dataclasses import astuple
from datetime import datetime, timedelta
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from payout_desk import some

from affiliates import statements, store_statements, timers
from affiliates.journal import NOTHING, Bucket, Kind
from affiliates.statements import Move, Statement
from chassis import clock, ids
from chassis.timers import one_slice

MATURE = timers.ALL[0]
BUCKETS = ("pending", "available", "debt", "requested", "converted", "paid")
ADDRESS = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"

MOVES = st.lists(
    st.builds(
        Move,
        st.sampled_from(Kind),
        st.sampled_from(Bucket),
        st.sampled_from(Bucket),
        st.just(1),
        st.integers(1, 10**15 - 1),
    ),
    max_size=8,
)


@given(before=MOVES, within=MOVES, later=MOVES)
def test_a_statement_counted_back_from_now_is_the_one_counted_from_the_beginning(before, within, later):
    now = Statement(NOTHING, (*before, *within, *later)).closing
    told = statements.backwards(now, within, later)
    assert told.opening == Statement(NOTHING, tuple(before)).closing
    assert told.closing == Statement(NOTHING, (*before, *within)).closing
    sums = {kind: told.total(kind) for kind in Kind}
    assert sum(sums.values()) == sum(move.amount_minor for move in within)


@given(moves=MOVES)
def test_what_moves_is_neither_made_nor_lost(moves):
    """All places together change by what comes from the program, less what goes back to it."""
    closing = Statement(NOTHING, tuple(moves)).closing
    made = sum(move.amount_minor * (move.source is Bucket.PROGRAM) for move in moves)
    gone = sum(move.amount_minor * (move.target is Bucket.PROGRAM) for move in moves)
    assert sum(astuple(closing)) == made - gone


@pytest.fixture
async def life(shop, later):
    """An affiliate's month, a day at a time: waits, matures, converts, is reversed, owes, is held and pays it back."""
    started = clock.now()
    await shop.program(waiting_days=2)
    shop.ann = await shop.enrol()
    first = await shop.order(base=30_000)
    later(3)
    await one_slice(shop.worker, MATURE)
    later(4)
    await asyncio.gather(shop.convert(shop.ann, 12), shop.answer())
    later(5)
    path = f"/dev/v1/customers/{shop.ann}/affiliate/payout-requests"
    body = {"amount": 10, "asset": "USDT", "network": "tron", "address": ADDRESS}
    claim = (await shop.client.post(path, body, key=ids.new("key"))).data["claim_id"]
    later(6)
    await shop.complete(first.model_copy(update={"version": 2, "base_remaining_minor": 5_000}))
    later(7)
    await shop.client.post(f"/dev/v1/affiliates/payouts/{claim}/reject", {"reason": "not now"}, key="no")
    later(8)
    second = await shop.order(base=10_000, first_completed_at=started)
    later(9)
    (its,) = (await shop.client.get(f"/dev/v1/affiliates/commissions?order_id={second.order_id}")).data
    await shop.client.post(f"/dev/v1/affiliates/commissions/{its['id']}/hold", key="hold")
    later(10)
    shop.day = lambda number: (started + timedelta(days=number)).isoformat().replace("+00:00", "Z")
    shop.path = f"/dev/v1/customers/{shop.ann}/affiliate/statement"
    return shop


async def told(shop, since, until, more=""):
    reply = await shop.client.get(f"{shop.path}?from={shop.day(since)}&to={shop.day(until)}{more}")
    assert reply.status == 200, reply.body
    return reply.json


async def test_a_statement_tells_what_moved_the_money(life):
    page = await told(life, 0, 10)
    statement = page["statement"]
    assert [(row["kind"], row["from"], row["to"], row["amount"]) for row in page["data"]] == [
        ("earned", "program", "pending", 30),
        ("matured", "pending", "available", 30),
        ("requested", "available", "requested", 12),
        ("converted", "requested", "converted", 12),
        ("requested", "available", "requested", 10),
        ("reversed", "available", "program", 25),
        ("returned", "requested", "available", 10),
        ("earned", "program", "available", 10),
        ("held", "available", "pending", 10),
    ]
    assert {name: statement[name] for name in ("earned", "reversed", "matured", "held", "merged")} == {
        "earned": 40,
        "reversed": 25,
        "matured": 30,
        "held": 10,
        "merged": 0,
    }
    assert {name: statement[name] for name in ("requested", "converted", "paid", "returned")} == {
        "requested": 22,
        "converted": 12,
        "paid": 0,
        "returned": 10,
    }
    assert (some(statement["opening"]), some(statement["closing"])) == (
        {},
        {"pending": 10, "debt": 7, "converted": 12},
    )
    assert (page["data"][0]["commission_id"] is None, page["data"][2]["claim_id"] is None) == (False, False)


async def test_each_period_opens_as_the_one_before_closed(life):
    whole = (await told(life, 0, 10))["statement"]
    days = [(await told(life, day, day + 1))["statement"] for day in range(10)]
    assert [day["closing"] for day in days[:-1]] == [day["opening"] for day in days[1:]]
    assert (days[0]["opening"], days[-1]["closing"]) == (whole["opening"], whole["closing"])
    for figure in ("earned", "reversed", "matured", "held", "requested", "converted", "paid", "returned"):
        assert sum(day[figure] for day in days) == whole[figure]
    assert [some(day["closing"]) for day in days[5:9]] == [
        {"available": 8, "requested": 10, "converted": 12},
        {"debt": 17, "requested": 10, "converted": 12},
        {"debt": 7, "converted": 12},
        {"available": 3, "converted": 12},
    ]


async def test_each_place_closes_with_what_it_opened_with_and_what_moved(life):
    for since, until in [(0, 10), (4, 7), (6, 9), (3, 3.5)]:
        statement = (await told(life, since, until))["statement"]
        opening, closing = (
            standing | {"available": standing["available"] - standing["debt"], "debt": 0}
            for standing in (statement["opening"], statement["closing"])
        )
        for move in statement["moves"]:
            for place, sign in ((move["from"], -1), (move["to"], 1)):
                opening[place] = opening.get(place, 0) + sign * move["amount"]
        assert {name: opening[name] for name in BUCKETS} == closing


async def test_whatever_days_a_period_begins_and_ends_on_it_is_what_its_movements_make(life):
    """Before, at and after midnights and movements, in one day or several."""
    whole = (await told(life, 0, 11))["data"]
    moved = [datetime.fromisoformat(row["at"]) for row in (whole[0], whole[3], whole[-1])]
    midnights = [at.replace(hour=0, minute=0, second=0, microsecond=0) for at in moved]
    around = timedelta(microseconds=1)
    instants = sorted({*moved, *midnights, midnights[1] - around, moved[1] + around, midnights[2] + timedelta(days=1)})
    opens = {instants[0]: (await told(life, 0, 1))["statement"]["opening"]}
    for since, until in combinations(instants, 2):
        query = "&".join(f"{name}={at:%Y-%m-%dT%H:%M:%S.%fZ}" for name, at in (("from", since), ("to", until)))
        page = (await life.client.get(f"{life.path}?{query}")).json
        made = Counter((row["kind"], row["from"], row["to"]) for row in page["data"])
        sums = Counter()
        for row in page["data"]:
            sums[row["kind"], row["from"], row["to"]] += row["amount"]
        told_moves = {(row["kind"], row["from"], row["to"]): row for row in page["statement"]["moves"]}
        assert {key: row["count"] for key, row in told_moves.items()} == made
        assert {key: row["amount"] for key, row in told_moves.items()} == sums
        assert page["statement"]["opening"] == opens[since]
        assert page["statement"]["closing"] == opens.setdefault(until, page["statement"]["closing"])
        assert page["data"] == [row for row in whole if since <= datetime.fromisoformat(row["at"]) < until]


async def test_what_moves_at_the_very_end_of_a_period_is_of_the_next(life):
    first = (await told(life, 0, 10))["data"][0]
    before = (await life.client.get(f"{life.path}?from={life.day(0)}&to={first['at']}")).json
    after = (await life.client.get(f"{life.path}?from={first['at']}&to={life.day(1)}")).json
    assert (before["statement"]["earned"], before["data"]) == (0, [])
    assert (after["statement"]["earned"], after["data"]) == (30, [first])


async def test_now_closes_with_what_the_summary_shows(life):
    statement = (await told(life, 0, 11))["statement"]
    assert statement["closing"] == {name: (await life.buckets(life.ann))[name] for name in BUCKETS}


async def test_the_movements_of_a_period_are_read_page_by_page(life):
    whole = (await told(life, 2, 8))["data"]
    rows, more, page = [], "", {"has_more": True}
    while page["has_more"]:
        page = await told(life, 2, 8, f"&limit=2{more}")
        rows, more = rows + page["data"], f"&cursor={page['next_cursor']}"
    assert rows == whole
    assert len(whole) == 6


async def test_a_period_ends_after_it_has_begun(life):
    for query in ("", "?from=2030-01-01T00:00:00Z", f"?from={life.day(2)}&to={life.day(2)}"):
        assert (await life.client.get(f"{life.path}{query}")).code == "invalid"
    cursor = (await told(life, 0, 8, "&limit=1"))["next_cursor"]
    wrong = await life.client.get(f"{life.path}?from={life.day(0)}&to={life.day(9)}&cursor={cursor}")
    assert wrong.code == "invalid_cursor"


async def test_a_statement_sees_one_moment(shop, monkeypatch):
    """What is earned while it is read is in neither its figures nor its movements."""
    shop.ann = await shop.enrol()
    await shop.order()
    read = store_statements.statement_of

    async def slowly(*args):
        seen = await read(*args)
        await shop.order()
        return seen

    monkeypatch.setattr(store_statements, "statement_of", slowly)
    query = "?from=2020-01-01T00:00:00Z&to=2999-01-01T00:00:00Z"
    page = (await shop.client.get(f"/dev/v1/customers/{shop.ann}/affiliate/statement{query}")).json
    assert (page["statement"]["earned"], len(page["data"])) == (10, 1)
