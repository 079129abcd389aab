"""What an operator asks a service where it runs: rows on standard output, sentences on standard error, an exit code."""

import argparse
import json
from types import SimpleNamespace

import pytest

from chassis import commands, inbox
from chassis.handlers import Group
from chassis.inbox import NotYet, Router
from chassis.service import build


@pytest.fixture
def router_with_a_bug():
    """Handlers that fail while there is a bug, and wait while a gate is closed."""

    def make(contract, broken: set[str]) -> Router:
        router = Router()

        @router.on(contract.added)
        async def on_added(event, conn) -> None:
            if event.subject in broken:
                await conn.execute("SELECT 1 / 0")
            if f"gate of {event.subject}" in broken:
                raise NotYet("gate")
            await conn.execute("INSERT INTO done VALUES ($1, $2, $3)", event.store_id, event.subject, event.number)

        return router

    return make


@pytest.fixture
async def broken(world, router_with_a_bug, monkeypatch):
    """Two events that were given up, one that is parked, and the set of what is broken."""
    monkeypatch.setattr(inbox, "_AGAIN", ())
    contract, broken = await world.contract(), {"a", "b", "gate of c"}
    router = router_with_a_bug(contract, broken)
    await world.send(*(contract.added(store_id=world.store_id, subject=subject, number=7) for subject in "abc"))
    await inbox.Inbox(world.service, router, world.database).process(Group.FACTS, await world.published(contract.topic))
    return router, broken


@pytest.fixture
def ask(world, broken, capsys):
    """`await ask("dead-letters list")`: the exit code, the rows, the sentences."""
    parser = argparse.ArgumentParser()
    commands.add_to(parser.add_subparsers(dest="verb"))

    async def asked(line: str):
        code = await commands.carry_out(parser.parse_args(line.split()), world.service, broken[0], world.url)
        said = capsys.readouterr()
        rows = [row for row in said.out.splitlines() if row.startswith("{")]
        return code, [json.loads(row) for row in rows], said.err.strip()

    return asked


async def test_dead_letters_are_listed_shown_and_replayed(world, broken, ask):
    code, rows, sentence = await ask("dead-letters list")
    assert (code, [row["key"] for row in rows]) == (0, ["b", "a"])
    assert sentence == "2 given up: 2 DivisionByZeroError of thing.added."
    assert (await ask("dead-letters list --limit 1"))[2].endswith("; the others with --limit 2.")
    assert (await ask("dead-letters list --class KeyError"))[1:] == ([], "No dead letters.")
    number = rows[0]["number"]
    code, (shown,), advice = await ask(f"dead-letters show {number}")
    assert (code, shown["payload"]) == (0, {"subject": "b", "number": 7, "filler": ""})
    assert f"`dead-letters replay {number}`" in advice
    assert await ask("dead-letters show 99") == (1, [], "There is no dead letter 99.")
    broken[1].clear()
    async with world.consuming(broken[0]):
        code, (told,), _ = await ask("dead-letters replay --class DivisionByZeroError --wait")
    assert (code, told) == (
        0,
        {"handed_back": 2, "done_since": [], "left": {}, "done": 2, "died_again": 0, "waiting": 0},
    )
    assert (await ask("dead-letters list"))[2] == "No dead letters."


async def test_what_dies_again_is_a_failure_of_the_command(world, broken, ask):
    async with world.consuming(broken[0]):
        code, (told,), _ = await ask("dead-letters replay 1 --wait")
    assert (code, told["done"], told["died_again"]) == (1, 0, 1)


async def test_of_numbers_that_are_not_all_there_none_is_replayed(world, ask):
    assert await ask("dead-letters replay 98 1 99") == (1, [], "There is no dead letter 98, 99.")
    assert await world.count("dead_letter") == 2


async def test_without_a_choice_nothing_is_replayed(world, ask):
    for line in ("dead-letters replay", "dead-letters replay 1 --all", "dead-letters replay 1 --type thing.added"):
        assert await ask(line) == (2, [], "Say which: their numbers, or --class and --type, or --all.")
    assert await world.count("dead_letter") == 2


def nobody_is_asked(patch) -> None:
    patch.setattr(commands, "_agreed", lambda _count: True)


@pytest.mark.parametrize("fault", [None, nobody_is_asked])
async def test_all_of_them_need_a_yes(world, ask, planted, fault):
    with planted(fault):
        assert await ask("dead-letters replay --all") == (1, [], "Nothing was replayed: say --yes.")
        assert await world.count("dead_letter") == 2
        assert (await ask("dead-letters replay --all --yes"))[1][0]["handed_back"] == 2


async def test_what_is_parked_is_listed_and_tried_now(world, broken, ask):
    await world.admin.execute("UPDATE parked SET retry_at = now() + interval '5 minutes'")
    code, (row,), sentence = await ask("parked")
    assert (code, row["reason"], row["key"], sentence) == (0, "gate", "c", "1 parked: 1 gate of thing.added.")
    assert (await ask("parked --reason customer --retry-now"))[2] == "Nothing is parked."
    broken[1].clear()
    async with world.consuming(broken[0]):
        assert (await ask("parked --retry-now"))[2].endswith("1 will be tried now.")
        await world.until("SELECT count(*) FROM parked", equals=0)


async def test_without_a_database_each_command_says_so_in_one_sentence(capsys):
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
    parser = argparse.ArgumentParser()
    commands.add_to(parser.add_subparsers(dest="verb"))
    assert await commands.carry_out(parser.parse_args(["parked"]), "wallet", Router(), nowhere) == 1
    assert capsys.readouterr().err.startswith("The database of wallet does not do it: ")

    async def clean(_conn) -> list[str]:
        return []

    assert await build("wallet", verify=clean)._verify(SimpleNamespace(worker_database_url=nowhere), whole=False) == 1
    assert capsys.readouterr().out == "wallet: the database does not answer (ConnectionRefusedError)\n"
