"""How `regulars dead-letters` and `regulars parked` tell what they found, on 80 columns too."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from chassis import commands
from chassis.repair import Fate, Outcome
from chassis.set_aside import Count, Letter, Wait

out = Console(highlight=False, markup=False)  # a key may look like markup

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def say(sentence: str) -> None:
    """One sentence."""
    out.print(sentence, soft_wrap=True)


def letters(found: Mapping[str, tuple[Sequence[Count], Sequence[Letter]]], limit: int, none: str) -> None:
    """Counts, then the latest letters of all services; ``none`` is what to say without any."""
    total = _counts("error", {name: counts for name, (counts, _) in found.items()})
    if not total:
        say(none)
        return
    latest = sorted(
        ((letter.died_at, name, letter) for name, (_, its) in found.items() for letter in its),
        key=lambda row: row[:2],
        reverse=True,
    )[:limit]
    table = _table("dead letter", "what and where", "died")
    for died_at, name, letter in latest:
        what = _lines(
            f"{letter.type or 'no type'}: {letter.error_class}", f"{letter.key} in {letter.group}", letter.error
        )
        table.add_row(f"{name} {letter.number}", what, _when(died_at))
    out.print(table)
    _more(total, len(latest))


def letter(service: str, found: Letter, advice: str) -> None:
    """One letter: all of it."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    place = "not known" if found.partition is None else f"partition {found.partition}, offset {found.offset}"
    body = commands.payload(found)
    for title, value in {
        "dead letter": f"{service} {found.number}",
        "died": f"{found.died_at:%Y-%m-%d %H:%M:%S} UTC, {_span(found.died_at)} ago",
        "group": found.group,
        "topic": f"{found.topic}, {place}",
        "key": found.key or "none",
        **found.headers,
        "error": found.error_class,
        "where": found.error,
        "payload": body if isinstance(body, str) else "not kept" if body is None else json.dumps(body, indent=2),
    }.items():
        table.add_row(_plain(title), _plain(value))
    out.print(table)
    say(advice)


def outcomes(found: Mapping[str, tuple[Outcome, Fate | None]]) -> bool:
    """What became of letters; whether nothing of it needs another look."""
    for name, (outcome, fate) in found.items():
        parts = [f"{len(outcome.handed_back) or 'nothing'} handed back"]
        if fate and outcome.handed_back:
            parts.append(f"{fate.done} done, {fate.died_again} dead again, {fate.waiting} still waiting")
        if outcome.since:
            parts.append(f"{len(outcome.since)} removed, done since they died")
        say(f"{name}: {'; '.join(parts)}.")
        for number, why in outcome.left.items():
            say(f"{name} {number} stays: {why}.")
    return not any(outcome.left or (fate and (fate.died_again or fate.waiting)) for outcome, fate in found.values())


def waits(found: Mapping[str, tuple[Sequence[Count], Sequence[Wait]]], limit: int, none: str) -> None:
    """Counts, then the parked events of all services, those that wait longest first."""
    total = _counts("waits for", {name: counts for name, (counts, _) in found.items()})
    if not total:
        say(none)
        return
    longest = sorted(
        ((wait.parked_at, name, wait) for name, (_, its) in found.items() for wait in its), key=lambda row: row[:2]
    )[:limit]
    table = _table("parked", "what, and how often it was tried", "since")
    for parked_at, name, wait in longest:
        tried = f"too early {wait.attempts} times, failed {wait.failures}; again {_due(wait)}"
        what = _lines(f"{wait.type} waits for: {wait.reason}", f"{wait.key} in {wait.group}", tried)
        table.add_row(f"{name} {wait.number}", what, _when(parked_at))
    out.print(table)
    _more(total, len(longest))


def _counts(kind: str, found: Mapping[str, Iterable[Count]]) -> int:
    rows = [(name, count) for name, counts in found.items() for count in counts]
    if rows:
        table = _table("service", f"{kind} of event", "events")
        table.columns[2].justify = "right"
        for name, count in rows:
            table.add_row(name, _plain(f"{count.kind} of {count.type or 'no type'}"), str(count.rows))
        out.print(table)
        out.print()
    return sum(count.rows for _, count in rows)


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    first, middle, last = titles
    table.add_column(first, no_wrap=True)
    table.add_column(middle, overflow="fold", ratio=1)
    table.add_column(last, no_wrap=True)
    return table


def _lines(first: str, *others: str) -> Text:
    return Text.assemble(_plain(first), *((f"\n{_plain(other)}", "dim") for other in others))


def _when(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S}\n{_span(instant)} ago"


def _due(wait: Wait) -> str:
    if wait.retry_at > datetime.now(UTC):
        return f"in {_span(wait.retry_at)}"
    return "now" if wait.reason != "queued" else "after the earlier ones of its key"


def _span(instant: datetime) -> str:
    """How far away an instant is, in its largest unit."""
    seconds = abs((datetime.now(UTC) - instant).total_seconds())
    size, unit = next((unit for unit in _UNITS if seconds >= unit[0]), _UNITS[-1])
    return f"{seconds / size:.0f} {unit}"


def _more(total: int, shown: int) -> None:
    if total > shown:
        say(f"{total - shown} more: --limit {total} shows all.")


def _plain(text: str) -> str:
    """What came over the wire, without anything that a terminal would obey."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "\ufffd" for letter in text)
