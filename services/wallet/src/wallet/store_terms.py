"""A store's settings of credit, kept with a version that rises with each change."""

from datetime import datetime
from typing import NamedTuple

from chassis.db import Conn
from contracts.wallet import OverCap
from wallet.terms import Terms


class Kept(NamedTuple):
    """Settings as they are kept. Version 0: the store never changed any."""

    terms: Terms
    version: int


async def terms_of(conn: Conn, store_id: str) -> Kept:
    """A store's settings."""
    row = await conn.row(
        """
        SELECT refunds_as_credit, default_expiry_days, balance_cap_minor, promo_over_cap, reminder_days, version
        FROM terms WHERE store_id = $1
        """,
        store_id,
    )
    if row is None:
        return Kept(Terms(), 0)
    return Kept(Terms(row[0], row[1], row[2], OverCap(row[3]), row[4]), row["version"])


async def lock_terms(conn: Conn, store_id: str) -> Kept:
    """A store's settings, which nobody else changes before this transaction ends. There may be no row to lock yet."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended('terms ' || $1, 0))", store_id)
    return await terms_of(conn, store_id)


async def save_terms(conn: Conn, store_id: str, kept: Kept, at: datetime) -> None:
    """Write settings that were locked."""
    terms = kept.terms
    await conn.execute(
        """
        INSERT INTO terms (
            store_id, version, refunds_as_credit, default_expiry_days, balance_cap_minor, promo_over_cap, reminder_days,
            changed_at
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (store_id) DO UPDATE SET
            version = excluded.version, refunds_as_credit = excluded.refunds_as_credit,
            default_expiry_days = excluded.default_expiry_days, balance_cap_minor = excluded.balance_cap_minor,
            promo_over_cap = excluded.promo_over_cap, reminder_days = excluded.reminder_days,
            changed_at = excluded.changed_at
        """,
        store_id,
        kept.version,
        terms.refunds_as_credit,
        terms.default_expiry_days,
        terms.balance_cap_minor,
        terms.promo_over_cap,
        terms.reminder_days,
        at,
    )
