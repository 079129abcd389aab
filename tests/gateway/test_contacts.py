"""The wallet's list with who its people are: the real wallet and customers behind the gateway."""

import asyncio
import json
import re
import time
from dataclasses import dataclass, replace
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving import Client, merchant

from chassis import ids
from contracts.ids import CUSTOMER
from customers.main import service as customers
from gateway.contacts import Told, rows_of, written
from wallet.main import service as wallet

LIST = "/dev/v1/wallet/transactions"
ANN = {"name": "Ann Lee", "email": "ann@example.com", "phone": "+491701234567"}


@dataclass
class Town:
    """The gateway before the real wallet and customers, and a store in it; ``at`` is the same at another gateway."""

    gateway: Any
    wallet: Client
    customers: Client
    admins: tuple[asyncpg.Connection, asyncpg.Connection]
    number: int = 0

    def at(self, gateway) -> "Town":
        return replace(self, gateway=replace(gateway, store_id=self.gateway.store_id, secret=self.gateway.secret))

    async def store(self) -> "Town":
        """The same with a store of its own."""
        self.number += 1
        store_id = (await self.gateway.open_store(f"shop-{self.number}")).store_id
        for admin in self.admins:
            await admin.execute("INSERT INTO store VALUES ($1, $1, 'EUR', 'en', 'shop')", store_id)
        secret = await self.gateway.new_key(store_id)
        return replace(self, gateway=replace(self.gateway, store_id=store_id, secret=secret))

    async def customer(self, email="ann@example.com", **more) -> str:
        """Somebody of whom both services know."""
        made = await self.customers.as_(merchant(self.gateway.store_id)).post(
            "/dev/v1/customers", {"email": email} | more
        )
        await self.known(made.data["id"])
        return made.data["id"]

    async def known(self, customer_id) -> None:
        """The wallet has heard of them."""
        await self.admins[0].execute(
            "INSERT INTO known_customer (store_id, id, version, state) VALUES ($1, $2, 1, 'active')",
            self.gateway.store_id,
            customer_id,
        )

    async def give(self, customer_id, amount="1", note=None) -> None:
        """Credit, its amount exactly as it is written."""
        body = f'{{"amount": {amount}, "reason": "goodwill", "note": {json.dumps(note)}}}'
        path = f"/dev/v1/customers/{customer_id}/wallet/adjustments"
        reply = await self.wallet.as_(merchant(self.gateway.store_id)).post(
            path, raw=body.encode(), key=str(ids.new_uuid())
        )
        assert reply.status == 201, reply.body

    async def listed(self, query="", **more):
        reply = await self.gateway.call("GET", f"{LIST}?{query}", **more)
        assert reply.status == 200, reply.body
        return json.loads(reply.body)

    async def plain(self, query="") -> bytes:
        """The list as the wallet tells it."""
        return (await self.wallet.as_(merchant(self.gateway.store_id)).get(f"{LIST}?{query}")).body


def without(page: bytes, said="shown") -> bytes:
    """A page with what was added taken out again."""
    rows = re.sub(rb',"customer":(null|\{[^}]*\})\}', b"}", page)
    return rows.replace(f',"contacts":"{said}"'.encode(), b"")


@pytest.fixture(scope="module")
async def street(clone, serve, gateway_before):
    databases = [await clone(name) for name in ("wallet", "customers", "gateway")]
    its = [await serve(service, database) for service, database in zip((wallet, customers), databases, strict=False)]
    ports = {name: client.runtime.settings.port for name, client in zip(("wallet", "customers"), its, strict=True)}
    ports |= dict.fromkeys(("affiliates", "carts", "fraud-block"), ports["wallet"])
    admins = [await asyncpg.connect(database.admin_url) for database in databases[:2]]
    async with gateway_before(databases[2], ports) as gateway:
        gateway.ports = ports
        yield Town(gateway, *its, tuple(admins))
    for admin in admins:
        await admin.close()


@pytest.fixture
async def town(street):
    return await street.store()


@pytest.fixture
def with_customers(street, gateway_before):
    """`async with with_customers(port) as gateway`: one that finds customers on this port, or the wallet."""
    return lambda **ports: gateway_before(street.gateway.database, street.gateway.ports | ports)


async def test_each_row_says_who_its_customer_is(town):
    ann, bob = await town.customer(**ANN), await town.customer("bob@example.com")
    for customer_id in (ann, bob, ann):
        await town.give(customer_id)
    page = await town.listed()
    bobs = {"name": None, "email": "bob@example.com", "phone": None}
    assert [row["customer"] for row in page["data"]] == [ANN, bobs, ANN]
    assert [row["customer_id"] for row in page["data"]] == [ann, bob, ann]
    assert page["contacts"] == "shown"


