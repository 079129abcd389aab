import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from regulars import ports
from regulars.ports import SERVICES
from regulars.stack import Stack

COMMAND = [sys.executable, "-c", "from regulars.cli import main; main()"]


def regulars(folder, *words, **settings):
    environment = {**os.environ, "REGULARS_FOLDER": str(folder), **settings}
    return subprocess.run([*COMMAND, *words], env=environment, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def folder(tmp_path):
    """The folder of a stack that is gone after the test."""
    yield tmp_path / "stack"
    Stack.at(tmp_path / "stack").erase()


def test_status_has_its_shape_before_the_first_start(folder):
    done = regulars(folder, "status", "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(found) == ["gateway", "api_key", "publishable_key", "services"]
    assert set(found["services"]) == {*SERVICES, "gateway"}
    assert {tuple(service) for service in found["services"].values()} == {("url", "healthy")}
    assert not any(service["healthy"] for service in found["services"].values())


def test_a_port_in_use_is_one_sentence_and_a_non_zero_exit(folder):
    base = ports.free()["gateway"]
    with socket.create_server(("127.0.0.1", base + 6)):
        done = regulars(folder, "up", "--detach", REGULARS_PORT_BASE=str(base))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"Port {base + 6}, which postgres needs, is in use" in done.stderr


def test_verify_without_a_stack_is_one_sentence(folder):
    done = regulars(folder, "verify")
    assert (done.returncode, done.stderr) == (1, "The stack is not up: run `regulars up`.\n")


def test_a_download_that_fails_is_one_sentence(folder, tmp_path):
    elsewhere = {
        "XDG_CACHE_HOME": str(tmp_path),
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }
    base = str(ports.free()["gateway"])
    done = regulars(folder, "up", "--detach", REGULARS_PORT_BASE=base, **elsewhere)
    assert done.returncode == 1
    assert "could not be fetched from Maven Central" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.journeys
def test_a_second_up_says_so_and_reuses_what_runs(stack):
    before = stack.pids()
    done = regulars(stack.places.folder, "up")
    assert done.returncode == 0
    assert done.stdout.startswith("The stack is already up.")
    assert stack.pids() == before


@pytest.mark.journeys
def test_status_finds_everything_healthy(stack):
    found = json.loads(regulars(stack.places.folder, "status", "--json").stdout)
    assert found["api_key"] == stack.api_key
    assert all(service["healthy"] for service in found["services"].values())


@pytest.mark.journeys
def test_a_killed_service_comes_back(stack):
    pid = stack.pid("fraud-block")
    stack.kill("fraud-block")
    stack.wait_ready("fraud-block")
    assert stack.pid("fraud-block") != pid


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_start_leaves_nothing_running(folder, ending):
    environment = {
        **os.environ,
        "REGULARS_FOLDER": str(folder),
        "REGULARS_PORT_BASE": str(ports.free()["gateway"]),
    }
    with subprocess.Popen(
        [*COMMAND, "up"], env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as start:
        pidfile, deadline = folder / "supervisord.pid", time.monotonic() + 30
        while not pidfile.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        start.send_signal(ending)
        assert start.wait(30) != 0
    assert not pidfile.exists()
