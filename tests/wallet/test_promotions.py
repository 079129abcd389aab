"""Promotions: everybody on the list gets it once, or is told why not."""

from datetime import UTC, datetime, timedelta

import pytest
from giving import GIVING, NEVER_MINTED, PROMOTIONS

from chassis import clock
from chassis.timers import one_slice


async def test_everybody_on_the_list_gets_it_once(promoter, ledger):
    customers = await promoter.customers(3)
    reply = await promoter.start([*customers, customers[0]], 7.5, reason="win_back", note="come back", notify=True)
    assert reply.status == 201
    promotion_id, created_at = reply.data["id"], reply.data["created_at"]
    assert promotion_id.startswith("promo_")
    assert reply.data == {
        "id": promotion_id,
        "status": "RUNNING",
        "amount": 7.5,
        "currency": "EUR",
        "reason": "win_back",
        "note": "come back",
        "expires_at": None,
        "notify": True,
        "total": 3,
        "granted": 0,
        "clipped": 0,
        "refused": {},
        "granted_amount": 0,
        "created_at": created_at,
        "finished_at": None,
    }
    assert await promoter.entries() == []
    await promoter.give()
    its = await promoter.of(promotion_id)
    assert (its["status"], its["granted"], its["granted_amount"]) == ("FINISHED", 3, 22.5)
    assert its["finished_at"] is not None
    assert await promoter.entries() == [(customer, 750) for customer in sorted(customers)]
    transactions = (await promoter.client.get("/dev/v1/wallet/transactions")).data
    assert {(its["type"], its["cause"]["id"], its["reason"], its["note"]) for its in transactions} == {
        ("PROMO", promotion_id, "win_back", "come back")
    }
    listed = await promoter.recipients(promotion_id)
    assert {its["transaction_id"] for its in listed} == {its["id"] for its in transactions}
    told = await promoter.rows("SELECT type FROM outbox WHERE store_id = $1")
    assert sorted(row[0] for row in told) == ["mail.requested"] * 3 + ["wallet.posted"] * 3


async def test_a_list_that_comes_again_is_one_promotion(promoter):
    customers = await promoter.customers(2)
    first, again = [await promoter.start(customers, key="once") for _ in range(2)]
    assert (first.status, first.body) == (again.status, again.body)
    await promoter.give()
    assert len(await promoter.entries()) == 2


async def test_unknown_and_erased_customers_are_told_apart_from_the_job(promoter, new_store):
    (known, erased, elsewhere) = await promoter.customers(3)
    await promoter.know(erased, state="erased", version=2)
    await promoter.execute("DELETE FROM known_customer WHERE id = $1", elsewhere)
    await promoter.execute(
        "INSERT INTO known_customer VALUES ($1, $2, 1, 'active', NULL)", await new_store(), NEVER_MINTED
    )
    promotion_id = await promoter.started([known, erased, NEVER_MINTED])
    await promoter.give()
    refused = ("REFUSED", "unknown_customer")
    assert await promoter.outcomes(promotion_id) == {known: ("GRANTED", None), erased: refused, NEVER_MINTED: refused}
    its = await promoter.of(promotion_id)
    assert (its["status"], its["refused"]) == ("FINISHED", {"unknown_customer": 2})


async def test_two_ids_of_one_customer_get_it_once(promoter):
    first, second, acting = await promoter.customers(3)
    await promoter.merge(first, acting)
    await promoter.merge(second, first)
    promotion_id = await promoter.started([first, second, acting])
    await promoter.give()
    assert await promoter.entries() == [(acting, 500)]
    assert sorted((await promoter.outcomes(promotion_id)).values(), key=str) == [
        ("GRANTED", None),
        ("REFUSED", "duplicate"),
        ("REFUSED", "duplicate"),
    ]


async def test_customers_merged_between_two_slices_get_it_once(promoter, ledger):
    """The entry stays where it was posted: it is found through the merge."""
    customers = await promoter.customers(501)
    first, last = min(customers), max(customers)
    promotion_id = await promoter.started(customers)
    await one_slice(promoter.worker, GIVING)
    await promoter.merge(first, last)
    await promoter.give()
    assert (await promoter.outcomes(promotion_id))[first] == ("GRANTED", None)
    (refused,) = await promoter.recipients(promotion_id, "&status=REFUSED")
    assert (refused["customer_id"], refused["reason"]) == (last, "duplicate")
    assert len(await promoter.entries()) == 500


@pytest.mark.parametrize(
    ("over", "entries", "figures"),
    [("clip", [300], (1, 1, {"balance_cap": 1}, 3)), ("refuse", [], (0, 0, {"balance_cap": 2}, 0))],
)
async def test_the_cap_clips_or_refuses_as_the_store_says(promoter, ledger, terms, over, entries, figures):
    part, full = await promoter.customers(2)
    await ledger.append(ledger.gift(part, 700), ledger.gift(full, 1000))
    await terms(cap=1000, over=over)
    promotion_id = await promoter.started([part, full])
    await promoter.give()
    its = await promoter.of(promotion_id)
    assert [amount for _, amount in await promoter.entries()] == entries
    assert (its["granted"], its["clipped"], its["refused"], its["granted_amount"]) == figures


async def test_credit_whose_date_comes_before_the_job_is_done_is_refused(promoter, monkeypatch):
    promotion_id = await promoter.started(
        await promoter.customers(1), expires_at=(datetime.now(UTC) + timedelta(days=1)).isoformat()
    )
    monkeypatch.setattr(clock, "now", lambda: datetime.now(UTC) + timedelta(days=2))
    await promoter.give()
    assert (await promoter.of(promotion_id))["refused"] == {"expires_at_past": 1}


async def test_left_out_the_store_s_default_says_when_it_expires(promoter, terms):
    await terms(days=30)
    customers = await promoter.customers(1)
    default, never = await promoter.started(customers), await promoter.started(customers, expires_at=None)
    its = await promoter.of(default)
    assert datetime.fromisoformat(its["expires_at"]) - datetime.fromisoformat(its["created_at"]) == timedelta(days=30)
    await promoter.give()
    dates = {
        row["cause"]["id"]: row["expires_at"] for row in (await promoter.client.get("/dev/v1/wallet/transactions")).data
    }
    assert dates == {default: its["expires_at"], never: None}


async def test_a_cancelled_promotion_stops_where_it_is(promoter):
    promotion_id = await promoter.started(await promoter.customers(501))
    await one_slice(promoter.worker, GIVING)
    first, again = [await promoter.client.post(f"{PROMOTIONS}/{promotion_id}/cancel") for _ in range(2)]
    assert (first.status, first.data["status"], first.data["granted"]) == (200, "CANCELLED", 500)
    assert again.data == first.data
    await promoter.give()
    assert len(await promoter.entries()) == 500
    assert len(await promoter.recipients(promotion_id, "&status=PENDING")) == 1


async def test_a_finished_promotion_is_not_cancelled(promoter):
    promotion_id = await promoter.started(await promoter.customers(1))
    await promoter.give()
    before = await promoter.of(promotion_id)
    assert (await promoter.client.post(f"{PROMOTIONS}/{promotion_id}/cancel")).data == before
