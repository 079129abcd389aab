"""Gift codes: made and shown once, redeemed for credit, void or over."""

from datetime import UTC, datetime, timedelta

import pytest
from giving import GIFT_CODES
from paging import listed
from serving import merchant

from chassis import clock


async def test_codes_are_made_and_shown_once(issuer):
    reply = await issuer.make(3, 12.5, reason="xmas", note="for friends", redeem_until="2099-01-01T00:00:00Z")
    assert reply.status == 201
    codes = reply.data["codes"]
    assert reply.data == {
        "id": reply.data["id"],
        "amount": 12.5,
        "currency": "EUR",
        "redeem_until": "2099-01-01T00:00:00Z",
        "credit_expiry_days": None,
        "reason": "xmas",
        "note": "for friends",
        "created_at": reply.data["created_at"],
        "codes": codes,
    }
    assert reply.data["id"].startswith("gifts_")
    assert len({its["code"] for its in codes}) == 3
    shown = await issuer.client.get(f"{GIFT_CODES}?batch_id={reply.data['id']}")
    assert [its["id"] for its in shown.data] == sorted((its["id"] for its in codes), reverse=True)
    for its in codes:
        assert its["code"].encode() not in shown.body
        assert its["code"][-4:] == (await issuer.of(its["id"]))["last4"]


async def test_a_thousand_codes_are_made_once_under_one_key(issuer):
    first, again = [await issuer.make(1000, key="thousand") for _ in range(2)]
    assert first.status == 201
    assert first.body == again.body
    assert await issuer.rows("SELECT count(*), count(DISTINCT hash) FROM gift_code WHERE store_id = $1") == [
        (1000, 1000)
    ]


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"count": 0}, "/count", "greater_than_equal"),
        ({"count": 1001}, "/count", "less_than_equal"),
        ({"count": "3"}, "/count", "int_type"),
        ({"amount": 0}, "/amount", "amount_not_positive"),
        ({"amount": -1}, "/amount", "amount_not_positive"),
        ({"amount": 1.005}, "/amount", "amount_precision"),
        ({"amount": 5_000_000_000_000, "count": 2}, "/amount", "amount_range"),
        ({"redeem_until": "2020-01-01T00:00:00Z"}, "/redeem_until", "redeem_until_past"),
        ({"redeem_until": "2099-01-01T00:00:00"}, "/redeem_until", "timezone_aware"),
        ({"redeem_until": "9999-12-31T23:59:59.999999Z"}, "/redeem_until", "datetime_range"),
        ({"credit_expiry_days": 0}, "/credit_expiry_days", "greater_than_equal"),
        ({"codes": ["mine"]}, "/codes", "extra_forbidden"),
    ],
    ids=str,
)
async def test_what_is_no_batch_changes_nothing(issuer, body, pointer, code):
    reply = await issuer.make(**body, key="reused")
    assert (reply.status, reply.json["errors"][0]["pointer"], reply.json["errors"][0]["code"]) == (422, pointer, code)
    assert (await issuer.client.get(GIFT_CODES)).data == []
    assert (await issuer.make(key="reused")).status == 201


async def test_no_table_but_the_reply_kept_under_its_key_holds_a_code(issuer):
    _, code = await issuer.code()
    for spelling in (code, code.replace("-", "")):
        for table in ("gift_code", "gift_batch", "entry", "outbox"):
            async with issuer.worker.transaction() as conn:
                rows = await conn.rows(f"SELECT t::text FROM {table} t WHERE store_id = $1", issuer.store_id)
            assert not [row for row in rows if spelling in row[0]]


async def test_a_code_becomes_credit(issuer):
    customer, (gift_id, code) = await issuer.customer(), await issuer.code(amount=7.5, reason="xmas", note="for you")
    reply = await issuer.redeem(customer, code.lower().replace("-", " "))
    its = reply.data
    assert (reply.status, its["type"], its["amount"], its["balance"], its["note"]) == (
        201,
        "CREDIT",
        7.5,
        7.5,
        "for you",
    )
    assert its["cause"] == {"kind": "gift_code", "id": gift_id}
    assert its["reason"] == "xmas"
    assert (await issuer.client.get(f"/dev/v1/customers/{customer}/wallet/transactions")).data == [its]
    shown = await issuer.of(gift_id)
    assert (shown["status"], shown["redeemed_by"], shown["transaction_id"]) == ("REDEEMED", customer, its["id"])
    assert shown["redeemed_at"] == its["created_at"]


