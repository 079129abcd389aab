"""The links a buyer had followed are kept with the cart and told with the order."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carts import touches
from chassis import clock
from contracts.carts import OrderCancelled, OrderCompleted, OrderPlaced, Touch
from contracts.fraud import Decision

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
AT = int(NOW.timestamp())  # in seconds, as old cookies hold it
MS = AT * 1000


def told(*parts):
    return {"headers": {"x_regulars_touches": "~".join(f"{code}.{milliseconds(at)}" for code, at in parts)}}


def milliseconds(at):
    return (at - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)


def in_milliseconds(at):
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def test_what_is_told_is_read_newest_first_and_each_code_once():
    assert touches.read(f"abc.{MS - 9000}~D-e_f.{MS - 1}~abc.{AT - 5}~a.b.{MS - 7000}", NOW) == (
        Touch(code="D-e_f", at=NOW - timedelta(milliseconds=1)),
        Touch(code="abc", at=NOW - timedelta(seconds=5)),
        Touch(code="a.b", at=NOW - timedelta(seconds=7)),
    )


@pytest.mark.parametrize(
    "part",
    [
        "",
        "abc",
        "abc.",
        ".5",
        "a b.5",
        "abc.-5",
        "abc.5.x",
        "abc.²",
        "a" * 65 + ".5",
        "abc.123456789012",
        "abc.12345678901234",
    ],
)
def test_what_is_no_touch_is_left_out_and_the_rest_counts(part):
    assert touches.read(f"{part}~ok.5~{part}", NOW) == (Touch(code="ok", at=datetime.fromtimestamp(5, UTC)),)


def test_the_future_is_left_out_but_for_what_two_clocks_differ():
    assert touches.read(f"fast.{MS + 299_000}~wrong.{MS + 301_000}~ok.{MS}", NOW) == (
        Touch(code="fast", at=NOW),
        Touch(code="ok", at=NOW),
    )


def test_twenty_are_kept_the_newest():
    read = touches.read("~".join(f"c{number}.{AT - number}" for number in range(30)), NOW)
    assert [touch.code for touch in read] == [f"c{number}" for number in range(20)]


@given(st.text(max_size=60))
def test_no_text_is_an_error(text):
    assert touches.read(text, NOW) == touches.kept(touches.written(touches.read(text, NOW)))


async def test_an_order_tells_what_its_cart_was_opened_with(shop):
    first, second = clock.now() - timedelta(days=3), clock.now() - timedelta(days=2)
    headers = told(("first", first), ("second", second), ("not a code", first))["headers"]
    cart = (await shop.client.post("/storefront/v1/carts", {"items": [{"sku": "mug"}]}, **headers)).data
    assert "touches" not in cart
    cart = await shop.contact(cart, "ann@example.com")
    async with shop.answering():
        order = (await shop.check_out(cart)).data
        await shop.pay(order)
        await shop.until('SELECT 1 FROM "order" WHERE order_id = $1 AND status = $2', order["order_id"], "COMPLETED")
    await shop.drain()
    for kind in (OrderPlaced, OrderCompleted):
        (event,) = shop.of(kind)
        assert [(touch.code, touch.at) for touch in event.touches] == [
            ("second", in_milliseconds(second)),
            ("first", in_milliseconds(first)),
        ]
        assert event.affiliate_code is None


async def test_a_link_followed_after_the_cart_was_opened_counts_too(shop):
    earlier, later = clock.now() - timedelta(days=2), clock.now() - timedelta(hours=1)
    body = {"items": [{"sku": "mug"}], "affiliate_code": "given"}
    headers = told(("one", earlier), ("other", earlier))["headers"]
    cart = await shop.contact((await shop.client.post("/storefront/v1/carts", body, **headers)).data, "ann@example.com")
    shop.decision = Decision.BLOCK
    async with shop.answering():
        assert (await shop.check_out(cart, key="once", **told(("new", later), ("one", later)))).status == 409
        assert (await shop.check_out(cart, key="once", **told(("latest", later)))).status == 409
    await shop.drain()
    (event,) = shop.of(OrderCancelled)
    assert {touch.code for touch in event.touches} == {"new", "one", "other"}
    assert event.touches[-1].code == "other"
    assert event.touches[0].at == in_milliseconds(later)
    assert event.affiliate_code == "given"


async def test_a_buyer_without_touches_has_none(shop):
    order = await shop.bought()
    (event,) = shop.of(OrderPlaced)
    assert (event.order_id, event.touches) == (order["order_id"], ())
