"""Payouts as tests ask for them, decide them, and look at what was told and done."""

from chassis import ids
from chassis.tokens import Caller
from contracts.affiliates import (
    ClaimCompleted,
    ClaimConverted,
    ClaimFailed,
    PayoutApproved,
    PayoutConfirmed,
    PayoutRejected,
    PayoutRequested,
    PayoutSent,
)

TRON = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"
OTHER_TRON = "TLa2f6VPqDgRE67v1736s7bJ8Ray5wYjU7"
ETHEREUM = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
HASH = "ab" * 32
ASKED = {"amount": 7, "asset": "usdt", "address": TRON, "network": "tron", "note": "Pay out weekly affiliate earnings"}
TOLD = {
    kind.TYPE: kind
    for kind in (
        PayoutRequested,
        PayoutApproved,
        PayoutRejected,
        PayoutSent,
        PayoutConfirmed,
        ClaimConverted,
        ClaimCompleted,
        ClaimFailed,
    )
}
BODIES = {
    "approve": None,
    "reject": {"reason": "not this week"},
    "sent": {"transaction_hash": HASH},
    "confirm": None,
    "fail": {"reason": "it bounced"},
}
TO = {
    "PENDING": [],
    "APPROVED": ["approve"],
    "SENT": ["approve", "sent"],
    "CONFIRMED": ["approve", "sent", "confirm"],
    "REJECTED": ["reject"],
    "FAILED": ["approve", "sent", "fail"],
}


def ask(shop, customer_id, key=None, **more):
    path = f"/dev/v1/customers/{customer_id}/affiliate/payout-requests"
    return shop.client.post(path, ASKED | more, key=key or ids.new("key"))


def act(shop, claim_id, action, body=None, *, by=None, key=None):
    client, path = shop.client if by is None else shop.client.as_(by), f"/dev/v1/affiliates/payouts/{claim_id}/{action}"
    return client.post(path, body or BODIES.get(action), key=key or ids.new("key"))


async def payout(shop, customer_id, status="PENDING", **more) -> str:
    """A payout that has come so far."""
    claim_id = (await ask(shop, customer_id, **more)).data["claim_id"]
    for action in TO[status]:
        assert (await act(shop, claim_id, action)).status == 200
    return claim_id


def staff(shop, number):
    return Caller(shop.store_id, "staff", f"stf_{number}", frozenset({"affiliates.write"}))


def codes(reply):
    return [(flaw["pointer"], flaw["code"]) for flaw in reply.json["errors"]]


def some(buckets):
    return {name: value for name, value in buckets.items() if value}


async def shown(shop, claim_id):
    return (await shop.client.get(f"/dev/v1/affiliates/payouts/{claim_id}")).data


async def told(shop):
    return [event.TYPE for event in await shop.announced(*TOLD.values())]


async def done(shop, claim_id):
    """Who did what to it."""
    rows = await shop.rows("SELECT actor_id, action, note FROM activity WHERE subject_id = $1 ORDER BY seq", claim_id)
    return [tuple(row) for row in rows]
