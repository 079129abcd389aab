"""Lists of commissions and claims: an affiliate's own, the store's for staff, and those as tables (features A4, A8)."""

import asyncio
import base64
import csv
import io
import json
import re
from datetime import UTC, datetime

import pytest
from serving import merchant, new_store

from affiliates import consumers
from chassis import ids
from contracts.fraud import Decision, ScreeningDecided
from contracts.ids import ORDER, RULE, SCREENING

ADDRESS = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"
ETHEREUM = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
COMMISSIONS = "/dev/v1/affiliates/commissions"
CLAIMS = "/dev/v1/affiliates/claims"


async def act(shop, commission, verb, **body):
    path = f"{COMMISSIONS}/{commission['id']}/{verb}"
    assert (await shop.client.post(path, body or None, key=ids.new("key"))).status == 200


async def request(shop, customer, amount, **more):
    """A payout that is asked for."""
    body = {"amount": amount, "asset": "USDT", "network": "tron", "address": ADDRESS} | more
    path = f"/dev/v1/customers/{customer}/affiliate/payout-requests"
    reply = await shop.client.post(path, body, key=ids.new("key"))
    assert reply.status == 201, reply.body
    return reply.data["claim_id"]


async def listed(shop, path):
    """All of a list, two at a time: every page but the last is full."""
    separator, rows, cursor = "&" if "?" in path else "?", [], ""
    while cursor is not None:
        page = (await shop.client.get(f"{path}{separator}limit=2&cursor={cursor}".removesuffix("&cursor="))).json
        assert len(page["data"]) == 2 or not page["has_more"]
        rows, cursor = rows + page["data"], page["next_cursor"]
    return rows


@pytest.fixture
async def store(shop):
    """`ann` and `bob`: five commissions of hers in five states, one of his, one that is nobody's."""
    shop.ann, shop.bob = await shop.enrol("ann-1"), await shop.enrol("bob-1")
    shop.orders = {name: await shop.order(code="ann-1") for name in ("payable", "held", "denied")}
    by_order = {each["order_id"]: each for each in await listed(shop, COMMISSIONS)}
    await act(shop, by_order[shop.orders["held"].order_id], "hold")
    await act(shop, by_order[shop.orders["denied"].order_id], "deny", reason="terms")
    await shop.program(waiting_days=14)
    shop.orders["pending"] = await shop.order(code="ann-1")
    shop.orders["declined"] = await shop.order(code="ann-1", customer_id=shop.ann)
    shop.orders["bob"] = await shop.order(code="bob-1", first_completed_at=datetime(2999, 1, 1, tzinfo=UTC))
    shop.orders["nobody"] = await shop.order(code="=typo")
    shop.orders["typo"] = await shop.order(code="typo")
    return shop


def names(store, rows):
    """Which orders these commissions are of."""
    by_id = {order.order_id: name for name, order in store.orders.items()}
    return [by_id[row["order_id"]] for row in rows]


async def test_an_affiliate_sees_their_commissions_newest_first_but_declined_ones(store):
    path = f"/dev/v1/customers/{store.ann}/affiliate/commissions"
    rows = await listed(store, path)
    assert names(store, rows) == ["pending", "denied", "held", "payable"]
    summary = await store.summary(store.ann)
    assert rows == summary["commissions"]
    for status in ("pending", "denied", "held", "payable"):
        assert names(store, await listed(store, f"{path}?status={status}")) == [status]
    assert (await store.client.get(f"{path}?status=declined")).status == 422


@pytest.mark.parametrize("kind", ["commissions", "claims"])
async def test_a_cursor_opens_the_list_of_no_other_affiliate_and_of_no_other_store(store, kind):
    for _ in range(2):
        await request(store, store.ann, 1)
    mine, theirs = (f"/dev/v1/customers/{each}/affiliate/{kind}" for each in (store.ann, store.bob))
    cursor = (await store.client.get(f"{mine}?limit=1")).json["next_cursor"]
    reply = await store.client.get(f"{theirs}?cursor={cursor}")
    assert (reply.status, reply.code) == (400, "invalid_cursor")
    everybodys = f"/dev/v1/affiliates/{kind}"
    cursor = (await store.client.get(f"{everybodys}?limit=1")).json["next_cursor"]
    stranger = store.client.as_(merchant(new_store()))
    assert (await stranger.get(f"{everybodys}?cursor={cursor}")).code == "invalid_cursor"


