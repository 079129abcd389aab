import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import asyncpg
import psutil
import pytest

from regulars import places, ports, supervision, waiting
from regulars.ports import SERVICES
from regulars.stack import Stack

COMMAND = [sys.executable, "-m", "regulars"]


def regulars(folder, *words, **settings):
    environment = {**os.environ, "REGULARS_FOLDER": str(folder), **settings}
    return subprocess.run([*COMMAND, *words], env=environment, capture_output=True, text=True, check=False, timeout=240)


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
    assert {tuple(service) for service in found["services"].values()} == {("url", "healthy", "reasons")}
    assert all(service["reasons"] == ["it does not run"] for service in found["services"].values())
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
    assert all(service["healthy"] and service["reasons"] == [] for service in found["services"].values())


@pytest.mark.journeys
async def test_status_says_why_a_service_is_not_healthy(stack):
    admin = await asyncpg.connect(stack.admin_database_url("regulars_fraud_block"))
    stack.stop("wallet")
    try:
        await admin.execute("UPDATE migration SET name = name || '-renamed'")
        found = json.loads(regulars(stack.places.folder, "status", "--json").stdout)["services"]
        shown = " ".join(regulars(stack.places.folder, "status").stdout.split())  # a table wraps
    finally:
        await admin.execute("UPDATE migration SET name = replace(name, '-renamed', '')")
        await admin.close()
        stack.start("wallet")
    assert not found["fraud-block"]["healthy"]
    assert all(re.fullmatch("migration .+ is missing", reason) for reason in found["fraud-block"]["reasons"])
    assert f"no: {'; '.join(found['fraud-block']['reasons'])}" in shown
    assert found["wallet"]["reasons"] == ["it does not run"]
    assert found["customers"]["healthy"]


@pytest.mark.parametrize(
    ("body", "reasons"),
    [
        ({"ready": False, "reasons": ["shutting down", "no topics"]}, ["shutting down", "no topics"]),
        ("away", ["/readyz answers with status 503"]),
        ({"reasons": []}, ["/readyz answers with status 503"]),
    ],
)
def test_the_reasons_are_the_services_own(body, reasons):
    class Unready(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(503)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Unready) as server:
        threading.Thread(target=server.handle_request).start()
        assert waiting.reasons(f"http://127.0.0.1:{server.server_port}") == reasons


def test_nothing_that_answers_is_a_reason():
    assert waiting.reasons("http://127.0.0.1:1") == ["nothing answers ([Errno 111] Connection refused)"]


@pytest.mark.journeys
def test_a_killed_service_comes_back(stack):
    pid = stack.pid("fraud-block")
    stack.kill("fraud-block")
    stack.wait_ready("fraud-block")
    assert stack.pid("fraud-block") != pid


@pytest.mark.parametrize("endings", [[signal.SIGINT], [signal.SIGTERM], [signal.SIGINT] * 2])
def test_an_interrupted_start_says_so_and_leaves_nothing_running(folder, endings):
    """Also to somebody who is impatient: a second Ctrl-C does not cut the stopping short."""
    environment = {
        **os.environ,
        "REGULARS_FOLDER": str(folder),
        "REGULARS_PORT_BASE": str(ports.free()["gateway"]),
    }
    with subprocess.Popen(
        [*COMMAND, "up"], env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as start:
        first = start.stderr.readline()
        for ending in endings:
            start.send_signal(ending)
            time.sleep(0.05)
        said = start.communicate(timeout=200)[1]
    assert start.returncode == 130
    assert "answers on port" in first
    assert said.endswith("The start of the stack was interrupted: nothing of it runs any more.\n")
    assert "Traceback" not in said
    assert [process for process in psutil.process_iter() if supervision._is_ours(process, places.lay_out(folder))] == []