async def test_all_else_is_the_wallets_own_bytes(town):
    ann = await town.customer(**ANN)
    for amount in ("7.5", "25", "0.01", "-0.3", "999999999999.99", "1000000000000", "-3"):
        await town.give(ann, amount, 'a "note" } ] , {"customer":null} \\ \u2028 é 😀')
    reply = await town.gateway.call("GET", LIST)
    assert reply.body.count(b'"customer":{') == 7
    assert b'"amount":999999999999.99,' in reply.body
    assert without(reply.body.replace(b'{\\"customer\\":null}', b"NOTE")) == (await town.plain()).replace(
        b'{\\"customer\\":null}', b"NOTE"
    )
    assert reply.headers["content-length"] == str(len(reply.body))
    assert reply.headers["content-type"] == "application/json"


async def test_a_list_of_nothing_is_one(town):
    assert await town.listed() == {"data": [], "has_more": False, "next_cursor": None, "contacts": "shown"}


async def test_head_has_the_head_of_get_and_no_body(town):
    await town.give(await town.customer(**ANN))
    got, head = [await town.gateway.call(method, LIST, x_request_id="request-1") for method in ("GET", "HEAD")]
    same = [{name: value for name, value in reply.headers.items() if name != "date"} for reply in (got, head)]
    assert (head.status, head.body, same[0]) == (200, b"", same[1])


async def test_the_erased_and_the_unknown_have_no_contact(town):
    ann, bob, nobody = await town.customer(**ANN), await town.customer("bob@example.com"), ids.new(CUSTOMER)
    await town.known(nobody)
    for customer_id in (ann, bob, nobody):
        await town.give(customer_id)
    await town.admins[1].execute("UPDATE customer SET state = 'erased' WHERE id = $1", ann)
    page = await town.listed()
    assert [row["customer"] and row["customer"]["email"] for row in page["data"]] == [None, "bob@example.com", None]
    assert page["contacts"] == "shown"


async def test_an_entry_of_who_was_merged_tells_who_acts_for_them(town):
    ann, old = await town.customer(**ANN), await town.customer("old@example.com")
    await town.give(old)
    await town.admins[1].execute("UPDATE customer SET state = 'merged', merged_into = $2 WHERE id = $1", old, ann)
    (row,) = (await town.listed())["data"]
    assert (row["customer_id"], row["customer"]) == (old, ANN)


async def test_each_store_is_told_its_own(town, street):
    await town.give(await town.customer(**ANN))
    other = await street.store()
    await other.give(await other.customer("ann@example.com", name="Another Ann"))
    assert [row["customer"]["name"] for row in (await other.listed())["data"]] == ["Another Ann"]
    assert [row["customer"]["name"] for row in (await town.listed())["data"]] == ["Ann Lee"]


async def test_no_stores_contact_is_shown_for_an_id_of_another(town, street):
    """Even if the wallet said so."""
    other = await street.store()
    theirs = await other.customer(**ANN)
    await town.known(theirs)
    await town.give(theirs)
    assert [row["customer"] for row in (await town.listed())["data"]] == [None]


async def test_cursor_and_limit_pass_and_a_hundred_rows_are_told_at_once(town):
    met = [await town.customer(f"c{number}@example.com") for number in range(101)]
    for customer_id in met:
        await town.give(customer_id)
    page = await town.listed("limit=100")
    assert [row["customer"]["email"] for row in page["data"]] == [
        f"c{number}@example.com" for number in range(100, 0, -1)
    ]
    last = await town.listed(f"limit=100&cursor={page['next_cursor']}")
    assert [row["customer"]["email"] for row in last["data"]] == ["c0@example.com"]


async def test_a_key_that_may_not_read_customers_sees_no_contacts_and_customers_is_not_asked(
    town, with_customers, origin_on, unused_port
):
    await town.give(await town.customer(**ANN))
    key = await town.gateway.new_key(town.gateway.store_id, allowed=["wallet.read"])
    async with origin_on(unused_port) as asked, with_customers(customers=asked.port) as gateway:
        reply = await town.at(gateway).gateway.call("GET", LIST, key=key)
    page = json.loads(reply.body)
    assert ([row["customer"] for row in page["data"]], page["contacts"]) == ([None], "withheld")
    assert without(reply.body, "withheld") == await town.plain()
    assert asked.seen == []


@pytest.mark.parametrize(
    ("allowed", "method", "query", "status"),
    [
        (["customers.read"], "GET", "", 403),
        (["wallet.read", "customers.read"], "GET", "limit=101", 422),
        (["wallet.read", "customers.read"], "GET", "cursor=nonsense", 400),
        (["wallet.read", "customers.read"], "POST", "", 405),
    ],
)
async def test_a_refusal_of_the_wallet_passes_as_it_is(
    town, with_customers, origin_on, unused_port, allowed, method, query, status
):
    key = await town.gateway.new_key(town.gateway.store_id, allowed=allowed)
    async with origin_on(unused_port) as asked, with_customers(customers=asked.port) as gateway:
        reply = await town.at(gateway).gateway.call(method, f"{LIST}?{query}", key=key, x_request_id="request-1")
    caller = town.wallet.as_(merchant(town.gateway.store_id, allowed))
    own = await caller.call(method, f"{LIST}?{query}", x_request_id="request-1")
    assert (reply.status, reply.body, reply.headers["content-type"]) == (status, own.body, own.headers["content-type"])
    assert asked.seen == []


