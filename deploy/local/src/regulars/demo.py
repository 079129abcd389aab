"""`regulars demo`: the main job at the gateway of a running stack, told step by step (design §6)."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from rich.console import Console

from regulars.elsewhere import Elsewhere
from regulars.shopping import Shopping
from regulars.stack import Stack
from regulars.trouble import Trouble

out = Console(soft_wrap=True, highlight=False)

_PATIENCE = 60.0

# What is told of what a service knows, in this order; the whole of it is one GET away.
_TOLD = (
    "order_id",
    "customer_id",
    "id",
    "stage",
    "status",
    "invoice_number",
    "total",
    "credit",
    "paid",
    "orders",
    "total_spent",
    "claim_id",
    "amount",
    "wallet_transaction_id",
    "new_balance",
    "link",
    "code",
    "total_clicks",
    "total_sales",
    "total_revenue",
    "balances",
    "available",
    "requested",
    "converted",
    "balance",
    "held",
)


def run(stack: Stack | Elsewhere) -> None:
    """Do the main job once with fresh people. Raises ``Trouble`` when a step does not come out."""
    try:
        asyncio.run(_run(stack))
    except aiohttp.ClientConnectionError as error:
        raise Trouble(f"The gateway at {stack.gateway_url} does not answer: {error}.") from error


async def _run(stack: Stack | Elsewhere) -> None:
    began = time.perf_counter()
    async with aiohttp.ClientSession() as session:
        await Story(Shopping.of(session, stack)).tell()
    out.print(f"\n[green]The main job ran end to end in {time.perf_counter() - began:.1f} s.[/green]")
    if isinstance(stack, Elsewhere):
        return
    out.print("Run it again for new people, or look around: `regulars status`, `regulars verify`, `regulars logs`.")
    out.print("The stack stays up for that; `regulars down` stops it.")


class Story:
    """One run of the main job: an affiliate, a visitor they bring, and what both leave behind."""

    def __init__(self, shop: Shopping) -> None:
        self.shop = shop
        self.tag = secrets.token_hex(3)
        self.code = f"creator-{self.tag}"
        self.step = 0

    async def tell(self) -> None:
        """All of it, in order."""
        shop = self.shop
        self.say("The store fills its shelves and gains an affiliate")
        await shop.add_product("grinder", "Hand grinder", 125)
        await shop.add_product("beans", "Coffee beans, 1 kg", 18)
        ada = await shop.add_customer(f"ada-{self.tag}@example.com", "Ada Creator")
        await shop.enrol(ada["id"], self.code)
        self.tell_of("affiliates", f"{ada['id']} is an affiliate with the code {self.code}")

        visitor = await self.bring_a_visitor()
        await self.until("customers", lambda: shop.customer(visitor), lambda known: known["orders"] == 1)
        await self.until("affiliates", lambda: shop.affiliate(ada["id"]), _has_sold)

        self.say("Ada turns 25 of commission into store credit")
        began = time.perf_counter()
        converted = (await shop.convert(ada["id"], 25)).data
        self.tell_of("affiliates", f"{_short(converted)}, in {(time.perf_counter() - began) * 1000:.0f} ms")
        self.tell_of("wallet", await shop.wallet(ada["id"]))

        await self.spend(ada)
        self.say("What each service knows of Ada now")
        await self.until("customers", lambda: shop.customer(ada["id"]), _has_bought)
        self.tell_of("wallet", await shop.wallet(ada["id"]))
        self.tell_of("affiliates", await shop.affiliate(ada["id"]))

    async def bring_a_visitor(self) -> str:
        """A visitor follows the link, buys for 250 and becomes a customer; their id."""
        shop = self.shop
        self.say(f"A visitor follows /r/demo/{self.code}")
        landed = await shop.follow("demo", self.code)
        self.tell_of("gateway", f"{landed.status} to {landed.headers['location']}")
        self.say("They fill a cart and say who they are")
        cart = await shop.open_cart("grinder", 2, self.code)
        await shop.give_contact(cart["id"], f"grace-{self.tag}@example.com", "Grace Visitor")
        self.tell_of("carts", f"cart {cart['id']}, total {cart['total']}")
        self.say("They check out: fraud-block screens, customers says who they are, carts places the order")
        order = (await shop.check_out(cart)).data
        self.tell_of("carts", f"order {order['order_id']} of {order['customer_id']} is {order['status']}")
        self.say("They pay at the sandbox provider")
        await shop.pay(order["order_id"])
        await self.until("carts", lambda: shop.order(order["order_id"]), lambda it: it["status"] == "COMPLETED")
        return str(order["customer_id"])

    async def spend(self, ada: Any) -> None:
        """Ada buys for 18 with her credit: a hold, a capture, a PAYMENT entry."""
        shop = self.shop
        self.say("Ada spends 18 of it on an order of her own: held, captured, entered in the ledger")
        cart = await shop.open_cart("beans", 1)
        await shop.give_contact(cart["id"], ada["email"], ada["name"])
        order = (await shop.check_out(cart, credit=18)).data
        await self.until("carts", lambda: shop.order(order["order_id"]), lambda it: it["status"] == "COMPLETED")

    def say(self, sentence: str) -> None:
        """The next step."""
        self.step += 1
        out.print(f"\n[bold]{self.step}. {sentence}[/bold]")

    def tell_of(self, service: str, known: object) -> None:
        """What a service knows now."""
        out.print(f"   [cyan]{service:<11}[/cyan] {_short(known)}")

    async def until(self, service: str, read: Callable[[], Awaitable[Any]], happened: Callable[[Any], bool]) -> None:
        """Wait until the news has reached a service, then tell what it knows."""
        deadline = time.monotonic() + _PATIENCE
        while not happened(known := await read()):
            if time.monotonic() > deadline:
                raise Trouble(f"{service} did not hear of it within {_PATIENCE:.0f} s; it knows {known}")
            await asyncio.sleep(0.02)
        self.tell_of(service, known)


def _has_bought(customer: Any) -> bool:
    return bool(customer["balance"] == 7 and customer["orders"] == 1)  # noqa: PLR2004


def _has_sold(affiliate: Any) -> bool:
    return bool(affiliate["balances"]["available"] == 25 and affiliate["link"]["total_clicks"] == 1)  # noqa: PLR2004


def _short(known: object) -> str:
    if not isinstance(known, dict):
        return str(known)
    return ", ".join(f"{name.replace('_', ' ')} {_short(known[name])}" for name in _TOLD if name in known)
