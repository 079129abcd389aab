import json

import pytest

from regulars import bench, bench_table, load
from regulars.bench import Size
from regulars.bench_postings import token
from regulars.trouble import Trouble

TINY = Size(
    rounds=1,
    seconds=0.5,
    customers=20,
    affiliates=4,
    orders=500,
    crowd=500,
    rows=2_000,
    claims=200,
    history=(30, 2_000),
)


@pytest.mark.bench
def test_a_tiny_bench_finds_every_figure_with_its_floor(stack, tmp_path, capsys):
    found = bench.run(stack, TINY, tmp_path / "bench.json")
    figures = {figure["figure"]: figure for figure in found["figures"]}
    assert [figure["figure"] for figure in found["figures"]] == [
        line.title for part in bench_table.PARTS for line in bench_table.LINES[part]
    ]
    may_be_none = ("idle, CPU", "gateway, added")
    assert all(figure["median"] > 0 for name, figure in figures.items() if not name.startswith(may_be_none))
    assert all(figure["floor"]["median"] > 0 for figure in figures.values() if "floor" in figure)
    assert [figure["figure"] for figure in found["figures"] if "met" in figure] == [
        "conversions, 1 client, p50",
        "credits, 1,000 customers",
        "credits, one hot customer",
        "debits from ten grants, 1,000 customers",
        "conversions credited (wallet)",
        "orders to figures (customers)",
        "orders handled, all with a code",
        "clicks at the gateway, 64 clients",
        "clicks at the gateway, 64 clients, all counted after",
        "conversions beside 100,000 orders, p99",
        "gateway, GET customer, 32 connections",
        "gateway, added p50 at 1 connection",
        "publishing behind 200,000 dead rows",
        "outbox small again after the snapshot",
        "a customer's history of 10 million entries, 25, 16 clients, p99",
        "the store's history of 10 million entries, 25, 16 clients, p99",
        "a balance beside 10 million entries, 16 clients, p99",
    ]
    legs = [leg["median"] for leg in found["breakdown"]["legs"]]
    assert len(legs) == 6
    assert found["breakdown"]["calls"] >= 1
    assert 0 < sum(legs) < 1.1 * figures["conversions, 1 client, p99"]["median"]
    assert json.loads((tmp_path / "bench.json").read_text()) == found
    printed = capsys.readouterr().out
    assert all(title in printed for title in figures)


def test_the_smaller_of_floor_and_ceiling_is_enough(monkeypatch):
    line = bench_table.Line(
        "credits", "/s", "rate", "pgbench", "floor", bench_table.Aim(times=0.7, of_ceiling=0.6), "ceiling"
    )
    monkeypatch.setitem(bench_table.LINES, "postings", (line,))

    def met(rate, floor, ceiling):
        rounds = [{"rate": rate, "floor": floor, "ceiling": ceiling, "postings_load": 1.0}]
        (figure,) = bench_table.summary(rounds, ["postings"])["figures"]
        assert figure["aim"] == "at least the smaller of 0.7 times pgbench and 0.6 times the HTTP ceiling"
        return figure["met"]

    assert [met(70, 100, 1_000), met(69, 100, 1_000)] == [True, False]
    assert [met(60, 1_000, 100), met(59, 1_000, 100)] == [True, False]


def test_a_reply_with_another_status_fails_the_bench(stack):
    plan = load.Plan(
        url=stack.url("wallet"),
        paths=["/dev/v1/customers/cus_00000000000000000000000000/wallet/adjustments"],
        token=token(stack, "wallet"),
        clients=2,
        seconds=0.2,
        status=201,
        body='{"amount":1}',
    )
    with pytest.raises(Trouble, match=r"said 404, not 201: .*not_found"):
        load.run(plan)
