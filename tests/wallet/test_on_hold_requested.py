"""Orders paid with credit: what carts asks is answered, each time it asks."""

from chassis import ids
from contracts.ids import HOLD, ORDER
from contracts.wallet import CaptureRequested, HoldRequested, ReleaseRequested
from wallet.consumers import on_captures_requested, on_holds_requested, on_releases_requested


class Order:
    """An order of 30 that carts wants to be paid with credit; says what the wallet tells when asked."""

    def __init__(self, ledger, worker, customer_id):
        self.worker = worker
        self.hold = {"store_id": ledger.store_id, "customer_id": customer_id, "hold_id": ids.new(HOLD)}
        self.order = self.hold | {"order_id": ids.new(ORDER), "amount_minor": 30}

    async def ask(self, handler, *requests):
        async with self.worker.transaction() as conn:
            await handler(requests, conn)
        return [announced.event for announced in conn.announced]

    async def place(self, times=1):
        return await self.ask(on_holds_requested, *[HoldRequested(**self.order, currency="EUR")] * times)

    async def capture(self, times=1):
        return await self.ask(on_captures_requested, *[CaptureRequested(**self.order)] * times)

    async def release(self, times=1):
        return await self.ask(on_releases_requested, *[ReleaseRequested(**self.hold)] * times)


async def test_an_order_is_paid_with_credit(ledger, worker):
    order = Order(ledger, worker, await ledger.funded(100))
    (placed,) = await order.place()
    assert (placed.TYPE, placed.hold_id, placed.amount_minor) == ("wallet.hold_placed", order.hold["hold_id"], 30)
    posted, captured = await order.capture()
    assert (posted.TYPE, posted.type, posted.amount_minor) == ("wallet.posted", "PAYMENT", -30)
    assert (captured.TYPE, captured.entry_id, captured.order_id) == (
        "wallet.captured",
        posted.entry_id,
        order.order["order_id"],
    )
    assert await ledger.balance(order.hold["customer_id"]) == (70, 0)


async def test_every_request_that_comes_again_is_answered_again(ledger, worker):
    order = Order(ledger, worker, await ledger.funded(100))
    assert await order.place(times=2) == await order.place(times=2)
    _, captured = await order.capture()
    assert await order.capture(times=2) == [captured, captured]
    assert await order.release() == [captured]
    assert await ledger.balance(order.hold["customer_id"]) == (70, 0)


async def test_too_large_a_hold_is_refused(ledger, worker):
    order = Order(ledger, worker, await ledger.funded(29))
    (refused,) = await order.place()
    assert (refused.TYPE, refused.reason) == ("wallet.hold_refused", "insufficient_credit")
    (refused,) = await order.capture()
    assert (refused.TYPE, refused.reason) == ("wallet.capture_refused", "hold_ended")


async def test_a_release_overtakes_its_hold(ledger, worker):
    order = Order(ledger, worker, await ledger.funded(100))
    released = await order.release(times=2)
    assert [(event.TYPE, event.reason) for event in released] == [("wallet.hold_released", "unknown_hold")] * 2
    (refused,) = await order.place()
    assert (refused.TYPE, refused.reason) == ("wallet.hold_refused", "hold_ended")
    (refused,) = await order.capture()
    assert (refused.TYPE, refused.reason) == ("wallet.capture_refused", "unknown_hold")
    assert await ledger.balance(order.hold["customer_id"]) == (100, 0)


async def test_a_whole_history_heard_again_moves_nothing(ledger, worker):
    customer = await ledger.funded(100)
    paid, cancelled = Order(ledger, worker, customer), Order(ledger, worker, customer)
    for _ in range(2):
        await paid.place()
        await cancelled.place()
        await paid.capture()
        await cancelled.release()
        assert await ledger.balance(customer) == (70, 0)
