"""A store that gives many people credit: by promotion, or by gift codes which they redeem."""

import io
import itertools
import json
from dataclasses import dataclass
from typing import Any

from serving import Client

from chassis import ids
from chassis.db import Database
from chassis.timers import one_slice
from contracts.ids import CUSTOMER
from wallet import gift_codes, timers

PROMOTIONS = "/dev/v1/wallet/promotions"
GIFT_CODES = "/dev/v1/wallet/gift-codes"
GIVING = next(timer for timer in timers.ALL if timer.name == "promotions")
NEVER_MINTED = "cus_01h455vb4pex5vsknk084sn02r"

keys = (f"given-{n}" for n in itertools.count())
guesses = (gift_codes.write(n).code for n in itertools.count())


@dataclass
class Shop:
    """As its merchant's client sees it, and this service's database."""

    client: Client
    worker: Database
    store_id: str

    async def customer(self):
        (customer_id,) = await self.customers(1)
        return customer_id

    async def customers(self, count):
        customer_ids = [ids.new(CUSTOMER) for _ in range(count)]
        await self.know(*customer_ids)
        return customer_ids

    async def know(self, *customer_ids, state="active", merged_into=None, version=1):
        await self.execute(
            """
            INSERT INTO known_customer SELECT $1, unnest($2::text[]), $3, $4, $5
            ON CONFLICT (store_id, id) DO UPDATE SET version = $3, state = $4, merged_into = $5
            """,
            self.store_id,
            customer_ids,
            version,
            state,
            merged_into,
        )

    async def merge(self, customer_id, into):
        await self.know(customer_id, state="merged", merged_into=into, version=2)

    async def balance(self, customer_id):
        return (await self.client.get(f"/dev/v1/customers/{customer_id}/wallet")).data["balance"]

    async def execute(self, sql, *args):
        async with self.worker.transaction() as conn:
            return await conn.execute(sql, *args)

    async def rows(self, sql):
        """What this finds for the store ``$1``."""
        async with self.worker.transaction() as conn:
            return [tuple(row) for row in await conn.rows(sql, self.store_id)]


class Promoter(Shop):
    """Its merchant starts promotions, and its timer gives when it is told to."""

    async def start(self, customer_ids, amount: Any = 5, key=None, **more):
        body = {"amount": amount, "customer_ids": customer_ids, **more}
        return await self.client.post(PROMOTIONS, raw=io.BytesIO(json.dumps(body).encode()), key=key or next(keys))

    async def started(self, customer_ids, **more):
        reply = await self.start(customer_ids, **more)
        assert reply.status == 201, reply.body
        return reply.data["id"]

    async def of(self, promotion_id):
        return (await self.client.get(f"{PROMOTIONS}/{promotion_id}")).data

    async def recipients(self, promotion_id, query=""):
        return (await self.client.get(f"{PROMOTIONS}/{promotion_id}/recipients?limit=100{query}")).data

    async def outcomes(self, promotion_id):
        return {its["customer_id"]: (its["status"], its["reason"]) for its in await self.recipients(promotion_id)}

    async def give(self):
        """As the timer does: until there is nothing to do."""
        while await one_slice(self.worker, GIVING):
            pass

    async def entries(self):
        """(customer, amount) of every entry of a promotion."""
        return await self.rows(
            "SELECT customer_id, amount_minor FROM entry WHERE store_id = $1 AND type = 'PROMO' ORDER BY 1"
        )


class Issuer(Shop):
    """Its merchant makes gift codes, and its customers redeem them."""

    async def make(self, count=1, amount=5, key=None, **more):
        body = {"count": count, "amount": amount, **more}
        return await self.client.post(GIFT_CODES, body, key=key or next(keys))

    async def code(self, **more):
        """(id, code) of a new one."""
        (made,) = (await self.make(**more)).data["codes"]
        return made["id"], made["code"]

    async def redeem(self, customer_id, code, key=None):
        path = f"/dev/v1/customers/{customer_id}/wallet/gift-codes"
        return await self.client.post(path, {"code": code}, key=key or next(keys))

    async def of(self, gift_id):
        return next(its for its in (await self.client.get(f"{GIFT_CODES}?limit=100")).data if its["id"] == gift_id)


def refusal(reply):
    """A refusal without what differs between any two."""
    problem = reply.json
    del problem["request_id"]
    assert reply.headers["content-type"] == "application/problem+json"
    return reply.status, json.dumps(problem)
