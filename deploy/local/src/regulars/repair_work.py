"""What `regulars dead-letters` and `regulars parked` do: ask the services' databases, hand back, and tell."""

import asyncio
import importlib
import sys
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeVar

import asyncpg
import typer

from chassis import commands, repair, set_aside
from chassis.db import Database
from chassis.handlers import Router
from chassis.set_aside import Choice, Count, Letter, Wait
from regulars import cli, programs, repair_table, waiting
from regulars.ports import PROGRAMS
from regulars.trouble import Trouble

T = TypeVar("T")
Wanted = tuple[str | None, str | None]  # error class or reason, and event type


def list_letters(service: str | None, wanted: Wanted, limit: int) -> None:
    """Counts, and the latest letters."""

    async def read(_name: str, database: Database) -> tuple[list[Count], list[Letter]]:
        async with database.transaction() as conn:
            choice = Choice(*wanted)
            return await set_aside.letter_counts(conn, choice), await set_aside.letters(conn, choice, limit)

    none = "No dead letters like that." if service or any(wanted) else "No dead letters: nothing was given up."
    repair_table.letters(_ask(_chosen(service), read), limit, none)


def show(service: str, number: int) -> None:
    """One letter.

    Raises:
        Trouble: there is none of this number.
    """

    async def read(_name: str, database: Database) -> list[Letter]:
        async with database.transaction() as conn:
            return await set_aside.letters_of(conn, [number])

    found = _ask([service], read)[service]
    if not found:
        raise Trouble(f"{service} has no dead letter {number}: `regulars dead-letters list` shows which there are.")
    command = f"regulars dead-letters replay --service {service} {number}"
    repair_table.letter(service, found[0], commands.advice(_router(service), found[0], command))


def replay(service: str | None, wanted: Wanted, numbers: Sequence[int] | None, *, ask: bool, wait: bool) -> bool:
    """Hand back; whether nothing of it needs another look.

    Raises:
        Trouble: a number that is not there, or nobody who agrees.
    """
    chosen = _numbers(_chosen(service), Choice(*wanted), numbers)
    if not chosen:
        repair_table.say("No dead letters: there is nothing to replay.")
        return True
    if ask:
        _agree(chosen)

    async def hand_back(name: str, database: Database) -> tuple[repair.Outcome, repair.Fate | None]:
        outcome = await repair.hand_back(database, name, _router(name), chosen[name])
        return outcome, await repair.fate(database, outcome.handed_back, commands.WAIT) if wait else None

    return repair_table.outcomes(_ask(chosen, hand_back))


def parked(service: str | None, wanted: Wanted, limit: int, *, retry_now: bool) -> None:
    """Counts, and those that wait longest; made due first, if so wanted."""

    async def read(_name: str, database: Database) -> tuple[int, list[Count], list[Wait]]:
        async with database.transaction() as conn:
            choice = Choice(*wanted)
            due = await repair.retry_now(conn, choice) if retry_now else 0
            return due, await set_aside.wait_counts(conn, choice), await set_aside.waits(conn, choice, limit)

    found = _ask(_chosen(service), read)
    none = (
        "Nothing like that is parked." if service or any(wanted) else "Nothing is parked: no event waits for another."
    )
    repair_table.waits({name: (counts, waits) for name, (_, counts, waits) in found.items()}, limit, none)
    if due := sum(due for due, _, _ in found.values()):
        repair_table.say(f"Tried now: {due}.")


def _numbers(services: Collection[str], choice: Choice, numbers: Sequence[int] | None) -> dict[str, list[int]]:
    """What to replay, by service; those without are left out."""

    async def read(_name: str, database: Database) -> list[int]:
        async with database.transaction() as conn:
            return await repair.chosen(conn, choice, numbers)

    found = _ask(services, read)
    for service, there in found.items():
        if unknown := set(numbers or ()) - set(there):
            raise Trouble(f"{service} has no dead letter {', '.join(map(str, sorted(unknown)))}: nothing was replayed.")
    return {name: there for name, there in found.items() if there}


def _agree(chosen: dict[str, list[int]]) -> None:
    count = sum(map(len, chosen.values()))
    if not sys.stdin.isatty():
        raise Trouble(f"Nothing was replayed: say --yes for all {count} dead letters.")
    if not typer.confirm(f"Replay all {count} dead letters of {', '.join(chosen)}?"):
        raise Trouble("Nothing was replayed.")


def _router(service: str) -> Router:
    """The handlers of a service as they are in this clone."""
    router: Router = importlib.import_module(f"{programs.module(service)}.main").service.router()
    return router


def _chosen(service: str | None) -> Collection[str]:
    return [service] if service else PROGRAMS


def _ask(services: Collection[str], work: Callable[[str, Database], Awaitable[T]]) -> dict[str, T]:
    """Do the work in the database of each service, side by side."""
    stack = cli.running()

    async def one(name: str) -> T:
        database = await Database.open(stack.database_url(name, "worker"), size=1, name="regulars")
        try:
            return await work(name, database)
        except (OSError, asyncpg.PostgresError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise Trouble(f"The database of {name} does not do it ({reason}): see `regulars status`.") from error
        finally:
            await database.close()

    async def all_of_them() -> list[T]:
        return await asyncio.gather(*map(one, services))

    return dict(zip(services, waiting.run(all_of_them()), strict=True))
