"""What a bench prints: every figure over its rounds, with its floor from the same rounds, and whether it met its aim."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from regulars.bench_trace import LEGS
from regulars.ports import PROGRAMS

Rounds = Sequence[Mapping[str, float]]

WIDTH = 190  # columns; a narrower terminal wraps, which reads better than figures cut off

SCALE = (
    "For scale, measured elsewhere on the same kind of machine, at 64 clients: Formance Ledger posts 94/s by default"
    " and 327/s at best, Blnk 247/s and 526/s."
)


@dataclass(frozen=True)
class Aim:
    """What a figure should be: its median below ``below`` or at least ``above``, or its ratio to its floor.

    The ratio is ``times`` at least, or below ``most_times``. With ``of_ceiling`` that part of its line's ceiling is
    enough too, so that the smaller of the two counts.
    """

    below: float | None = None
    above: float | None = None
    times: float | None = None
    most_times: float | None = None
    of_ceiling: float | None = None


@dataclass(frozen=True)
class Line:
    """A figure: how it is called, its unit, its sample's name; its floor's title and sample; its aim; its ceiling."""

    title: str
    unit: str
    sample: str
    floor: str = ""
    floor_sample: str = ""
    aim: Aim | None = None
    ceiling_sample: str = ""


def _conversions(clients: int) -> Iterator[Line]:
    title = f"conversions, {clients} client{'s' if clients > 1 else ''}"
    alone = ("its parts alone", "parts_ms") if clients == 1 else ("", "")
    yield Line(title, "/s", f"convert_{clients}_rate", "GET affiliate", f"read_{clients}_rate")
    p50 = alone if clients == 1 else ("GET affiliate", f"read_{clients}_p50")
    yield Line(f"{title}, p50", "ms", f"convert_{clients}_p50", *p50, Aim(below=40) if clients == 1 else None)
    yield Line(f"{title}, p99", "ms", f"convert_{clients}_p99", "GET affiliate", f"read_{clients}_p99")


def _postings(name: str, title: str, times: float, ceiling: str) -> Iterator[Line]:
    rate, mean = f"pgbench_{name}_rate", f"pgbench_{name}_mean"
    aim = Aim(times=times, of_ceiling=0.6)
    yield Line(title, "/s", f"wallet_{name}_rate", "pgbench", rate, aim, f"ceiling_{ceiling}_rate")
    yield Line(f"{title}, p50", "ms", f"wallet_{name}_p50", "pgbench, mean", mean)
    yield Line(f"{title}, p99", "ms", f"wallet_{name}_p99", "pgbench, mean", mean)
    yield Line(f"{title}, CPU of wallet", "µs", f"wallet_{name}_cpu_us_wallet")
    yield Line(f"{title}, CPU of all", "µs", f"wallet_{name}_cpu_us_all")


def _history(name: str, title: str) -> Iterator[Line]:
    for clients in (1, 16):
        its = f"{title}, {clients} client{'s' if clients > 1 else ''}"
        yield Line(its, "/s", f"history_{name}_{clients}_rate")
        yield Line(f"{its}, p50", "ms", f"history_{name}_{clients}_p50")
        aim = Aim(below=10) if clients > 1 else None
        yield Line(f"{its}, p99", "ms", f"history_{name}_{clients}_p99", aim=aim)


def _clicks(clients: int) -> Iterator[Line]:
    title = f"clicks at the gateway, {clients} client{'s' if clients > 1 else ''}"
    aim = Aim(times=0.5) if clients > 1 else None
    yield Line(title, "/s", f"click_{clients}_rate", "HEAD, no click", f"redirect_{clients}_rate", aim)
    for share in ("p50", "p99"):
        yield Line(
            f"{title}, {share}", "ms", f"click_{clients}_{share}", "HEAD, no click", f"redirect_{clients}_{share}"
        )
    aim = Aim(below=2) if clients > 1 else None
    yield Line(f"{title}, all counted after", "s", f"click_{clients}_counted_seconds", aim=aim)


_BULK = "bulk SQL, 500 a commit"
_IN_BULK = (_BULK, "credit_floor_rate")
_HALF = Aim(times=0.5)
_FLOOR = "read, parse, one transaction"

LINES = {
    "conversions": (
        *(line for clients in (1, 16, 64) for line in _conversions(clients)),
        *(
            Line(f"conversions, 64 clients, CPU of {program}", "µs", f"convert_64_cpu_us_{program}")
            for program in ("gateway", "affiliates", "wallet", "all")
        ),
        Line("floor: commit of one row", "ms", "commit_ms"),
        Line("floor: producer to consumer, Kafka", "ms", "hop_ms"),
    ),
    "postings": (
        *_postings("many", "credits, 1,000 customers", 0.7, "many"),
        *_postings("hot", "credits, one hot customer", 5, "hot"),
        *_postings("debit", "debits from ten grants, 1,000 customers", 0.7, "many"),
        Line("HTTP ceiling, 1,000 customers", "/s", "ceiling_many_rate"),
        Line("HTTP ceiling, one hot customer", "/s", "ceiling_hot_rate"),
    ),
    "crediting": (
        Line("conversions credited (wallet)", "/s", "credit_rate", *_IN_BULK, Aim(times=0.25)),
        Line("conversions credited and told (wallet)", "/s", "credit_told_rate", *_IN_BULK),
    ),
    "folding": (Line("orders to figures (customers)", "/s", "fold_customers_rate", _FLOOR, "fold_floor_rate", _HALF),),
    "commissions": (
        Line("orders handled, 1 % with a code", "/s", "commissions_1_rate", "read, parse", "orders_parse_rate"),
        Line("commissions told, 1 % with a code", "/s", "commissions_1_told_rate"),
        Line("floor: orders read, skipped by a header", "/s", "orders_skip_rate"),
        Line("orders handled, all with a code", "/s", "commissions_100_rate", _FLOOR, "orders_fold_rate", _HALF),
        Line("commissions told, all with a code", "/s", "commissions_100_told_rate", _BULK, "commissions_floor_rate"),
    ),
    "clicks": (
        *(line for clients in (1, 64) for line in _clicks(clients)),
        *(
            Line(f"clicks at the gateway, 64 clients, CPU of {program}", "µs", f"click_64_cpu_us_{program}")
            for program in ("gateway", "affiliates", "all")
        ),
    ),
    "crowd": (
        Line("conversions beside 100,000 orders, p50", "ms", "crowd_p50", "alone", "crowd_alone_p50"),
        Line(
            "conversions beside 100,000 orders, p99", "ms", "crowd_p99", "alone", "crowd_alone_p99", Aim(most_times=3)
        ),
    ),
    "edge": (
        Line(
            "gateway, GET customer, 32 connections",
            "/s",
            "edge_gateway_32_rate",
            "direct",
            "edge_direct_32_rate",
            Aim(times=0.45),
        ),
        Line("gateway, GET customer, 1 connection, p50", "ms", "edge_gateway_1_p50", "direct", "edge_direct_1_p50"),
        Line("gateway, added p50 at 1 connection", "ms", "edge_added_p50", aim=Aim(below=2)),
    ),
    "publishing": (
        Line(
            "publishing behind 200,000 dead rows",
            "/s",
            "publish_held_rate",
            "without them",
            "publish_free_rate",
            Aim(above=5_000),
        ),
        Line("outbox with its dead rows", "MB", "publish_dead_mb"),
        Line("outbox small again after the snapshot", "s", "publish_shrunk_seconds", aim=Aim(below=60)),
    ),
    "idle": (
        *(
            Line(f"idle, CPU of {program}", "%", f"idle_cpu_{program}")
            for program in (*PROGRAMS, "postgres", "kafka", "all")
        ),
        *(
            Line(f"idle, memory of {program}", "MB", f"idle_mb_{program}")
            for program in (*PROGRAMS, "postgres", "kafka", "all")
        ),
        *(Line(f"start of {program}", "s", f"start_{program}") for program in PROGRAMS),
    ),
    "history": (
        *_history("customer", "a customer's history of 10 million entries, 25"),
        *_history("store", "the store's history of 10 million entries, 25"),
        *_history("balance", "a balance beside 10 million entries"),
    ),
}
PARTS = tuple(LINES)


def summary(rounds: Rounds, parts: Sequence[str]) -> dict[str, Any]:
    """All of it as JSON: figures with their floors and aims, the breakdown of one conversion, every sample."""
    legs = [Line(leg, "ms", f"leg_{n}") for n, leg in enumerate(LEGS)]
    loads = [value for samples in rounds for name, value in samples.items() if name.endswith("_load")]
    breakdown = (
        {
            "calls": sum(samples["leg_calls"] for samples in rounds),
            "legs": [_figure(leg, rounds) for leg in legs],
        }
        if "conversions" in parts
        else None
    )
    return {
        "figures": [_figure(line, rounds) for part in parts for line in LINES[part]],
        "breakdown": breakdown,
        "load_average": {"min": min(loads), "max": max(loads)},
        "rounds": list(rounds),
    }


def show(found: Mapping[str, Any], out: Console) -> None:
    """Print a summary for people."""
    out.print(_figures(found["figures"], len(found["rounds"])))
    if found["breakdown"] is not None:
        out.print(_breakdown(found["breakdown"]))
    for figure in found["figures"]:
        if "aim" in figure:
            colour, word = ("green", "met") if figure["met"] else ("red", "missed")
            out.print(f"aim: {figure['figure']} {figure['aim']}: [{colour}]{word}[/] ({figure['reached']})")
    load = found["load_average"]
    out.print(f"Load average during the rounds: {load['min']:.1f} to {load['max']:.1f}.")
    out.print(SCALE)


def _figure(line: Line, rounds: Rounds) -> dict[str, Any]:
    values = [samples[line.sample] for samples in rounds]
    figure: dict[str, Any] = {"figure": line.title, "unit": line.unit, **_spread(values)}
    ratios: list[float] = []
    if line.floor:
        floors = [samples[line.floor_sample] for samples in rounds]
        ratios = [value / floor for value, floor in zip(values, floors, strict=True)]
        figure |= {"floor": {"figure": line.floor, **_spread(floors)}, "ratio": _spread(ratios)}
    if line.ceiling_sample:
        of_ceiling = [value / samples[line.ceiling_sample] for value, samples in zip(values, rounds, strict=True)]
        figure["of_ceiling"] = _spread(of_ceiling)
    if line.aim is not None:
        figure |= _judge(line, line.aim, figure)
    return figure


def _spread(values: Sequence[float]) -> dict[str, Any]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "rounds": list(values)}


def _judge(line: Line, aim: Aim, figure: Mapping[str, Any]) -> dict[str, Any]:
    value = figure["median"]
    told = f"{value:,.1f} {line.unit}"
    if aim.below is not None:
        return {"aim": f"below {aim.below:g} {line.unit}", "met": value < aim.below, "reached": told}
    if aim.above is not None:
        return {"aim": f"at least {aim.above:,g} {line.unit}", "met": value >= aim.above, "reached": told}
    ratio = figure["ratio"]["median"]
    reached = f"{ratio:.2f} times"
    if aim.most_times is not None:
        return {
            "aim": f"less than {aim.most_times:g} times {line.floor}",
            "met": ratio < aim.most_times,
            "reached": reached,
        }
    wanted, met = f"{aim.times:g} times {line.floor}", ratio >= (aim.times or 0)
    if aim.of_ceiling is None:
        return {"aim": f"at least {wanted}", "met": met, "reached": reached}
    part = figure["of_ceiling"]["median"]
    return {
        "aim": f"at least the smaller of {wanted} and {aim.of_ceiling:g} times the HTTP ceiling",
        "met": met or part >= aim.of_ceiling,
        "reached": f"{reached} and {part:.2f} times",
    }


def _figures(figures: Sequence[Mapping[str, Any]], rounds: int) -> Table:
    title = f"convert-to-balance at the gateway, postings at the wallet: median (min-max) of {rounds} rounds"
    table = _table(title, "figure", "", "floor of the same rounds", "", "ratio")
    for figure in figures:
        floor = figure.get("floor")
        beside = (floor["figure"], _shown(floor, figure["unit"]), _number(figure["ratio"]["median"])) if floor else ()
        table.add_row(figure["figure"], _shown(figure, figure["unit"]), *beside)
    return table


def _breakdown(breakdown: Mapping[str, Any]) -> Table:
    table = _table(
        f"One conversion at 1 client, the mean of {breakdown['calls']:.0f} calls", "from request to reply", ""
    )
    for leg in breakdown["legs"]:
        table.add_row(leg["figure"], _shown(leg, leg["unit"]))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(box=None, pad_edge=False, title=f"\n{title}", title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, justify="left" if len(column) > len("ratio") else "right", no_wrap=True)
    return table


def _shown(spread: Mapping[str, Any], unit: str) -> str:
    return f"{_number(spread['median'])} ({_number(spread['min'])}-{_number(spread['max'])}) {unit}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004
