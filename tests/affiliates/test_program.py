"""The store's program: its terms, their history, what is agreed with single affiliates, and who did what (A2)."""

import asyncio
from datetime import datetime

import pytest
from serving import merchant

from affiliates import store_program
from contracts.affiliates import ProgramChanged

URL = "/dev/v1/affiliates/program"
ACTIVITY = "/dev/v1/affiliates/activity"
DEFAULTS = {
    "revenue_share_enabled": True,
    "revenue_share_percent": 10,
    "waiting_days": 0,
    "customer_discount_enabled": False,
    "customer_discount_percent": 0,
    "custom_links_need_approval": False,
    "self_enrolment": "approval",
    "attribution_days": 30,
    "rate_tiers": [],
    "minimum_payout": None,
    "payout_methods": None,
    "two_person_approval": False,
    "cooling_days": 0,
    "conversion_bonus_percent": 0,
}
OTHERS = {
    "revenue_share_enabled": False,
    "revenue_share_percent": 12.5,
    "waiting_days": 14,
    "customer_discount_enabled": True,
    "customer_discount_percent": 5.25,
    "custom_links_need_approval": True,
    "self_enrolment": "open",
    "attribution_days": 90,
    "rate_tiers": [{"from": 0, "percent": 5}, {"from": 999.99, "percent": 7.5}],
    "minimum_payout": 20.5,
    "payout_methods": [{"asset": "BTC", "network": "bitcoin"}, {"asset": "USDT", "network": "tron"}],
    "two_person_approval": True,
    "cooling_days": 7,
    "conversion_bonus_percent": 10,
}


def terms(customer):
    return f"/dev/v1/customers/{customer}/affiliate/terms"


async def test_the_program_has_defaults_and_every_term_can_change(shop):
    assert (await shop.client.get(URL)).data == DEFAULTS
    assert (await shop.client.put(URL, OTHERS)).data == OTHERS
    assert (await shop.client.get(URL)).data == OTHERS


@pytest.mark.parametrize("name", OTHERS)
async def test_what_is_left_out_stays(shop, name):
    reply = await shop.client.put(URL, {name: OTHERS[name]})
    assert reply.data == DEFAULTS | {name: OTHERS[name]}


async def test_null_says_none_and_all(shop):
    await shop.program(minimum_payout=20, payout_methods=[])
    assert (await shop.client.get(URL)).data["payout_methods"] == []
    reply = await shop.client.put(URL, {"minimum_payout": None, "payout_methods": None})
    assert reply.data == DEFAULTS


async def test_methods_are_kept_in_one_form_and_once(shop):
    methods = [{"asset": "usdt", "network": "Tron"}, {"asset": "USDT", "network": "tron"}]
    reply = await shop.client.put(URL, {"payout_methods": methods})
    assert reply.data["payout_methods"] == [{"asset": "USDT", "network": "tron"}]


async def test_a_change_is_told_and_noted_once(shop):
    for _ in range(2):
        await shop.program(customer_discount_enabled=True, customer_discount_percent=5)
    await shop.program()
    (event,) = await shop.announced(ProgramChanged)
    assert (event.discount_enabled, event.discount_bps, event.rate_bps, event.currency) == (True, 500, 1000, "EUR")
    (noted,) = (await shop.client.get(f"{ACTIVITY}?subject={shop.store_id}")).data
    assert noted.items() >= {"actor": "merchant", "actor_id": "key_test", "action": "program.changed"}.items()
    assert noted["detail"]["changes"]["customer_discount_percent"] == {"from": 0, "to": 5}
    row, first = (await shop.client.get(f"{URL}/history")).data
    assert first == DEFAULTS | {"since": None}
    assert row == DEFAULTS | {
        "customer_discount_enabled": True,
        "customer_discount_percent": 5,
        "since": row["since"],
    }


async def test_changes_at_once_lose_nothing(shop):
    """Each of these fields is changed by somebody else, at the same time."""
    await asyncio.gather(*(shop.program(**{name: value}) for name, value in OTHERS.items()))
    assert (await shop.client.get(URL)).data == OTHERS
    assert len((await shop.client.get(f"{URL}/history?limit=100")).data) == len(OTHERS) + 1


async def test_without_the_lock_changes_are_lost(shop, monkeypatch):
    """Planted: the same without the advisory lock, everybody reading before anybody writes."""

    everybody = asyncio.Barrier(2)

    async def unlocked(conn, store_id):
        found = await store_program.terms_now(conn, store_id)
        await everybody.wait()
        return found

    monkeypatch.setattr(store_program, "lock_terms", unlocked)
    await asyncio.gather(shop.program(waiting_days=3), shop.program(cooling_days=3))
    shown = (await shop.client.get(URL)).data
    assert (shown["waiting_days"], shown["cooling_days"]) != (3, 3)


