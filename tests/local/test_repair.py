"""`regulars dead-letters` and `regulars parked`, on the databases of all services; what replaying does is the chassis' part."""

import asyncio
import json

import asyncpg
import pytest
from typer.testing import CliRunner

from chassis import ids, migrations
from regulars import cli, programs
from regulars.ports import PROGRAMS
from regulars.trouble import Trouble

STORE = ids.new("store")
CREATED = {"slug": "a", "currency": "EUR", "locale": "en", "url": "http://a.example/"}
# In the order in which a worker, which may run, comes to them.
FORGET = "TRUNCATE inbox, parked, dead_letter RESTART IDENTITY"
LETTER = """
    INSERT INTO dead_letter (consumer_group, topic, partition, "offset", key, headers, payload, error_class, error)
    VALUES ('{service}', 'stores', 0, {offset}, {key}, '{headers}', {payload}, '{error}', 'inbox.py:150 _once > consumers.py:7 on_it > store.py:70 keep_it > db.py:60 execute > 22012')
"""
WAITING = f"""
    INSERT INTO parked (consumer_group, topic, key, event_id, type, store_id, payload, reason, attempts, retry_at)
    VALUES ('wallet.ask', 'claims', 'cus_7', '{ids.new_uuid()}', 'claim.converted', '{STORE}', '', 'customer', 3, now() + interval '5 min')
"""


def letter(
    service: str, offset: int, error: str, *, key="'store_7'", body: bytes | None = b"{}", **headers: str
) -> str:
    given = {"ce_id": str(ids.new_uuid()), "ce_type": "store.created", "store_id": STORE} | headers
    payload = "NULL" if body is None else f"'\\x{body.hex()}'"
    return LETTER.format(
        service=service, offset=offset, error=error, key=key, headers=json.dumps(given), payload=payload
    )


@pytest.fixture(scope="module")
async def sql(parts):
    """`await sql("wallet", statement, …)` in the database of a service; their workers may run or not."""
    url = parts.admin_database_url()
    await asyncio.gather(
        *(migrations.prepare(url, programs.module(name), password=parts.password) for name in PROGRAMS)
    )

    async def run(service: str, *statements: str) -> None:
        connection = await asyncpg.connect(parts.admin_database_url(programs.database(service)))
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    return run


@pytest.fixture
async def asked(parts, sql, monkeypatch):
    """`await asked("dead-letters list")`: what the command prints, and its exit code."""
    monkeypatch.setenv("REGULARS_FOLDER", str(parts.places.folder))
    monkeypatch.setenv("COLUMNS", "80")
    await asyncio.gather(*(sql(name, FORGET) for name in PROGRAMS))

    async def ask(line: str) -> tuple[str, int]:
        done = await asyncio.to_thread(CliRunner().invoke, cli.app, line.split())
        if isinstance(done.exception, Trouble):
            raise done.exception
        return done.output, done.exit_code

    yield ask
    await asyncio.gather(*(sql(name, FORGET) for name in PROGRAMS))


async def test_with_nothing_set_aside_each_command_says_so_in_one_sentence(asked):
    assert await asked("dead-letters list") == ("No dead letters: nothing was given up.\n", 0)
    assert await asked("parked") == ("Nothing is parked: no event waits for another.\n", 0)
    assert await asked("dead-letters replay --all") == ("No dead letters: there is nothing to replay.\n", 0)


async def test_dead_letters_are_counted_by_service_class_and_type_and_the_latest_are_shown(asked, sql):
    await sql("wallet", *(letter("wallet", n, "KeyError") for n in range(3)))
    await sql("fraud-block", letter("fraud-block", 0, "ValueError", key="E'a[red]\\x1b[31mb'"))
    told, _ = await asked("dead-letters list --limit 2")
    assert "wallet       KeyError of store.created         3" in told
    assert "fraud-block  ValueError of store.created       1" in told
    assert "fraud-block 1" in told
    assert "a[red]\ufffd[31mb in fraud-block" in told
    assert "2 more: --limit 4 shows all." in told
    assert max(map(len, told.splitlines())) <= 80
    told, _ = await asked("dead-letters list --class KeyError --service fraud-block")
    assert told == "No dead letters like that.\n"


async def test_a_letter_is_shown_whole_with_what_to_do_next(asked, sql):
    body = json.dumps(CREATED).encode()
    await sql("wallet", letter("wallet", 7, "KeyError", body=body), letter("wallet", 8, "KeyError", body=None))
    told, _ = await asked("dead-letters show wallet 1")
    assert '"currency": "EUR"' in told
    assert "partition 0, offset 7" in told
    assert "`regulars dead-letters replay --service wallet 1` hands it back" in told
    assert "cannot be replayed: its body is not kept" in (await asked("dead-letters show wallet 2"))[0]
    with pytest.raises(Trouble, match="wallet has no dead letter 3"):
        await asked("dead-letters show wallet 3")


async def test_letters_are_replayed_by_class_or_number_and_all_of_them_only_after_a_yes(asked, sql):
    body = json.dumps(CREATED).encode()
    for service in ("wallet", "carts"):
        await sql(service, letter(service, 1, "KeyError", body=body), letter(service, 2, "ValueError"))
    for line in ("", "--all --class KeyError", "1"):
        with pytest.raises(Trouble, match="Say "):
            await asked(f"dead-letters replay {line}")
    with pytest.raises(Trouble, match="say --yes for all 4 dead letters"):
        await asked("dead-letters replay --all")
    with pytest.raises(Trouble, match=r"no dead letter 9: nothing was replayed"):
        await asked("dead-letters replay --service wallet 1 9")
    assert await asked("dead-letters replay --service wallet 1") == ("wallet: 1 handed back.\n", 0)
    assert await asked("dead-letters replay --class KeyError") == ("carts: 1 handed back.\n", 0)
    told, code = await asked("dead-letters replay --all --yes")
    assert code == 1
    assert "wallet 2 stays: today's code cannot read it either" in told


async def test_parked_events_are_counted_shown_and_tried_now(asked, sql):
    await sql("wallet", WAITING)
    told, _ = await asked("parked")
    assert "wallet   customer of claim.converted" in told
    assert "claim.converted waits for: customer" in told
    assert "again in 5 min" in told
    assert (await asked("parked --reason store --retry-now"))[0] == "Nothing like that is parked.\n"
    assert "Tried now: 1." in (await asked("parked --class customer --retry-now"))[0]


async def test_a_service_that_is_not_there_is_named_with_those_that_are(asked):
    told, code = await asked("dead-letters list --service wallets")
    assert code == 2
    assert "fraud-block" in told
