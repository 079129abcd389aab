"""The life of an order: whatever comes, how often and in which order, it ends in the one right place."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carts import orders
from carts.orders import Credit, Do, Order, OrderLine, Refusal, Screening, advance
from contracts.carts import OrderStatus
from contracts.fraud import Decision

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ASKS = {Do.ASK_SCREENING, Do.ASK_HOLD, Do.ASK_CAPTURE, Do.ASK_RELEASE}
ANNOUNCEMENTS = {Do.ANNOUNCE_PLACED, Do.ANNOUNCE_COMPLETED, Do.ANNOUNCE_CANCELLED}


def fresh(credit=0, gross=1000, customer_id="cus"):
    return Order(
        store_id="store",
        order_id="order",
        cart_id="cart",
        invoice_id="inv",
        number="R-1",
        currency="EUR",
        lines=(OrderLine("prod", "mug", "Mug", 1, gross),),
        gross_minor=gross,
        asked_credit_minor=credit,
        credit=Credit.NEEDED if credit else Credit.NONE,
        screening_id="scr",
        hold_id="hold",
        placed_at=NOW,
        customer_id=customer_id,
    )


class Life:
    """An order under ``advance``, and everything that was done for it."""

    def __init__(self, order):
        self.order, self.done = order, []
        self.hear(lambda same: same)

    def hear(self, fact):
        self.order, steps = advance(fact(self.order), NOW)
        self.done += steps
        return [step.do for step in steps]

    def count(self, do):
        return [step.do for step in self.done].count(do)


def allow(order):
    return orders.screened(order, Decision.ALLOW)


def block(order):
    return orders.screened(order, Decision.BLOCK)


def review(order):
    return orders.screened(order, Decision.REVIEW)


def pay(order):
    return orders.paid(order, order.due_minor, "sandbox") if order.payable else order


def test_nothing_is_asked_or_announced_before_the_customer_is_known():
    life = Life(fresh(credit=400, customer_id=None))
    assert life.done == []
    assert life.hear(lambda order: orders.identified(order, "cus")) == [Do.ASK_SCREENING, Do.ASK_HOLD]
    assert life.hear(lambda order: orders.identified(order, "other")) == []
    assert life.order.customer_id == "cus"


def test_an_order_without_credit_is_announced_then_paid_then_completed():
    life = Life(fresh())
    assert life.hear(allow) == [Do.ANNOUNCE_PLACED, Do.ANSWER]
    assert life.hear(pay) == [Do.NUMBER_INVOICE, Do.ANNOUNCE_COMPLETED]
    assert (life.order.status, life.order.version, life.order.gateway) == (OrderStatus.COMPLETED, 2, "sandbox")


def test_an_order_paid_with_credit_alone_completes_after_the_capture():
    life = Life(fresh(credit=1000))
    life.hear(allow)
    assert life.hear(orders.hold_placed) == [Do.ANNOUNCE_PLACED, Do.ASK_CAPTURE]
    assert life.order.status is OrderStatus.AWAITING_PAYMENT
    assert not life.order.payable
    assert life.hear(orders.captured) == [Do.NUMBER_INVOICE, Do.ANNOUNCE_COMPLETED, Do.ANSWER]
    assert life.order.gateway == "wallet"


def test_credit_is_captured_only_when_the_rest_is_paid():
    life = Life(fresh(credit=400))
    life.hear(allow)
    life.hear(orders.hold_placed)
    assert life.order.due_minor == 600
    assert life.hear(pay) == [Do.ASK_CAPTURE]
    assert life.order.status is OrderStatus.AWAITING_PAYMENT
    life.hear(orders.captured)
    assert life.order.status is OrderStatus.COMPLETED


def test_a_free_order_completes_as_soon_as_it_is_allowed():
    life = Life(fresh(gross=0))
    assert life.hear(allow) == [Do.ANNOUNCE_PLACED, Do.NUMBER_INVOICE, Do.ANNOUNCE_COMPLETED, Do.ANSWER]
    assert [step.order.version for step in life.done if step.do in ANNOUNCEMENTS] == [1, 2]


def test_a_blocked_order_is_cancelled_and_gives_its_hold_back():
    life = Life(fresh(credit=400))
    life.hear(orders.hold_placed)
    assert life.hear(block) == [Do.ASK_RELEASE, Do.ANNOUNCE_CANCELLED, Do.ANSWER]
    assert (life.order.status, life.order.refusal) == (OrderStatus.CANCELLED, Refusal.NOT_WELCOME)
    life.hear(orders.hold_released)
    assert life.order.credit is Credit.RELEASED


def test_a_hold_that_is_still_asked_for_is_given_back_too_and_its_late_answer_changes_nothing():
    life = Life(fresh(credit=400))
    assert Do.ASK_RELEASE in life.hear(block)
    assert life.hear(orders.hold_placed) == life.hear(allow) == []
    assert life.order.status is OrderStatus.CANCELLED


def test_an_order_without_enough_credit_is_cancelled_and_nothing_is_held():
    life = Life(fresh(credit=400))
    assert life.hear(orders.hold_refused) == [Do.ANNOUNCE_CANCELLED, Do.ANSWER]
    assert life.order.refusal is Refusal.INSUFFICIENT_CREDIT
    assert life.hear(allow) == []


def test_a_review_waits_for_a_human_then_goes_on_or_ends():
    for decided, status in ((allow, OrderStatus.AWAITING_PAYMENT), (block, OrderStatus.CANCELLED)):
        life = Life(fresh())
        assert life.hear(review) == [Do.ANSWER]
        assert life.order.status is OrderStatus.UNDER_REVIEW
        life.hear(decided)
        assert life.order.status is status
        assert life.hear(review) == []


@pytest.mark.parametrize("credit", [400, 1000])
def test_a_refused_capture_makes_the_credits_part_due_again(credit):
    life = Life(fresh(credit=credit))
    life.hear(allow)
    life.hear(orders.hold_placed)
    life.hear(pay)
    told_at_checkout = credit < 1000
    assert life.hear(orders.capture_refused) == ([] if told_at_checkout else [Do.ANSWER])
    assert (life.order.status, life.order.credit_minor) == (OrderStatus.AWAITING_PAYMENT, 0)
    assert life.order.due_minor == credit
    life.hear(pay)
    assert (life.order.status, life.order.paid_minor) == (OrderStatus.COMPLETED, 1000)


def test_a_hold_that_lapsed_is_captured_all_the_same():
    life = Life(fresh(credit=400))
    life.hear(allow)
    life.hear(orders.hold_placed)
    assert life.hear(orders.hold_released) == []
    assert life.hear(pay) == [Do.ASK_CAPTURE]


VERDICTS = st.sampled_from([[allow], [block], [review, allow], [review, block], [review]])


@given(
    credit=st.sampled_from([0, 400, 1000]),
    verdicts=VERDICTS,
    hold=st.sampled_from([orders.hold_placed, orders.hold_refused]),
    capture=st.sampled_from([orders.captured, orders.capture_refused]),
    late=st.booleans(),
    picks=st.lists(st.integers(0, 99), max_size=60),
)
def test_every_order_of_arrival_with_every_repeat_ends_in_the_same_place(credit, verdicts, hold, capture, late, picks):
    """``picks`` says who speaks next: an answer that is due, or one heard before that comes again."""

    def live(choose):
        life = Life(fresh(credit, customer_id=None if late else "cus"))
        due = [lambda order: orders.identified(order, "cus")]
        heard = []
        replies = {
            Do.ASK_SCREENING: verdicts,
            Do.ASK_HOLD: [hold],
            Do.ASK_CAPTURE: [capture],
            Do.ASK_RELEASE: [orders.hold_released],
        }
        for step in life.done:
            due += replies.get(step.do, [])
        while due or life.order.payable:
            spoken = [*due[:1], *due[-1:], *heard] if not life.order.payable else [pay, *due, *heard]
            fact = spoken[choose() % len(spoken)]
            if fact in due:
                due.remove(fact)
            if fact is not pay:
                heard.append(fact)
            for do in life.hear(fact):
                due += replies.get(do, [])
        return life

    script = iter(picks)
    life = live(lambda: next(script, 0))
    straight = live(lambda: 0)

    def end(order):
        refused_either_way = order.refusal is not None and hold is orders.hold_refused
        return (
            order.status,
            order.version,
            order.due_minor,
            order.paid_minor,
            None if refused_either_way else (order.refusal, order.credit, order.screening),
        )

    assert end(life.order) == end(straight.order)
    assert all(life.count(do) <= 1 for do in ASKS | {Do.NUMBER_INVOICE, Do.ANNOUNCE_COMPLETED})
    announced = [step.order.version for step in life.done if step.do in ANNOUNCEMENTS]
    assert announced == list(range(1, life.order.version + 1))
    if life.order.status is OrderStatus.COMPLETED:
        wallet = life.order.credit_minor if life.order.credit is Credit.CAPTURED else 0
        assert wallet + life.order.paid_minor == life.order.gross_minor
        assert life.order.screening is Screening.ALLOW
    if life.order.status is OrderStatus.CANCELLED:
        assert life.order.credit in {Credit.NONE, Credit.REFUSED, Credit.RELEASED}
        assert life.order.paid_minor == 0
