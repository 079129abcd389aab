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

COMMAND = [sys.executable, "-c", "from regulars.cli import main; main()"]


def regulars(folder, *words, **settings):
    environment = {**os.environ, "REGULARS_FOLDER": str(folder), **settings}
    return subprocess.run([*COMMAND, *words], env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_status_has_its_shape_before_the_first_start(tmp_path):
    done = regulars(tmp_path / "stack", "status", "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(found) == ["gateway", "api_key", "publishable_key", "services"]
    assert set(found["services"]) == {*SERVICES, "gateway"}
    assert {tuple(service) for service in found["services"].values()} == {("url", "healthy")}
    assert not any(service["healthy"] for service in found["services"].values())


def test_a_port_in_use_is_one_sentence_and_a_non_zero_exit(tmp_path):
    base = ports.free()["gateway"]
    with socket.create_server(("127.0.0.1", base + 6)):
        done = regulars(tmp_path / "stack", "up", "--detach", REGULARS_PORT_BASE=str(base))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"Port {base + 6}, which postgres needs, is in use" in done.stderr
    regulars(tmp_path / "stack", "down")


def test_verify_without_a_stack_is_one_sentence(tmp_path):
    done = regulars(tmp_path / "stack", "verify")
    assert (done.returncode, done.stderr) == (1, "The stack is not up: run `regulars up`.\n")


def test_a_download_that_fails_is_one_sentence(tmp_path):
    elsewhere = {
        "XDG_CACHE_HOME": str(tmp_path),
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }
    base = str(ports.free()["gateway"])
    done = regulars(tmp_path / "stack", "up", "--detach", REGULARS_PORT_BASE=base, **elsewhere)
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
def test_an_interrupted_start_leaves_nothing_running(tmp_path, ending):
    environment = {
        **os.environ,
        "REGULARS_FOLDER": str(tmp_path / "stack"),
        "REGULARS_PORT_BASE": str(ports.free()["gateway"]),
    }
    with subprocess.Popen(
        [*COMMAND, "up"], env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as start:
        pidfile, deadline = tmp_path / "stack/supervisord.pid", time.monotonic() + 30
        while not pidfile.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        start.send_signal(ending)
        assert start.wait(30) != 0
    assert not pidfile.exists()
