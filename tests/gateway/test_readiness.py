"""What the gateway says of itself."""

import json

import asyncpg
import pytest

from chassis.service import build
from gateway import assembly, scopes
from gateway.routes import TABLE


async def test_alive_asks_nothing(world):
    assert (await world.call("GET", "/livez", key=None)).status == 200


async def test_ready_names_the_services_that_are_not(world):
    reply = await world.call("GET", "/readyz", key=None)
    told = json.loads(reply.body)
    assert (reply.status, told["ready"]) == (200, True)
    assert set(told["upstreams_not_ready"]) == {"fraud-block", "wallet"}


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
async def test_a_probe_is_read_and_nothing_else(world, path):
    head = await world.call("HEAD", path, key=None)
    assert (head.status, head.body) == (200, b"")
    reply = await world.call("POST", path, key=None)
    assert (reply.status, reply.code, reply.headers["allow"]) == (405, "method_not_allowed", "GET, HEAD")


async def test_not_ready_without_its_own_database(world):
    admin = await asyncpg.connect(world.database.admin_url)
    try:
        await admin.execute("REVOKE SELECT ON migration FROM gateway_api")
        reply = await world.call("GET", "/readyz", key=None)
    finally:
        await admin.execute("GRANT SELECT ON migration TO gateway_api")
        await admin.close()
    told = json.loads(reply.body)
    assert (reply.status, told["ready"]) == (503, False)
    assert told["reasons"] != []


async def test_a_gateway_that_lacks_a_service_does_not_start(world):
    settings = world.runtime.settings.model_copy(update={"upstreams": {"carts": "http://127.0.0.1:1"}})
    lacking = build("gateway", settings=type(settings), known_customers=False, wrap=assembly.at_the_edge)
    with pytest.raises(ValueError, match="affiliates, customers, fraud-block, wallet"):
        async with lacking.running(settings, "api"):
            pass


def test_every_scope_is_a_noun_and_a_verb():
    assert len(scopes.EVERY) == len(set(scopes.EVERY)) == 18
    assert all(scope.split(".")[1] in {"read", "write"} for scope in scopes.EVERY)
    assert {route.service for route in TABLE} == {"affiliates", "carts", "customers", "fraud-block", "wallet"}