async def test_without_a_key_there_is_no_list(town):
    assert (await town.gateway.call("GET", LIST, key=None)).status == 401
    publishable = await town.gateway.new_key(town.gateway.store_id, "publishable")
    assert (await town.gateway.call("GET", LIST, key=publishable)).status == 403


@pytest.mark.parametrize(
    "does",
    [{"do": "slow"}, {"do": "cut"}, {"status": 500}, {"status": 404}, {"status": 422}],
    ids=str,
)
async def test_a_list_is_given_whatever_customers_does(town, with_customers, origin_on, unused_port, does):
    await town.give(await town.customer(**ANN), "7.5")
    async with origin_on(unused_port, **does) as broken, with_customers(customers=broken.port) as gateway:
        began = time.monotonic()
        reply = await town.at(gateway).gateway.call("GET", LIST)
        seconds = time.monotonic() - began
    assert ([row["customer"] for row in json.loads(reply.body)["data"]], reply.status) == ([None], 200)
    assert without(reply.body, "away") == await town.plain()
    assert len(broken.seen) == 1
    assert seconds < 8


async def test_a_list_is_given_while_customers_is_down(town, with_customers, unused_port):
    await town.give(await town.customer(**ANN))
    async with with_customers(customers=unused_port) as gateway:
        reply = await town.at(gateway).gateway.call("GET", LIST)
    assert without(reply.body, "away") == await town.plain()


async def test_while_the_wallet_is_down_there_is_no_list(town, with_customers, origin_on, unused_port):
    async with with_customers(wallet=unused_port) as gateway:
        reply = await town.at(gateway).gateway.call("GET", LIST)
    assert (reply.status, reply.code) == (503, "upstream_away")


async def test_customers_is_asked_once_by_the_gateway_itself_in_the_same_trace(
    town, with_customers, origin_on, unused_port
):
    ann, bob = await town.customer(**ANN), await town.customer("bob@example.com")
    for customer_id in (ann, bob, ann, bob):
        await town.give(customer_id)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with origin_on(unused_port) as asked, with_customers(customers=asked.port) as gateway:
        await town.at(gateway).gateway.call("GET", LIST, traceparent=trace, x_request_id="request-1")
    (seen,) = asked.seen
    caller = seen.caller("customers")
    assert (seen.path, seen.query) == ("/internal/v1/contacts", "&".join(f"id={one}" for one in sorted((ann, bob))))
    assert (caller.store_id, caller.actor_id, caller.scopes) == (town.gateway.store_id, "gateway", {"internal"})
    assert (seen.headers["traceparent"], seen.headers["x-request-id"]) == (trace, "request-1")


async def test_many_at_once_are_each_told_their_own(town, street):
    towns = [await street.store() for _ in range(5)]
    for number, one in enumerate(towns):
        await one.give(await one.customer(f"c{number}@example.com"))
    pages = await asyncio.gather(*(one.listed() for _ in range(6) for one in towns))
    assert [page["data"][0]["customer"]["email"] for page in pages] == [f"c{n}@example.com" for n in range(5)] * 6


async def test_what_is_internal_is_still_nobodys(town):
    ann = await town.customer(**ANN)
    assert (await town.gateway.call("GET", f"/internal/v1/contacts?id={ann}")).status == 404


numbers = st.from_regex(r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
texts = st.text(alphabet=st.characters(codec="utf-8"), max_size=10) | st.sampled_from(['"}]', '{"data":[', "\\"])


@given(st.lists(st.tuples(st.sampled_from(["cus_a", "cus_b"]), numbers, texts), max_size=5))
def test_no_number_and_no_text_of_a_page_changes(made):
    rows = [f'{{"n":{n},"x":{{"y":[{n}]}},"customer_id":"{who}","note":{json.dumps(text)}}}' for who, n, text in made]
    told = [
        f'{row[:-1]},"customer":{"{}" if who == "cus_a" else "null"}}}'
        for row, (who, *_) in zip(rows, made, strict=True)
    ]
    end = '],"has_more":false,"next_cursor":null'
    page = f'{{"data":[{",".join(rows)}{end}}}'
    with_contacts = f'{{"data":[{",".join(told)}{end},"contacts":"shown"}}'
    assert written(page, list(rows_of(page)), {"cus_a": {}}, Told.SHOWN) == with_contacts


@pytest.mark.parametrize(
    "page",
    [
        *("", "{}", '{"data":{}}', '{"data":[', '{"data":[{}],"has_more":false}', '{"data":[1]}', "null"),
        *('{"data":[{"customer_id":"a"}', '{"data":[{"customer_id":"a"}{"customer_id":"a"}'),
    ],
)
def test_what_is_no_page_of_customers_is_not_guessed_at(page):
    with pytest.raises(ValueError, match=r"\w"):
        list(rows_of(page))