async def test_an_affiliate_sees_how_a_commission_came_about(store, later):
    (held,) = await listed(store, f"/dev/v1/customers/{store.ann}/affiliate/commissions?status=held")
    path = f"/dev/v1/customers/{store.ann}/affiliate/commissions/{held['id']}"
    shown = (await store.client.get(path)).data
    assert shown.items() >= held.items()
    assert shown["rule"] == "last_click.v1"
    assert shown["touches"] == [{"code": "ann-1", "kind": "order", "at": None, "outcome": "won"}]
    assert [{**move, "at": ""} for move in shown["history"]] == [
        {"at": "", "kind": "earned", "from": "program", "to": "available", "amount": 10},
        {"at": "", "kind": "held", "from": "available", "to": "pending", "amount": 10},
    ]


async def test_what_is_not_an_affiliates_they_do_not_see(store):
    seen = names(store, rows := await listed(store, COMMISSIONS))
    mine = f"/dev/v1/customers/{store.ann}/affiliate/commissions"
    for name in ("bob", "typo", "declined"):
        assert (await store.client.get(f"{mine}/{rows[seen.index(name)]['id']}")).code == "not_found"
    for bad in ("com_1", ids.new("com")):
        assert (await store.client.get(f"{mine}/{bad}")).code == "not_found"


async def test_staff_see_every_commission_newest_first(store):
    rows = await listed(store, COMMISSIONS)
    assert names(store, rows) == ["bob", "typo", "declined", "pending", "denied", "held", "payable"]
    shown = dict(zip(names(store, rows), rows, strict=True))
    assert (shown["typo"]["status"], shown["typo"]["reason"], shown["typo"]["customer_id"]) == (
        "declined",
        "unknown_code",
        None,
    )
    declined = shown["declined"]
    assert (declined["reason"], declined["buyer_id"], declined["base"]) == ("own_purchase", store.ann, 100)
    assert (shown["bob"]["customer_id"], shown["bob"]["revenue"], shown["bob"]["order_currency"]) == (
        store.bob,
        100,
        "EUR",
    )
    one = (await store.client.get(f"{COMMISSIONS}/{declined['id']}")).data
    assert one.items() >= declined.items()
    assert (one["history"], one["touches"][0]["code"]) == ([], "ann-1")


async def test_a_list_goes_by_when_orders_were_completed_not_by_when_they_were_heard_of(shop):
    """Several at one instant follow each other by their ids: none is left out, and none is told twice."""
    customer = await shop.enrol()
    instants = [datetime(2999, 1, day, 12, microsecond=day, tzinfo=UTC) for day in (2, 3, 1, 2, 2)]
    orders = [await shop.order(first_completed_at=at) for at in instants]
    newest_first = [orders[number].order_id for number in (1, 4, 3, 0, 2)]
    for path in (COMMISSIONS, f"{COMMISSIONS}?code=creator123", f"/dev/v1/customers/{customer}/affiliate/commissions"):
        assert [row["order_id"] for row in await listed(shop, path)] == newest_first
    assert [row["order_id"] for row in await table(shop, f"{COMMISSIONS}.csv?limit=2")] == newest_first
    assert [row["order_id"] for row in (await shop.summary(customer))["commissions"]] == newest_first


async def test_staff_look_for_commissions(store):
    ann, stranger, order = store.ann, await store.customer(), store.orders["held"].order_id
    found = {
        "": ["bob", "typo", "declined", "pending", "denied", "held", "payable"],
        "status=declined": ["typo", "declined"],
        "status=held": ["held"],
        f"customer_id={ann}": ["declined", "pending", "denied", "held", "payable"],
        f"customer_id={ann}&status=payable": ["payable"],
        f"customer_id={stranger}": [],
        "code=BOB-1": ["bob"],
        "code=typo": ["typo"],
        f"order_id={order}": ["held"],
        "from=2998-12-31T00:00:00Z": ["bob"],
        "from=2999-01-01T00:00:00Z&to=2999-01-01T00:00:01Z": ["bob"],
        "to=2999-01-01T00:00:00Z&code=bob-1": [],
    }
    for query, expected in found.items():
        rows = (await store.client.get(f"{COMMISSIONS}?{query}")).data
        assert names(store, rows) == expected
        assert [row["id"] for row in await table(store, f"{COMMISSIONS}.csv?{query}")] == [row["id"] for row in rows]


async def test_staff_see_what_fraud_block_said_of_an_order_and_by_which_rules(shop):
    await shop.enrol()
    order = shop.new_order()
    rules = (ids.new(RULE), ids.new(RULE))
    given = {"screening_id": ids.new(SCREENING), "subject": order.order_id, "decision": Decision.BLOCK}
    await shop.hear(consumers.on_screening_decided, ScreeningDecided(store_id=shop.store_id, rule_ids=rules, **given))
    await shop.complete(order)
    (held,) = await listed(shop, f"{COMMISSIONS}?status=held")
    assert (held["reason"], held["verdict"], held["rule_ids"]) == ("fraud", "block", list(rules))
    assert (await shop.client.get(f"{COMMISSIONS}/{held['id']}")).data["verdict"] == "block"
    (row,) = await table(shop, f"{COMMISSIONS}.csv")
    assert (row["verdict"], row["rule_ids"]) == ("block", " ".join(rules))


