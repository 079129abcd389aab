"""A store's settings of credit over HTTP, and two who change them at once."""

import asyncio

import pytest
from serving import merchant

from contracts.wallet import EntryType, SettingsChanged
from wallet import store_terms
from wallet.postings import Post, Refused

PATH = "/dev/v1/wallet/settings"
DEFAULTS = {
    "refunds_as_credit": True,
    "default_expiry_days": None,
    "balance_cap": None,
    "promo_over_cap": "clip",
    "reminder_days": 7,
    "version": 0,
}


@pytest.fixture
def change(store):
    async def changed(**fields):
        return await store.call("PATCH", PATH, fields)

    return changed


@pytest.fixture
def told(worker, ledger):
    """What was announced of the store's settings, in order."""

    async def announced():
        async with worker.transaction() as conn:
            rows = await conn.rows(
                "SELECT payload FROM outbox WHERE store_id = $1 AND type = 'wallet.settings_changed' ORDER BY seq",
                ledger.store_id,
            )
        return [SettingsChanged.parse(ledger.store_id, row["payload"]) for row in rows]

    return announced


async def test_a_store_that_decided_nothing_has_the_defaults(store):
    assert (await store.get(PATH)).data == DEFAULTS


async def test_a_change_touches_only_what_is_sent_and_is_told(store, change, told):
    first = await change(balance_cap=250.5, default_expiry_days=365)
    assert (first.status, first.data) == (
        200,
        DEFAULTS | {"balance_cap": 250.5, "default_expiry_days": 365, "version": 1},
    )
    second = await change(refunds_as_credit=False, promo_over_cap="refuse", reminder_days=14)
    assert second.data == {
        "refunds_as_credit": False,
        "default_expiry_days": 365,
        "balance_cap": 250.5,
        "promo_over_cap": "refuse",
        "reminder_days": 14,
        "version": 2,
    }
    assert (await store.get(PATH)).data == second.data
    assert [(event.version, event.refunds_as_credit, event.reminder_days) for event in await told()] == [
        (1, True, 7),
        (2, False, 14),
    ]
    assert (await told())[1].balance_cap_minor == 25_050


async def test_null_switches_off(change, told):
    await change(balance_cap=10, default_expiry_days=30)
    off = await change(balance_cap=None, default_expiry_days=None, reminder_days=None)
    assert off.data == DEFAULTS | {"reminder_days": None, "version": 2}
    event = (await told())[-1]
    assert (event.balance_cap_minor, event.default_expiry_days, event.reminder_days) == (None, None, None)


@pytest.mark.parametrize("fields", [{}, {"reminder_days": 7}, {"refunds_as_credit": True, "balance_cap": None}])
async def test_what_changes_nothing_is_not_told(store, change, told, fields):
    assert (await change(**fields)).data == DEFAULTS
    assert await told() == []


async def test_the_same_change_twice_is_told_once(change, told):
    assert [(await change(balance_cap=10)).data["version"] for _ in range(2)] == [1, 1]
    assert len(await told()) == 1


CHANGES = ({"refunds_as_credit": False}, {"default_expiry_days": 30}, {"balance_cap": 10}, {"reminder_days": None})


@pytest.mark.parametrize("is_new", [True, False])
async def test_changes_at_once_lose_no_field(store, change, told, is_new):
    if not is_new:
        await change(promo_over_cap="refuse")
    await asyncio.gather(*(change(**fields) for fields in CHANGES))
    kept = (await store.get(PATH)).data
    assert [kept[name] for fields in CHANGES for name in fields] == [False, 30, 10, None]
    versions = [event.version for event in await told()]
    assert versions == list(range(1, kept["version"] + 1))
    assert kept["version"] == (4 if is_new else 5)


async def test_without_the_lock_a_field_is_lost(store, change, monkeypatch):
    """The planted fault: two read before either has written."""
    both = asyncio.Barrier(2)

    async def read_unlocked(conn, store_id):
        kept = await store_terms.terms_of(conn, store_id)
        await both.wait()
        return kept

    monkeypatch.setattr(store_terms, "lock_terms", read_unlocked)
    await asyncio.gather(change(balance_cap=10), change(default_expiry_days=30))
    kept = (await store.get(PATH)).data
    assert (kept["version"], kept["balance_cap"] is None or kept["default_expiry_days"] is None) == (1, True)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b'{"balance_cap": 0}', "greater_than"),
        (b'{"balance_cap": -5}', "greater_than"),
        (b'{"balance_cap": 1.005}', "amount_precision"),
        (b'{"balance_cap": 10000000000000}', "amount_range"),
        (b'{"balance_cap": "10"}', "amount_type"),
        (b'{"default_expiry_days": 0}', "greater_than_equal"),
        (b'{"default_expiry_days": 3651}', "less_than_equal"),
        (b'{"default_expiry_days": "30"}', "int_type"),
        (b'{"reminder_days": 366}', "less_than_equal"),
        (b'{"reminder_days": true}', "int_type"),
        (b'{"refunds_as_credit": null}', "bool_type"),
        (b'{"refunds_as_credit": 1}', "bool_type"),
        (b'{"promo_over_cap": "ignore"}', "enum"),
        (b'{"promo_over_cap": null}', "enum"),
        (b'{"version": 7}', "extra_forbidden"),
    ],
)
async def test_what_is_no_setting_changes_nothing(store, told, raw, code):
    reply = await store.call("PATCH", PATH, raw=raw)
    assert (reply.status, reply.json["errors"][0]["code"]) == (422, code)
    both = await store.call("PATCH", PATH, raw=raw[:-1] + b', "default_expiry_days": 30, "reminder_days": 3}')
    assert both.status in {400, 422}
    assert (await store.get(PATH)).data == DEFAULTS
    assert await told() == []


async def test_a_lower_cap_takes_nothing_and_counts_from_the_next_credit(ledger, change):
    customer = await ledger.funded(5_000)
    await change(balance_cap=10)
    assert await ledger.balance(customer) == (5_000, 0)
    assert await ledger.append(ledger.gift(customer, 1)) == [Refused("balance_cap")]
    await ledger.append(ledger.gift(customer, -4_500))
    await ledger.append(Post(customer, EntryType.PROMO, 600, "EUR"))
    assert await ledger.balance(customer) == (1_000, 0)


async def test_default_expiry_counts_for_credit_given_from_now_on(ledger, change, store, customer_id, on):
    on(2026, 3, 1)
    await ledger.append(ledger.gift(customer_id, 100))
    await change(default_expiry_days=10)
    await ledger.append(ledger.gift(customer_id, 100))
    dates = [row["expires_at"] for row in (await store.get(f"/dev/v1/customers/{customer_id}/wallet/grants")).data]
    assert dates == ["2026-03-11T00:00:00Z", None]


@pytest.mark.parametrize(("scope", "statuses"), [("wallet.read", (200, 403)), ("wallet.write", (403, 200))])
async def test_reading_and_changing_are_scopes_of_their_own(store, ledger, scope, statuses):
    limited = store.as_(merchant(ledger.store_id, [scope]))
    replies = (await limited.get(PATH), await limited.call("PATCH", PATH, {"reminder_days": 3}))
    assert tuple(reply.status for reply in replies) == statuses


async def test_another_store_keeps_its_own(change, served, new_store):
    await change(reminder_days=3)
    assert (await served.as_(merchant(await new_store())).get(PATH)).data == DEFAULTS
