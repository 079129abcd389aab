"""Commissions as staff see them and decide about them, and what becomes of those whose they are."""

from payout_desk import ask, some

from chassis import ids

TAKEN = {"reason": "terms"}


def path(commission_id, verb=""):
    return f"/dev/v1/affiliates/commissions/{commission_id}" + (f"/{verb}" if verb else "")


async def do(shop, order, verb, *, key=None, **body):
    """``await do(shop, order, "deny", reason="fraud")``: what staff are answered."""
    return await shop.client.post(path((await seen(shop, order))["id"], verb), body or None, key=key or ids.new("key"))


async def seen(shop, order):
    """An order's commission as staff see it."""
    (found,) = (await shop.client.get(f"/dev/v1/affiliates/commissions?order_id={order.order_id}")).data
    return found


async def take(shop, customer, amount):
    """An affiliate takes money: it is requested."""
    assert (await ask(shop, customer, amount=amount)).status == 201


async def buckets(shop, customer):
    """Where an affiliate's money is: what is not nothing."""
    return some(await shop.buckets(customer))


async def links(shop, customer):
    """Sales and revenue by code."""
    shown = (await shop.client.get(f"/dev/v1/customers/{customer}/affiliate/links")).data
    return {link["code"]: (link["total_sales"], link["total_revenue"]) for link in shown}


async def noted(shop, order):
    """What was done to an order's commission, the latest last."""
    commission = await seen(shop, order)
    done = (await shop.client.get(f"/dev/v1/affiliates/activity?subject={commission['id']}")).data
    return [(each["action"], each["note"]) for each in reversed(done)]