@pytest.mark.parametrize("path", [COMMISSIONS, CLAIMS, f"{COMMISSIONS}.csv", f"{CLAIMS}.csv"])
async def test_what_nobody_can_look_for_is_refused(shop, path):
    for query in (
        "status=gone",
        "customer_id=x",
        "from=yesterday",
        "from=2999-01-02T00:00:00Z&to=2999-01-01T00:00:00Z",
        "limit=0",
        "limit=10001",
    ):
        assert (await shop.client.get(f"{path}?{query}")).code == "invalid"


async def test_a_cursor_is_good_for_its_own_list_only(store):
    cursor = (await store.client.get(f"{COMMISSIONS}?limit=2")).json["next_cursor"]
    theirs = f"/dev/v1/customers/{store.ann}/affiliate"
    for path in (f"{COMMISSIONS}?status=held", CLAIMS, f"{theirs}/commissions", f"{theirs}/claims"):
        separator = "&" if "?" in path else "?"
        assert (await store.client.get(f"{path}{separator}cursor={cursor}")).code == "invalid_cursor"


AT = "2999-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    "keys", [[], [AT], [AT, "com_1"], [7, ids.new("comm")], ["9", ids.new("comm")], [ids.new("comm"), AT], {}]
)
async def test_a_cursor_that_a_caller_made_up_is_refused(store, keys):
    cursor = (await store.client.get(f"{COMMISSIONS}?limit=2")).json["next_cursor"]
    mark, ours = json.loads(base64.urlsafe_b64decode(cursor))
    assert len(ours) == 2
    forged = base64.urlsafe_b64encode(json.dumps([mark, keys]).encode()).decode()
    reply = await store.client.get(f"{COMMISSIONS}?cursor={forged}")
    assert (reply.status, reply.code) == (400, "invalid_cursor")


@pytest.fixture
async def claims(shop):
    """Payouts of `ann` and `bob`, and a conversion of hers that the wallet has taken; the oldest first."""
    shop.ann, shop.bob = await shop.enrol("ann-1"), await shop.enrol("bob-1")
    await shop.complete(shop.new_order(code="ann-1", base=100_000), shop.new_order(code="bob-1", base=100_000))
    shop.ids = [
        await request(shop, shop.ann, 10),
        await request(shop, shop.bob, 20),
        await request(shop, shop.ann, 5, asset="ETH", network="ethereum", address=ETHEREUM, note="=1+1"),
    ]
    await asyncio.gather(shop.convert(shop.ann, 7.5), shop.answer())
    shop.ids.append((await shop.requests())[0].claim_id)
    await shop.client.post(f"/dev/v1/affiliates/payouts/{shop.ids[1]}/approve")
    return shop


async def test_staff_see_every_claim_newest_first(claims):
    rows = await listed(claims, CLAIMS)
    assert [row["claim_id"] for row in rows] == claims.ids[::-1]
    converted, alone, shared, _ = rows
    assert (converted["type"], converted["status"], converted["amount"]) == ("conversion", "COMPLETED", 7.5)
    assert (converted["address_shared_with"], alone["address_shared_with"], shared["address_shared_with"]) == (0, 0, 1)
    assert (shared["customer_id"], shared["status"]) == (claims.bob, "APPROVED")
    assert (shared["approvals"], alone["approvals"]) == (["merchant:key_test"], [])


async def test_staff_look_for_claims(claims):
    found = {
        "type=payout": [2, 1, 0],
        "type=conversion": [3],
        "status=PENDING": [2, 0],
        "status=APPROVED&type=payout": [1],
        "asset=usdt": [1, 0],
        "network=Ethereum": [2],
        f"customer_id={claims.ann}": [3, 2, 0],
        "from=2020-01-01T00:00:00Z": [3, 2, 1, 0],
        "to=2020-01-01T00:00:00Z": [],
    }
    for query, expected in found.items():
        rows = (await claims.client.get(f"{CLAIMS}?{query}")).data
        assert [claims.ids.index(row["claim_id"]) for row in rows] == expected
        as_table = await table(claims, f"{CLAIMS}.csv?{query}")
        assert [claims.ids.index(row["claim_id"]) for row in as_table] == expected


