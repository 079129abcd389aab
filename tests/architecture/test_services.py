"""Each service stands alone, and each of its routes says who may call it."""

import importlib
import subprocess
from pathlib import Path

import pytest

from chassis.http import Endpoint
from chassis.service import Service

ROOT = Path(__file__).parents[2]
SERVICES = ["customers", "wallet", "affiliates", "fraud-block", "carts"]


def built(name: str) -> Service:
    return importlib.import_module(f"{name.replace('-', '_')}.main").service


@pytest.mark.parametrize("name", SERVICES)
def test_every_route_has_a_policy(name):
    routes = built(name).api.routes
    assert routes
    assert all(isinstance(route, Endpoint) and route.policy for route in routes)


@pytest.mark.parametrize("name", SERVICES)
def test_every_post_that_moves_money_or_makes_an_order_needs_a_key(name):
    moving = ("adjustments", "convert-to-balance", "checkout", "payment-sessions")
    posts = [route for route in built(name).api.routes if "POST" in route.methods]
    assert [r.path for r in posts if r.path.endswith(moving) and r.policy.key != "required"] == []


@pytest.mark.parametrize("name", [*SERVICES, "gateway"])
def test_a_service_needs_nothing_but_what_it_declares(name):
    module = name.replace("-", "_")
    run = [
        "uv",
        "run",
        "--isolated",
        "--no-dev",
        "--package",
        f"regulars-{name}",
        "python",
        "-c",
        f"import {module}.main",
    ]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("name", SERVICES)
def test_the_entry_file_is_short(name):
    source = ROOT / "services" / name / "src" / name.replace("-", "_") / "main.py"
    assert len(source.read_text().splitlines()) < 20
