"""A visitor follows an affiliate's link, and the affiliate earns by what they buy: gateway, carts, affiliates."""

import aiohttp
import pytest
from journey import World
from patience import until

from regulars.shopping import Shopping

pytestmark = pytest.mark.journeys


async def test_a_browser_that_followed_a_link_brings_its_order_to_the_affiliate(world):
    seller, _ = await world.affiliate_with(orders=0)
    code = (await world.shop.affiliate(seller))["link"]["code"]
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        visitor = World(world.stack, browser, Shopping.of(browser, world.stack))
        await visitor.shop.follow("demo", code)
        told = await visitor.shop.call("POST", "/storefront/v1/clicks", {"code": "nobodys-code"}, merchant=False)
        assert told.status == 204
        order = await visitor.buy("sku-1000000")
    assert order["affiliate_code"] is None
    await until(lambda: world.shop.affiliate(seller), lambda it: it["balances"]["available"] == 100_000)
    await until(lambda: world.shop.affiliate(seller), lambda it: it["link"]["total_clicks"] == 1)
    clicks = (await world.shop.call("GET", f"/dev/v1/customers/{seller}/affiliate/clicks")).json
    assert clicks["totals"] == {
        "clicks": 1,
        "unique_clicks": 1,
        "sales": 1,
        "revenue": 1_000_000,
        "conversion_percent": 100,
    }
