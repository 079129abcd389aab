"""The main job over HTTP, call by call: what the demo, the journeys and the benchmark do at the gateway."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import aiohttp

from regulars.trouble import Trouble

Body = Mapping[str, Any]

_BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@dataclass(frozen=True)
class Answer:
    """A reply of the gateway, read whole."""

    status: int
    headers: Mapping[str, str]
    json: Any

    @property
    def data(self) -> Any:
        """What is under ``data`` in a good reply. Raises ``Trouble`` on a refusal."""
        if self.status >= 400:  # noqa: PLR2004
            raise Trouble(f"The gateway said {self.status}: {self.json}")
        return self.json["data"]


class Shopping:
    """A store seen from outside: as its merchant (secret key) and as its storefront (publishable key)."""

    def __init__(self, session: aiohttp.ClientSession, gateway_url: str, api_key: str, publishable_key: str) -> None:
        self._session = session
        self._url = gateway_url
        self._merchant = {"authorization": f"Bearer {api_key}"}
        self._storefront = {"authorization": f"Bearer {publishable_key}", "user-agent": _BROWSER}

    @classmethod
    def of(cls, session: aiohttp.ClientSession, stack: Any) -> Self:
        """The demo store of a running stack."""
        return cls(session, stack.gateway_url, stack.api_key, stack.publishable_key)

    async def call(
        self, method: str, path: str, body: Body | None = None, *, key: str | None = None, merchant: bool = True
    ) -> Answer:
        """One request; a POST gets a fresh idempotency key unless one is given."""
        headers = dict(self._merchant if merchant else self._storefront)
        if method == "POST":
            headers["idempotency-key"] = key or secrets.token_hex(12)
        async with self._session.request(
            method, self._url + path, json=body, headers=headers, allow_redirects=False
        ) as reply:
            is_json = "json" in reply.headers.get("content-type", "")
            return Answer(reply.status, reply.headers, await reply.json(content_type=None) if is_json else None)

    async def add_product(self, sku: str, name: str, price: float) -> Any:
        """A product of the catalogue; the one that is there if the SKU is taken."""
        made = await self.call("POST", "/dev/v1/products", {"sku": sku, "name": name, "price": price})
        if made.status == 409:  # noqa: PLR2004
            return sku
        return made.data["sku"]

    async def add_customer(self, email: str, name: str) -> Any:
        """A customer made by the merchant."""
        return (await self.call("POST", "/dev/v1/customers", {"email": email, "name": name})).data

    async def customer(self, customer_id: str) -> Any:
        """What customers knows of one person."""
        return (await self.call("GET", f"/dev/v1/customers/{customer_id}")).data

    async def enrol(self, customer_id: str, code: str) -> Any:
        """Make a customer an affiliate."""
        return (await self.call("POST", f"/dev/v1/customers/{customer_id}/affiliate", {"code": code})).data

    async def affiliate(self, customer_id: str) -> Any:
        """What affiliates knows of one affiliate."""
        return (await self.call("GET", f"/dev/v1/customers/{customer_id}/affiliate")).data

    async def wallet(self, customer_id: str) -> Any:
        """What the wallet knows of one customer."""
        return (await self.call("GET", f"/dev/v1/customers/{customer_id}/wallet")).data

    async def follow(self, store_slug: str, code: str) -> Answer:
        """A visitor follows an affiliate's link."""
        return await self.call("GET", f"/r/{store_slug}/{code}", merchant=False)

    async def open_cart(self, sku: str, quantity: int, code: str | None = None) -> Any:
        """A cart with one product; ``code`` is the affiliate's."""
        body = {"items": [{"sku": sku, "quantity": quantity}]} | ({"affiliate_code": code} if code else {})
        return (await self.call("POST", "/storefront/v1/carts", body, merchant=False)).data

    async def give_contact(self, cart_id: str, email: str, name: str) -> Any:
        """The visitor says who they are."""
        path = f"/storefront/v1/carts/{cart_id}/contact"
        return (await self.call("PUT", path, {"email": email, "name": name}, merchant=False)).data

    async def check_out(self, cart: Body, credit: float | None = None, *, key: str | None = None) -> Answer:
        """Turn a cart into an order; the merchant's server does it where credit is spent, for it knows the customer."""
        body = {"expected_total": cart["total"]} | ({"credit": credit} if credit else {})
        path = f"/storefront/v1/carts/{cart['id']}/checkout"
        return await self.call("POST", path, body, merchant=credit is not None, key=key)

    async def pay(self, order_id: str) -> Any:
        """Pay what is due with the sandbox provider, by the page it shows."""
        path = f"/storefront/v1/orders/{order_id}/payment-sessions"
        session = (await self.call("POST", path, {"provider": "sandbox"}, merchant=False)).data
        page = "/" + session["url"].split("/", 3)[3]
        return (await self.call("POST", page, {"outcome": "approve"}, merchant=False)).data

    async def order(self, order_id: str) -> Any:
        """Where an order stands."""
        return (await self.call("GET", f"/storefront/v1/orders/{order_id}", merchant=False)).data

    async def convert(self, customer_id: str, amount: float, *, key: str | None = None) -> Answer:
        """Turn commission into store credit."""
        path = f"/dev/v1/customers/{customer_id}/affiliate/convert-to-balance"
        return await self.call("POST", path, {"amount": amount}, key=key)
