"""A customer's open grants and the filters of their history."""

from datetime import timedelta

import pytest
from paging import listed, pages

from contracts.wallet import EntryType
from wallet.postings import Expiry, Post, Reverse


@pytest.fixture
def path(customer_id):
    return f"/dev/v1/customers/{customer_id}/wallet"


@pytest.fixture
def grant(ledger, customer_id, on):
    """`await grant(amount, days)`: credit that expires so many days after 2026-06-01."""

    async def granted(amount, days=None):
        now = on(2026, 6, 1)
        expiry = Expiry.NEVER if days is None else now + timedelta(days=days)
        (outcome,) = await ledger.append(ledger.gift(customer_id, amount, expires_at=expiry))
        return outcome.entry.entry_id

    return granted


async def test_grants_are_listed_as_they_are_spent_with_what_is_left_and_held(store, ledger, path, grant, customer_id):
    never, late, soon = await grant(1_000), await grant(500, 60), await grant(300, 5)
    await ledger.append(ledger.gift(customer_id, -100))
    await ledger.append(ledger.Purchase(customer_id, 600).place)
    assert (await store.get(f"{path}/grants")).json == {
        "data": [
            {
                "id": entry_id,
                "type": "ADJUSTMENT",
                "amount": amount,
                "left": left,
                "held": held,
                "currency": "EUR",
                "expires_at": expires_at,
                "granted_at": "2026-06-01T00:00:00Z",
            }
            for entry_id, amount, left, held, expires_at in (
                (soon, 3, 2, 2, "2026-06-06T00:00:00Z"),
                (late, 5, 5, 4, "2026-07-31T00:00:00Z"),
                (never, 10, 10, 0, None),
            )
        ],
        "has_more": False,
        "next_cursor": None,
    }


async def test_grants_are_paged_across_equal_dates_and_those_that_never_expire(store, path, grant):
    days = [None, 9, 3, None, 9, 9, None]
    ids = [await grant(100, day) for day in days]
    expected = [ids[i] for i in (2, 1, 4, 5, 0, 3, 6)]
    for limit in (1, 2, 3):
        read = [page["data"] async for page in pages(store, f"{path}/grants?limit={limit}")]
        assert [row["id"] for rows in read for row in rows] == expected
        assert max(map(len, read)) == limit


async def test_a_grant_spent_between_two_pages_hides_none_of_the_rest(store, ledger, path, grant, customer_id):
    first, second, third = await grant(100, 1), await grant(100, 2), await grant(100)
    page = (await store.get(f"{path}/grants?limit=1")).json
    assert [row["id"] for row in page["data"]] == [first]
    await ledger.append(ledger.gift(customer_id, -150))
    rest = (await store.get(f"{path}/grants?limit=5&cursor={page['next_cursor']}")).data
    assert [(row["id"], row["left"]) for row in rest] == [(second, 0.5), (third, 1)]


@pytest.fixture
async def lived(ledger, customer_id, on):
    """Newest first: -2 (debit), 5 → -5 (pays debt), -15 (owed), -5, -15, 20."""
    on(2026, 3, 1)
    (given,) = await ledger.append(ledger.gift(customer_id, 2_000))
    on(2026, 3, 2)
    await ledger.append(ledger.gift(customer_id, -1_500))
    on(2026, 3, 3)
    await ledger.append(Reverse(given.entry))
    on(2026, 3, 4)
    await ledger.append(Post(customer_id, EntryType.PROMO, 500, "EUR"))
    on(2026, 3, 5)
    await ledger.append(Post(customer_id, EntryType.CREDIT, 1_200, "EUR"))
    await ledger.append(Post(customer_id, EntryType.DEBIT, -200, "EUR"))


ALL = [-2, -10, 12, -5, 5, -15, -5, -15, 20]


@pytest.mark.parametrize(
    ("query", "amounts"),
    [
        ("", ALL),
        ("type=PROMO", [5]),
        ("type=DEBIT", [-2, -10, -5]),
        ("type=EXPIRED", []),
        ("direction=credit", [12, 5, 20]),
        ("direction=deduction", [-2, -10, -5, -15, -5, -15]),
        ("direction=deduction&type=ADJUSTMENT", [-15, -5, -15]),
        ("from=2026-03-04T00:00:00Z", [-2, -10, 12, -5, 5]),
        ("to=2026-03-02T00:00:00Z", [20]),
        ("from=2026-03-02T00:00:00Z&to=2026-03-03T00:00:00Z", [-15]),
        ("from=2026-03-02T00:00:00Z&to=2026-03-05T00:00:00Z&direction=credit", [5]),
    ],
)
async def test_a_history_shows_what_it_is_asked_for(store, lived, path, query, amounts):
    assert [row["amount"] for row in (await store.get(f"{path}/transactions?{query}")).data] == amounts
    assert await listed(store, f"{path}/transactions?{query}&limit=2", "amount") == amounts


@pytest.mark.parametrize("other", ["", "&direction=credit", "&type=DEBIT", "&from=2026-03-01T00:00:00Z"])
async def test_a_cursor_used_under_other_filters_is_refused(store, lived, path, other):
    asked = f"{path}/transactions?limit=1"
    cursor = (await store.get(f"{asked}&direction=deduction")).json["next_cursor"]
    reply = await store.get(f"{asked}{other}&cursor={cursor}")
    assert (reply.status, reply.code) == (400, "invalid_cursor")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("type=promo", "enum"),
        ("direction=in", "literal_error"),
        ("from=2026-03-01", "datetime_format"),
        ("from=2026-03-02T00:00:00Z&to=2026-03-02T00:00:00Z", "period_empty"),
    ],
)
async def test_what_is_no_filter_is_refused(store, path, query, code):
    reply = await store.get(f"{path}/transactions?{query}")
    assert (reply.status, reply.json["errors"][0]["code"]) == (422, code)


async def test_a_cursor_of_the_grants_opens_no_other_list(store, path, grant):
    await grant(100)
    await grant(100)
    cursor = (await store.get(f"{path}/grants?limit=1")).json["next_cursor"]
    assert (await store.get(f"{path}/transactions?cursor={cursor}")).code == "invalid_cursor"
    assert (await store.get(f"{path}/grants?cursor=eyJhIjoxfQ==")).code == "invalid_cursor"