async def test_a_redemption_that_comes_again_under_its_key_is_answered_again(issuer):
    customer, (_, code) = await issuer.customer(), await issuer.code()
    first, again = [await issuer.redeem(customer, code, key="once") for _ in range(2)]
    assert (first.status, first.body) == (again.status, again.body) == (201, first.body)
    assert again.headers["idempotent-replayed"] == "true"
    assert await issuer.balance(customer) == 5


@pytest.mark.parametrize(("given", "days"), [({}, 30), ({"credit_expiry_days": None}, None), ({"credit_expiry_days": 7}, 7)])  # fmt: skip
async def test_the_credit_lasts_as_long_as_the_batch_says_or_else_the_store(issuer, terms, given, days):
    await terms(days=30)
    reply = await issuer.make(**given)
    assert reply.data["credit_expiry_days"] == days
    its = (await issuer.redeem(await issuer.customer(), reply.data["codes"][0]["code"])).data
    if days is None:
        assert its["expires_at"] is None
    else:
        lasts = datetime.fromisoformat(its["expires_at"]) - datetime.fromisoformat(its["created_at"])
        assert abs(lasts - timedelta(days=days)) < timedelta(minutes=1)


async def test_a_code_is_void_for_ever_unless_it_was_redeemed(issuer):
    (void_id, void), (redeemed_id, redeemed) = await issuer.code(), await issuer.code()
    await issuer.redeem(await issuer.customer(), redeemed)
    for gift_id, status in ((void_id, "VOID"), (redeemed_id, "REDEEMED")):
        first, again = [await issuer.client.post(f"{GIFT_CODES}/{gift_id}/void") for _ in range(2)]
        assert (first.status, first.data["status"], again.data) == (200, status, first.data)
    assert (await issuer.redeem(await issuer.customer(), void)).code == "gift_code_invalid"


async def test_a_batch_is_void_but_for_what_was_redeemed(issuer):
    made = (await issuer.make(3)).data
    await issuer.redeem(await issuer.customer(), made["codes"][1]["code"])
    path = f"/dev/v1/wallet/gift-code-batches/{made['id']}/void"
    first, again = [await issuer.client.post(path) for _ in range(2)]
    assert first.data == again.data == {"id": made["id"], "voided": 2, "redeemed": 1}


async def test_codes_are_listed_by_where_they_stand(issuer, monkeypatch):
    made = [(await issuer.code())[0] for _ in range(2)]
    void_id, (redeemed_id, redeemed) = (await issuer.code())[0], await issuer.code()
    over_id, _ = await issuer.code(redeem_until=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    await issuer.client.post(f"{GIFT_CODES}/{void_id}/void")
    await issuer.redeem(await issuer.customer(), redeemed)
    monkeypatch.setattr(clock, "now", lambda: datetime.now(UTC) + timedelta(hours=2))
    expected = {"ACTIVE": made[::-1], "VOID": [void_id], "REDEEMED": [redeemed_id], "EXPIRED": [over_id]}
    for status, gift_ids in expected.items():
        page = await issuer.client.get(f"{GIFT_CODES}?status={status}")
        assert [(its["id"], its["status"]) for its in page.data] == [(gift_id, status) for gift_id in gift_ids]
    every = sorted([*made, void_id, redeemed_id, over_id], reverse=True)
    assert await listed(issuer.client, f"{GIFT_CODES}?limit=2", "id") == every


async def test_another_store_knows_none_of_it(issuer, new_store):
    made = (await issuer.make()).data
    stranger = issuer.client.as_(merchant(await new_store()))
    for path in (
        f"{GIFT_CODES}/{made['codes'][0]['id']}/void",
        f"/dev/v1/wallet/gift-code-batches/{made['id']}/void",
        f"{GIFT_CODES}/nothing%00/void",
    ):
        reply = await stranger.post(path)
        assert (reply.status, reply.code) == (404, "not_found")
    assert (
        (await stranger.get(GIFT_CODES)).data == (await stranger.get(f"{GIFT_CODES}?batch_id={made['id']}")).data == []
    )
    assert (await issuer.of(made["codes"][0]["id"]))["status"] == "ACTIVE"