@pytest.mark.parametrize("limit", [1, 3, 5, 6])
async def test_the_history_is_read_page_by_page_newest_first_down_to_what_it_began_with(shop, limit):
    for days in range(1, 6):
        await shop.program(waiting_days=days)
    found, page, cursor = [], None, ""
    while page is None or page["has_more"]:
        page = (await shop.client.get(f"{URL}/history?limit={limit}{cursor}")).json
        assert len(page["data"]) == limit or not page["has_more"]
        found, cursor = found + page["data"], f"&cursor={page['next_cursor']}"
    assert [each["waiting_days"] for each in found] == [5, 4, 3, 2, 1, 0]
    assert found[-1] == DEFAULTS | {"since": None}


async def test_the_history_of_a_program_that_never_changed_is_what_it_began_with(shop):
    assert (await shop.client.get(f"{URL}/history")).data == [DEFAULTS | {"since": None}]


async def test_terms_follow_each_other_though_the_clock_goes_back(shop, later):
    later(days=10)
    await shop.program(waiting_days=1)
    later(days=0)
    await shop.program(waiting_days=2)
    newer, older, _ = (await shop.client.get(f"{URL}/history")).data
    assert (newer["waiting_days"], older["waiting_days"]) == (2, 1)
    assert datetime.fromisoformat(newer["since"]) > datetime.fromisoformat(older["since"])


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"revenue_share_percent": 100.01}, "less_than_equal"),
        ({"revenue_share_percent": -1}, "greater_than_equal"),
        ({"revenue_share_percent": 12.345}, "decimal_max_places"),
        ({"revenue_share_percent": True}, None),
        ({"revenue_share_percent": "x"}, None),
        ({"waiting_days": 366}, "less_than_equal"),
        ({"waiting_days": 1.5}, None),
        ({"waiting_days": None}, None),
        ({"revenue_share_enabled": "yes"}, None),
        ({"self_enrolment": "sometimes"}, "enum"),
        ({"attribution_days": 366}, "less_than_equal"),
        ({"cooling_days": 91}, "less_than_equal"),
        ({"minimum_payout": -1}, "amount_negative"),
        ({"minimum_payout": 1.005}, "amount_precision"),
        ({"minimum_payout": 10**15}, "amount_range"),
        ({"rate_tiers": [{"from": 5, "percent": 1}, {"from": 5, "percent": 2}]}, "tiers_not_ascending"),
        ({"rate_tiers": [{"from": -5, "percent": 1}]}, "amount_negative"),
        ({"rate_tiers": [{"from": n, "percent": 1} for n in range(21)]}, "too_long"),
        ({"rate_tiers": [{"from": 5, "percent": 1, "more": 1}]}, "extra_forbidden"),
        ({"payout_methods": [{"asset": "BTC", "network": "tron"}]}, "method_unknown"),
        ({"payout_methods": [{"asset": "BTC", "network": "\ud7ff"}]}, "method_unknown"),
        ({"unknown": 1}, "extra_forbidden"),
    ],
)
async def test_terms_out_of_bounds_are_refused_and_change_nothing(shop, body, code):
    reply = await shop.client.put(URL, {"cooling_days": 3} | body)
    assert (reply.status, reply.code) == (422, "invalid")
    assert code in {None, *(flaw["code"] for flaw in reply.json["errors"])}
    assert len((await shop.client.get(f"{URL}/history")).data) == 1


@pytest.mark.parametrize(
    "written",
    ["99.99999999999999999", "10.000000000000000000001", "1E-400", "1e1", "-0", '"10"', "true", "[10]", "1" + 40 * "0"],
)
async def test_a_percentage_is_a_number_exactly_as_it_is_written(shop, written):
    names = ("revenue_share_percent", "customer_discount_percent", "conversion_bonus_percent")
    whole = ",".join(f'"{name}": {written}' for name in names)
    reply = await shop.client.put(URL, raw=f'{{{whole}, "rate_tiers": [{{"from": 5, "percent": {written}}}]}}'.encode())
    assert [flaw["code"] for flaw in reply.json["errors"]] == ["percent_format"] * 4
    assert len((await shop.client.get(f"{URL}/history")).data) == 1


@pytest.mark.parametrize(("written", "taken"), [("0", 0), ("12.50", 12.5), ("0.01", 0.01), ("99.990", 99.99)])
async def test_every_percentage_of_two_decimals_is_taken(shop, written, taken):
    reply = await shop.client.put(URL, raw=b'{"revenue_share_percent": %s}' % written.encode())
    assert reply.data["revenue_share_percent"] == taken


@pytest.mark.parametrize("path", [URL, f"{URL}/history", ACTIVITY])
async def test_only_a_reader_of_affiliates_sees_the_program(shop, path):
    outsider = shop.client.as_(merchant(shop.store_id, ["customers.read", "affiliates.write"]))
    assert (await outsider.get(path)).code == "insufficient_scope"


async def test_only_a_writer_changes_terms(shop):
    customer = await shop.enrol()
    reader = shop.client.as_(merchant(shop.store_id, ["affiliates.read", "customers.write"]))
    assert (await reader.put(URL, {})).code == "insufficient_scope"
    assert (await reader.put(terms(customer), {})).code == "insufficient_scope"


