"""Payment sessions: what a buyer was sent to pay, and what came of it. Their order is locked first."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from chassis.db import Conn


class SessionStatus(StrEnum):
    """Where a session stands. Approved and declined are final."""

    OPEN = "OPEN"
    APPROVED = "APPROVED"
    DECLINED = "DECLINED"


@dataclass(frozen=True, slots=True)
class PaymentSession:
    """One attempt to pay what was due once ``paid_before_minor`` had been paid."""

    store_id: str
    payment_session_id: str
    order_id: str
    provider: str
    paid_before_minor: int
    amount_minor: int
    status: SessionStatus
    opened_at: datetime


async def add_session(conn: Conn, session: PaymentSession) -> None:
    """Open a session."""
    await conn.execute(
        """
        INSERT INTO payment_session (store_id, payment_session_id, order_id, provider, paid_before_minor,
                                     amount_minor, status, opened_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        """,
        session.store_id,
        session.payment_session_id,
        session.order_id,
        session.provider,
        session.paid_before_minor,
        session.amount_minor,
        session.status,
        session.opened_at,
    )


async def session_of(conn: Conn, store_id: str, payment_session_id: str) -> PaymentSession | None:
    """A session; final only when read under its order's lock."""
    row = await conn.row(
        """
        SELECT store_id, payment_session_id, order_id, provider, paid_before_minor, amount_minor, status, opened_at
        FROM payment_session WHERE store_id = $1 AND payment_session_id = $2
        """,
        store_id,
        payment_session_id,
    )
    if row is None:
        return None
    return PaymentSession(**dict(row) | {"status": SessionStatus(row["status"])})


async def decide_session(conn: Conn, session: PaymentSession, status: SessionStatus, now: datetime) -> None:
    """Close an open session."""
    await conn.execute(
        """
        UPDATE payment_session SET status = $3, decided_at = $4
        WHERE store_id = $1 AND payment_session_id = $2 AND status = 'OPEN'
        """,
        session.store_id,
        session.payment_session_id,
        status,
        now,
    )