async def test_an_affiliate_sees_their_claims_newest_first(claims):
    path = f"/dev/v1/customers/{claims.ann}/affiliate/claims"
    rows = await listed(claims, path)
    assert [claims.ids.index(row["claim_id"]) for row in rows] == [3, 2, 0]
    assert rows == (await claims.summary(claims.ann))["claims"]
    assert [claims.ids.index(row["claim_id"]) for row in await listed(claims, f"{path}?type=payout")] == [2, 0]
    assert await listed(claims, f"{path}?status=FAILED") == []


async def table(shop, path):
    """All of a table, each part by the Link header of the one before."""
    rows = []
    while path:
        reply = await shop.client.get(path)
        assert (reply.status, reply.headers["content-type"]) == (200, "text/csv; charset=utf-8"), reply.body
        rows += csv.DictReader(io.StringIO(reply.body.decode(), newline=""))
        link = reply.headers.get("link")
        path = link and re.fullmatch('<(/.*)>; rel="next"', link)[1]
    return rows


async def test_a_table_is_read_part_by_part(store):
    whole = await table(store, f"{COMMISSIONS}.csv")
    assert len(whole) == 7
    for limit in (1, 2, 7):
        assert await table(store, f"{COMMISSIONS}.csv?limit={limit}") == whole
    assert await table(
        store, f"{COMMISSIONS}.csv?customer_id={store.ann}&limit=2&to=2998-01-01T00%3A00%3A00%2B00%3A00"
    ) == [row for row in whole if row["code"] == "ann-1"]


async def test_a_part_is_read_slice_by_slice(store, monkeypatch):
    whole = (await store.client.get(f"{COMMISSIONS}.csv")).body
    monkeypatch.setattr("affiliates.api.tables._SLICE", 2)
    assert (await store.client.get(f"{COMMISSIONS}.csv")).body == whole
    part = await store.client.get(f"{COMMISSIONS}.csv?limit=3")
    assert (part.body, "link" in part.headers) == (b"\r\n".join(whole.split(b"\r\n")[:4]) + b"\r\n", True)


async def test_a_table_of_nothing_has_its_columns(shop):
    reply = await shop.client.get(f"{CLAIMS}.csv")
    assert reply.body.startswith(b"claim_id,type,status,amount,currency,")
    assert (reply.body.count(b"\r\n"), "link" in reply.headers) == (1, False)
    assert reply.headers["content-disposition"] == "attachment; filename=claims.csv"


async def test_no_spreadsheet_takes_a_text_for_a_formula(shop):
    customer = await shop.enrol()
    await shop.order(base=500_000)
    cells = {
        "=cmd|'/C calc'!A0": "'=cmd|'/C calc'!A0",
        "+49 30 1": "'+49 30 1",
        "-1+2": "'-1+2",
        "@SUM(A1)": "'@SUM(A1)",
        "\t=1": "'\t=1",
        "\r=1": "'\r=1",
        "\uff1d1": "'\uff1d1",
        **{hidden + "=1": f"'{hidden}=1" for hidden in ("  ", "\u00a0", "\u200b", "\ufeff", "\x0b", "\ufeff \u200b")},
        " a = b": " a = b",
        "-12.5": "-12.5",
        'say "hi", and\nbye': 'say "hi", and\nbye',
    }
    for note in cells:
        await request(shop, customer, 7.5, note=note)
    rows = await table(shop, f"{CLAIMS}.csv")
    assert [row["note"] for row in reversed(rows)] == list(cells.values())
    assert {(row["amount"], row["new_balance"]) for row in rows} == {("7.5", "")}


async def test_another_store_sees_nothing(store):
    other = type(store)(store.client.as_(merchant(new_store())), "")
    for path in (COMMISSIONS, CLAIMS):
        assert await listed(other, path) == await table(other, f"{path}.csv") == []
    order_id = store.orders["held"].order_id
    assert await listed(other, f"{COMMISSIONS}?order_id={order_id}") == []
    assert (await other.client.get(f"{COMMISSIONS}?order_id={ids.new(ORDER)}")).data == []


@pytest.mark.parametrize("path", [COMMISSIONS, CLAIMS, f"{COMMISSIONS}.csv", f"{CLAIMS}.csv"])
async def test_only_staff_see_the_lists_of_the_store(shop, path):
    portal = shop.client.as_(merchant(shop.store_id, {"customers.read", "customers.write"}))
    assert (await portal.get(path)).code == "insufficient_scope"


@pytest.mark.parametrize(
    "query", ["commissions?code=%00", "claims?asset=%00", "claims?network=%00", "commissions.csv?code=a%00"]
)
async def test_a_nul_in_a_filter_is_refused(shop, query):
    reply = await shop.client.get(f"/dev/v1/affiliates/{query}")
    assert (reply.status, reply.code) == (422, "invalid")