async def test_own_terms_go_before_the_programs_from_then_on(shop):
    customer = await shop.enrol()
    await shop.order()
    agreed = (await shop.client.put(terms(customer), {"percent": 20, "waiting_days": 3})).data
    assert (agreed["percent"], agreed["waiting_days"], len(agreed["history"])) == (20, 3, 1)
    await shop.order()
    await shop.client.put(terms(customer), {"percent": None})
    await shop.order()
    shown = (await shop.summary(customer))["commissions"]
    found = [(each["rate_percent"], each["rate_from"], each["status"]) for each in reversed(shown)]
    assert found == [(10, "program", "payable"), (20, "affiliate", "pending"), (10, "program", "pending")]


async def test_own_terms_left_out_stay_and_the_same_again_is_no_change(shop):
    customer = await shop.enrol()
    before = (await shop.client.get(terms(customer))).data
    assert (before["percent"], before["waiting_days"], before["history"]) == (None, None, [])
    for body in ({}, {"percent": None}, {"percent": 12.5}, {"waiting_days": 0}, {"percent": 12.5}, {}):
        await shop.client.put(terms(customer), body)
    found = (await shop.client.get(terms(customer))).data
    assert (found["percent"], found["waiting_days"]) == (12.5, 0)
    assert [(each["percent"], each["waiting_days"]) for each in found["history"]] == [(12.5, 0), (12.5, None)]
    noted = (await shop.client.get(ACTIVITY)).data
    assert [each["action"] for each in noted].count("affiliate.terms_changed") == 2
    assert noted[0]["detail"] == {"terms": {"percent": 12.5, "waiting_days": 0}}


async def test_a_portal_reads_the_rules_that_apply_to_its_affiliate(shop):
    customer = await shop.enrol()
    portal = shop.client.as_(merchant(shop.store_id, ["customers.read"]))

    async def applied():
        return (await portal.get(terms(customer))).data["applies"]

    staffs = {"self_enrolment", "two_person_approval"}
    shown = {name: value for name, value in DEFAULTS.items() if name not in staffs}
    assert await applied() == shown | {"rate_from": "program"}
    await shop.program(**OTHERS | {"rate_tiers": [{"from": 100, "percent": 15}], "revenue_share_enabled": True})
    await shop.order()
    reached = await applied()
    assert (reached["revenue_share_percent"], reached["rate_from"], reached["waiting_days"]) == (15, "tier", 14)
    assert (reached["minimum_payout"], reached["payout_methods"]) == (20.5, OTHERS["payout_methods"])
    await shop.client.put(terms(customer), {"percent": 20, "waiting_days": 3})
    agreed = await applied()
    assert (agreed["revenue_share_percent"], agreed["rate_from"], agreed["waiting_days"]) == (20, "affiliate", 3)
    assert (await portal.put(terms(customer), {"percent": 90})).code == "insufficient_scope"


async def test_own_terms_agreed_at_once_lose_nothing(shop):
    customer = await shop.enrol()
    bodies = [{"percent": 20}, {"waiting_days": 3}]
    await asyncio.gather(*(shop.client.put(terms(customer), body) for body in bodies))
    found = (await shop.client.get(terms(customer))).data
    assert (found["percent"], found["waiting_days"]) == (20, 3)


@pytest.mark.parametrize("body", [{"percent": 101}, {"percent": "10"}, {"waiting_days": -1}, {"rate": 1}])
async def test_own_terms_out_of_bounds_are_refused(shop, body):
    customer = await shop.enrol()
    reply = await shop.client.put(terms(customer), {"percent": 5} | body)
    assert (reply.status, reply.code) == (422, "invalid")
    assert (await shop.client.get(terms(customer))).data["history"] == []


async def test_who_is_no_affiliate_has_no_terms(shop):
    customer = await shop.customer()
    assert (await shop.client.get(terms(customer))).status == 404
    assert (await shop.client.put(terms(customer), {"percent": 5})).status == 404


async def test_activity_is_read_page_by_page_and_by_subject(shop):
    await shop.enrol("one-code")
    await shop.enrol("two-code")
    every = (await shop.client.get(f"{ACTIVITY}?limit=3")).json
    rest = (await shop.client.get(f"{ACTIVITY}?limit=3&cursor={every['next_cursor']}")).json
    found = [(each["action"], each["detail"].get("code")) for each in every["data"] + rest["data"]]
    assert found == [
        ("link.added", "two-code"),
        ("affiliate.enrolled", None),
        ("link.added", "one-code"),
        ("affiliate.enrolled", None),
    ]
    one = every["data"][0]["subject_id"]
    assert len((await shop.client.get(f"{ACTIVITY}?subject={one}")).data) == 2
    assert (await shop.client.get(f"{ACTIVITY}?subject=x&cursor={every['next_cursor']}")).code == "invalid_cursor"
    assert (await shop.client.get(f"{ACTIVITY}?subject=%00")).code == "invalid"


async def test_activity_of_another_store_is_not_shown(shop):
    await shop.program(waiting_days=1)
    stranger = shop.client.as_(merchant("store_00000000000000000000000001"))
    assert (await stranger.get(f"{ACTIVITY}?subject={shop.store_id}")).data == []
