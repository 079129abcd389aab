"""The sandbox's hosted pages: a shop's front, and where a buyer approves or declines (its session id is the secret)."""

from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from pydantic import BaseModel

from carts import orders, progress, sandbox, store_orders, store_payments
from carts.api.fields import PaymentSessionPath
from carts.api.payments import OrderNotPayable, shown
from carts.orders import Order
from carts.sandbox import Outcome
from carts.store_payments import PaymentSession, SessionStatus
from chassis import clock, stores
from chassis.db import Conn as Transaction
from chassis.http import Api, Caller, Conn, Data, policy
from chassis.money import major, parse_json
from chassis.problems import Flaw, Invalid, MalformedJson, NotFound, Refused
from contracts.carts import OrderStatus

router = Api()


class SessionClosed(Refused):
    """A session is decided once."""

    code = "payment_session_closed"
    title = "This payment was decided already"


class Decided(BaseModel):
    """What became of a session and its order."""

    payment_session_id: str
    provider: str
    url: str
    status: SessionStatus
    order_id: str
    order_status: OrderStatus


@router.get("/sandbox/{store_slug}/shop", response_class=HTMLResponse)
@policy(None)
async def show_front(store_slug: str, ref: Annotated[str, Query(max_length=64)] = "") -> Response:
    """The front page of a shop that has none of its own, such as the demo store."""
    return _page(sandbox.front(store_slug, ref))


@router.get("/sandbox/{store_slug}/{payment_session_id}", response_class=HTMLResponse)
@policy(None)
async def show_page(store_slug: str, payment_session_id: PaymentSessionPath, caller: Caller, conn: Conn) -> Response:
    """The page a buyer is sent to."""
    session = await _session(conn, caller.store_id, store_slug, payment_session_id)
    order = await store_orders.order_of(conn, session.store_id, session.order_id)
    if order is None:
        raise NotFound
    bill = sandbox.Bill(
        order_number=order.number,
        items=tuple(f"{line.quantity} x {line.name}" for line in order.lines),
        amount=f"{major(session.amount_minor, order.currency)} {order.currency}",
        status=session.status,
        payable=session.status is SessionStatus.OPEN and _fits(order, session),
    )
    return _page(sandbox.page(bill))


@router.post("/sandbox/{store_slug}/{payment_session_id}")
@policy(None)
async def decide(
    store_slug: str, payment_session_id: PaymentSessionPath, request: Request, caller: Caller, conn: Conn
) -> Response:
    """Approve or decline, as form or JSON; the same again changes nothing. A form goes back to the page."""
    outcome, by_form = _outcome(request.headers.get("content-type", ""), await request.body())
    named = await _session(conn, caller.store_id, store_slug, payment_session_id)
    order = await store_orders.lock_order(conn, caller.store_id, named.order_id)
    session = await store_payments.session_of(conn, caller.store_id, payment_session_id)
    if order is None or session is None:
        raise NotFound
    order, status = await _decide(conn, order, session, outcome)
    if by_form:
        return RedirectResponse(f"/sandbox/{store_slug}/{payment_session_id}", 303)
    seen = await shown(conn, request, session)
    reply = Decided(**seen.model_dump() | {"status": status}, order_id=order.order_id, order_status=order.status)
    return JSONResponse(Data(data=reply).model_dump(mode="json"))


def _page(html: str) -> Response:
    headers = {"content-security-policy": sandbox.CONTENT_SECURITY_POLICY, "cache-control": "no-store"}
    return HTMLResponse(html, headers=headers)


async def _session(conn: Transaction, store_id: str, slug: str, payment_session_id: str) -> PaymentSession:
    session = await store_payments.session_of(conn, store_id, payment_session_id)
    if session is None or session.provider != sandbox.NAME or (await stores.store(conn, store_id)).slug != slug:
        raise NotFound
    return session


def _outcome(content_type: str, body: bytes) -> tuple[Outcome, bool]:
    """What was chosen, and whether on the page's form."""
    by_form = "json" not in content_type
    given: Any
    if by_form:
        given = parse_qs(body.decode("utf-8", "replace")).get("outcome", [""])[0]
    else:
        try:
            fields = parse_json(body)
        except ValueError:
            raise MalformedJson from None
        given = fields.get("outcome") if isinstance(fields, dict) else None
    if given not in list(Outcome):
        message = "outcome is approve or decline"
        raise Invalid(message, errors=[Flaw(pointer="/outcome", code="outcome_unknown", message=message)])
    return Outcome(given), by_form


def _fits(order: Order, session: PaymentSession) -> bool:
    """Whether a session is for exactly what is due now."""
    due = (order.paid_minor, order.due_minor)
    return order.payable and due == (session.paid_before_minor, session.amount_minor)


async def _decide(
    conn: Transaction, order: Order, session: PaymentSession, outcome: Outcome
) -> tuple[Order, SessionStatus]:
    """Under the order's lock: close the session once, and let a payment move the order on."""
    wanted = SessionStatus.APPROVED if outcome is Outcome.APPROVE else SessionStatus.DECLINED
    if session.status is wanted:
        return order, wanted
    if session.status is not SessionStatus.OPEN:
        raise SessionClosed
    if wanted is SessionStatus.APPROVED and not _fits(order, session):
        raise OrderNotPayable
    await store_payments.decide_session(conn, session, wanted, clock.now())
    if wanted is SessionStatus.APPROVED:
        order = await progress.settle(conn, orders.paid(order, session.amount_minor, session.provider))
    return order, wanted
