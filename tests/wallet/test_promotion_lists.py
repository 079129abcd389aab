"""The lists of promotions: what is taken in, and what is shown to whom."""

import pytest
from giving import NEVER_MINTED, PROMOTIONS
from paging import listed
from serving import merchant

from chassis import ids
from chassis.db import Conn
from contracts.ids import CUSTOMER
from gateway.routes import TABLE
from wallet.api.promotions import start_promotion


@pytest.fixture
def statements(monkeypatch):
    """What is asked of the database from now on."""
    seen = []

    def seeing(run):
        async def statement(self, sql, *args):
            seen.append(sql)
            return await run(self, sql, *args)

        return statement

    for name in ("rows", "row", "value", "execute", "executemany"):
        monkeypatch.setattr(Conn, name, seeing(getattr(Conn, name)))
    return seen


async def test_a_hundred_thousand_customers_are_taken_in_at_once(promoter, statements):
    """In no more statements than one customer: some three seconds where nobody else is at work."""
    asked = []
    for count in (1, 1, 100_000):  # the very first also asks what the store is
        statements.clear()
        reply = await promoter.start([ids.new(CUSTOMER) for _ in range(count)], amount=1)
        assert (reply.status, reply.data["total"]) == (201, count)
        asked.append([*statements])
    assert asked[2] == asked[1] != []
    await promoter.client.post(f"{PROMOTIONS}/{reply.data['id']}/cancel")


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"amount": 0}, "/amount", "amount_not_positive"),
        ({"amount": -5}, "/amount", "amount_not_positive"),
        ({"amount": 1.005}, "/amount", "amount_precision"),
        ({"amount": 5_000_000_000_000}, "/amount", "amount_range"),
        ({"customer_ids": []}, "/customer_ids", "too_short"),
        ({"customer_ids": [7] * 100}, "/customer_ids/0", "string_type"),
        ({"customer_ids": [NEVER_MINTED, "cus_1"]}, "/customer_ids/1", "customer_id_format"),
        ({"customer_ids": [f"{NEVER_MINTED}\n"]}, "/customer_ids/0", "customer_id_format"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at", "expires_at_past"),
        ({"expires_at": "9999-12-31T23:59:59.999999Z"}, "/expires_at", "datetime_range"),
        ({"reason": "Not a code"}, "/reason", "string_pattern_mismatch"),
        ({"status": "FINISHED"}, "/status", "extra_forbidden"),
    ],
    ids=str,
)
async def test_what_is_no_promotion_changes_nothing(promoter, body, pointer, code):
    reply = await promoter.start(**{"customer_ids": [NEVER_MINTED, f"{NEVER_MINTED[:-1]}s"]} | body, key="reused")
    assert reply.status == 422
    assert (reply.json["errors"][0]["pointer"], reply.json["errors"][0]["code"]) == (pointer, code)
    assert (await promoter.client.get(PROMOTIONS)).data == []
    assert (await promoter.start([NEVER_MINTED], key="reused")).status == 201


async def test_of_many_malformed_ids_the_first_few_are_named(promoter):
    reply = await promoter.start(["nobody"] * 100_000)
    assert [flaw["pointer"] for flaw in reply.json["errors"]] == [f"/customer_ids/{i}" for i in range(5)]


async def test_a_list_has_an_end(promoter):
    reply = await promoter.start([NEVER_MINTED] * 100_001)
    assert (reply.status, reply.json["errors"][0]["code"]) == (422, "too_long")


def test_a_body_is_as_large_as_the_gateway_passes_on():
    assert {route.body_bytes for route in TABLE if route.path == PROMOTIONS} == {start_promotion.__policy__.max_body}


async def test_lists_are_paged(promoter):
    customers = await promoter.customers(3)
    made = [await promoter.started(customers) for _ in range(3)]
    await promoter.give()
    for path, name, expected in (
        (f"{PROMOTIONS}?limit=2", "id", made[::-1]),
        (f"{PROMOTIONS}/{made[0]}/recipients?limit=2", "customer_id", sorted(customers)),
        (f"{PROMOTIONS}/{made[0]}/recipients?status=GRANTED&limit=2", "customer_id", sorted(customers)),
    ):
        assert await listed(promoter.client, path, name) == expected


async def test_another_store_knows_nothing_of_it(promoter, new_store):
    promotion_id = await promoter.started(await promoter.customers(1))
    stranger = promoter.client.as_(merchant(await new_store()))
    for reply in (
        await stranger.get(f"{PROMOTIONS}/{promotion_id}"),
        await stranger.get(f"{PROMOTIONS}/{promotion_id}/recipients"),
        await stranger.post(f"{PROMOTIONS}/{promotion_id}/cancel"),
        await stranger.get(f"{PROMOTIONS}/nothing%00"),
    ):
        assert (reply.status, reply.code) == (404, "not_found")
    assert (await stranger.get(PROMOTIONS)).data == []
    await promoter.give()
    assert len(await promoter.entries()) == 1
