import asyncio
import contextlib
import socket
import subprocess
import sys
import time
from datetime import timedelta

import asyncpg
import psutil
import pytest

from regulars import leash, places, postgres, supervision
from regulars.ports import NAMES
from regulars.stack import Stack
from regulars.trouble import Trouble


async def test_the_parts_answer(parts, admin_url):
    connection = await asyncpg.connect(admin_url)
    settings = [
        await connection.fetchval(f"SHOW {name}") for name in ("max_connections", "fsync", "autovacuum_naptime")
    ]
    await connection.close()
    assert settings == ["300", "on", "5s"]
    assert parts.missing("kafka")() is None


def test_a_second_start_reuses_what_runs(parts):
    before = parts.pids()
    assert parts.up_parts() is False
    assert parts.pids() == before


def test_another_process_finds_the_same_stack(parts):
    assert Stack.at(parts.places.folder).ports == parts.ports


def test_down_stops_only_what_it_started_and_keeps_its_data(parts, tmp_path):
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
    with stranger, leash.temporary(tmp_path / "other") as other:
        other.up_parts()
        started, password = other.pids().values(), other.password
        other.down()
        assert not any(psutil.pid_exists(pid) for pid in started)
        assert stranger.poll() is None
        moved = Stack.at(other.places.folder, ports="free")
        assert moved.ports != other.ports
        assert moved.up_parts() is True
        assert moved.password == password
    assert parts.missing("postgres")() is None
    assert parts.missing("kafka")() is None


def test_a_killed_part_comes_back(parts):
    for part in ("postgres", "kafka"):
        pid = parts.pid(part)
        parts.kill(part)
        parts.wait_ready(part)
        assert parts.pid(part) != pid


def test_a_part_killed_for_good_stays_down_until_started(parts):
    parts.kill("kafka", restart=False)
    assert "kafka" not in parts.pids()
    assert parts.missing("kafka")() is not None
    parts.start("kafka")
    assert parts.missing("kafka")() is None


def test_a_port_in_use_is_one_sentence_and_leaves_nothing_running(tmp_path):
    stack = Stack.at(tmp_path / "stack", ports="free")
    with (
        socket.create_server(("127.0.0.1", stack.ports["wallet"])),
        pytest.raises(Trouble, match=r"wallet needs, is in use"),
    ):
        stack.up()
    assert not stack.is_up
    stack.erase()


def test_a_server_that_does_not_start_names_its_log(tmp_path):
    with leash.temporary(tmp_path / "stack") as stack:
        places.make(stack.places)
        broken = stack.places.data / "postgres"
        broken.mkdir()
        (broken / "PG_VERSION").write_text(f"{postgres.VERSION.partition('.')[0]}\n")  # and nothing else
        stack.remember({"password": "lost"})
        with pytest.raises(Trouble, match=r"postgres does not start .*postgres\.log"):
            stack.up_parts()
        assert not stack.is_up


def test_a_part_that_waits_for_its_next_try_is_tried_at_once(parts):
    version = postgres.cluster(parts.places) / "PG_VERSION"
    if not version.exists():
        pytest.skip("PostgreSQL is in a container")
    version.rename(version.with_suffix(".away"))
    parts.kill("postgres")
    while supervision.processes(parts.places)["postgres"]["statename"] != "BACKOFF":
        time.sleep(0.05)
    version.with_suffix(".away").rename(version)
    assert parts.up_parts() is True
    assert parts.missing("postgres")() is None


def test_secrets_are_readable_by_their_owner_alone(parts):
    names = ("state.json", "signing-key.json", "supervisord.conf")
    assert {(parts.places.folder / name).stat().st_mode & 0o777 for name in names} == {0o600}


def test_the_clock_moves(parts):
    before = parts.clock_file.offset
    try:
        parts.clock_file.advance(timedelta(days=3))
        assert parts.clock_file.offset - before == timedelta(days=3)
    finally:
        parts.clock_file.set(before)


async def test_modules_get_databases_of_their_own(clone):
    first, second = await asyncio.gather(clone("wallet"), clone("wallet"))
    epochs = []
    for database in (first, second):
        connection = await asyncpg.connect(database.api_url)
        epochs.append(await connection.fetchval("SELECT id FROM epoch"))
        await connection.close()
    assert len(set(epochs)) == 2


def test_a_stack_dies_with_its_holder(tmp_path):
    script = (
        "import sys; from pathlib import Path; from regulars import leash\n"
        "with leash.temporary(Path(sys.argv[1])) as stack: stack.up_parts(); print(*stack.pids().values(), flush=True); input()"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "stack")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        pids = [int(pid) for pid in holder.stdout.readline().split()]
        holder.kill()
    assert len(pids) == 2
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(pid).wait(100)  # raises when the time is over


def test_one_setting_moves_every_port(monkeypatch, tmp_path):
    monkeypatch.setenv("REGULARS_PORT_BASE", "20000")
    assert sorted(Stack.at(tmp_path).ports.values()) == list(range(20000, 20000 + len(NAMES)))
