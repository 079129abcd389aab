"""What an operator may ask a service where it runs: ``python -m wallet dead-letters list|show|replay`` and ``parked``.

Rows are JSON, one a line, on standard output; sentences for a person go to standard error. Exit code 1: not all of what
was asked for was done.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import asyncpg

from chassis import repair, set_aside
from chassis.db import Database
from chassis.handlers import Router
from chassis.set_aside import Choice, Count, Letter

VERBS = ("dead-letters", "parked")
WAIT = 60.0  # seconds


def add_to(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add our verbs to a service's command line."""
    letters = verbs.add_parser("dead-letters", help="events given up").add_subparsers(dest="what", required=True)
    _filtered(letters.add_parser("list", help="the latest"), "--class").add_argument("--limit", type=int, default=50)
    letters.add_parser("show", help="all there is about one").add_argument("number", type=int)
    replay = letters.add_parser("replay", help="hand some back to their handlers, each to be done once")
    replay.add_argument("numbers", type=int, nargs="*", metavar="NUMBER")
    _filtered(replay, "--class")
    replay.add_argument("--all", action="store_true", help="every dead letter")
    replay.add_argument("--yes", action="store_true", help="do not ask")
    replay.add_argument("--wait", action="store_true", help=f"up to {WAIT:.0f} s for what becomes of them")
    parked = verbs.add_parser("parked", help="events that wait for another")
    _filtered(parked, "--reason").add_argument("--limit", type=int, default=50)
    parked.add_argument("--retry-now", action="store_true", help="have them tried at once")


def _filtered(parser: argparse.ArgumentParser, kind: str) -> argparse.ArgumentParser:
    parser.add_argument(kind, dest="kind")
    parser.add_argument("--type", help="of event, such as claim.converted")
    return parser


async def carry_out(args: argparse.Namespace, service: str, router: Router, url: str) -> int:
    """Do what was asked for; the exit code."""
    database = await Database.open(url, size=1, name=f"{service}-command")
    try:
        if args.verb == "parked":
            return await _parked(args, database)
        return await {"list": _list, "show": _show, "replay": _replay}[args.what](args, database, service, router)
    except (OSError, asyncpg.PostgresError) as error:
        _say(f"The database of {service} does not do it: {error or type(error).__name__}")
        return 1
    finally:
        await database.close()


async def _list(args: argparse.Namespace, database: Database, _service: str, _router: Router) -> int:
    choice = Choice(args.kind, args.type)
    async with database.transaction() as conn:
        counts = await set_aside.letter_counts(conn, choice)
        found = await set_aside.letters(conn, choice, args.limit)
    for letter in found:
        _print(_outline(letter))
    _say(_summary(counts, len(found), "No dead letters.", "given up"))
    return 0


async def _show(args: argparse.Namespace, database: Database, _service: str, router: Router) -> int:
    async with database.transaction() as conn:
        found = await set_aside.letters_of(conn, [args.number])
    if not found:
        _say(f"There is no dead letter {args.number}.")
        return 1
    (letter,) = found
    _print(_outline(letter) | {"headers": letter.headers, "payload": payload(letter)})
    _say(advice(router, letter, f"dead-letters replay {letter.number}"))
    return 0


async def _replay(args: argparse.Namespace, database: Database, service: str, router: Router) -> int:
    choice = Choice(args.kind, args.type)
    if sum([bool(args.numbers), choice != set_aside.ANY, args.all]) != 1:
        _say("Say which: their numbers, or --class and --type, or --all.")
        return 2
    async with database.transaction() as conn:
        numbers = await repair.chosen(conn, choice, args.numbers or None)
    if unknown := set(args.numbers) - set(numbers):
        _say(f"There is no dead letter {', '.join(map(str, sorted(unknown)))}.")
        return 1
    if args.all and not args.yes and not _agreed(len(numbers)):
        _say("Nothing was replayed: say --yes.")
        return 1
    outcome = await repair.hand_back(database, service, router, numbers)
    told: dict[str, Any] = {"handed_back": len(outcome.handed_back), "done_since": outcome.since, "left": outcome.left}
    good = not outcome.left
    if args.wait:
        fate = await repair.fate(database, outcome.handed_back, WAIT)
        told |= fate._asdict()
        good = good and not fate.died_again and not fate.waiting
    _print(told)
    return 0 if good else 1


async def _parked(args: argparse.Namespace, database: Database) -> int:
    choice = Choice(args.kind, args.type)
    async with database.transaction() as conn:
        hurried = await repair.retry_now(conn, choice) if args.retry_now else 0
        counts = await set_aside.wait_counts(conn, choice)
        found = await set_aside.waits(conn, choice, args.limit)
    for wait in found:
        _print(asdict(wait))
    _say(_summary(counts, len(found), "Nothing is parked.", "parked"))
    if hurried:
        _say(f"{hurried} will be tried now.")
    return 0


def payload(letter: Letter) -> Any:
    """The body of a letter: the JSON that it is, else text; ``None`` where none was kept."""
    if letter.payload is None:
        return None
    try:
        return json.loads(letter.payload)
    except ValueError:
        return letter.payload.decode(errors="backslashreplace")


def advice(router: Router, letter: Letter, command: str) -> str:
    """What to do about a letter, in a sentence or two."""
    try:
        repair.read(router, letter)
    except repair.Unfit as why:
        return f"It cannot be replayed: {why}."
    return f"When the code that failed is mended and runs, `{command}` hands it back: it is done once."


def _outline(letter: Letter) -> dict[str, Any]:
    told = {"number": letter.number, "type": letter.type} | asdict(letter)
    return {name: value for name, value in told.items() if name not in {"headers", "payload"}}


def _summary(counts: Sequence[Count], shown: int, none: str, became: str) -> str:
    total = sum(count.rows for count in counts)
    if not total:
        return none
    parts = ", ".join(f"{count.rows} {count.kind} of {count.type or 'no type'}" for count in counts)
    more = f"; the others with --limit {total}" if total > shown else ""
    return f"{total} {became}: {parts}{more}."


def _agreed(count: int) -> bool:
    return sys.stdin.isatty() and input(f"Replay all {count} dead letters? [y/N] ").lower() in {"y", "yes"}


def _print(row: dict[str, Any]) -> None:
    print(json.dumps(row, default=lambda value: value.isoformat() if isinstance(value, datetime) else str(value)))  # noqa: T201


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)  # noqa: T201
