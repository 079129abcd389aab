"""What a store owes its customers: credit that was given and not yet spent."""

from datetime import datetime

from pydantic import BaseModel, Field

from chassis import clock, stores
from chassis.http import Api, Caller, Conn, Data, policy
from chassis.money import Major, major
from wallet import store_statements
from wallet.store_statements import Liability

router = Api()

_OLDER = (31, 91, 181, 366)  # days from which a grant is of the next age
_AGES = ("0-30", "31-90", "91-180", "181-365", "over 365")
_HORIZONS = (30, 90, 365)


class AgeReply(BaseModel):
    """Open credit of an age and type. ``grants``: how many credits these are, and of how many customers."""

    age_days: str = Field(description="Whole days since it was granted", examples=[*_AGES])
    type: str = Field(description="Of the transaction that granted it")
    amount: Major
    held: Major
    grants: int
    customers: int


class ExpiringReply(BaseModel):
    """What expires within so many days: each figure contains those before it. ``later`` and ``never`` are the rest."""

    within_30_days: Major
    within_90_days: Major
    within_365_days: Major
    later: Major
    never: Major


class LiabilityReply(BaseModel):
    """``total`` is the sum of all balances, ``held`` of it is set aside for orders. ``debt`` is owed by customers."""

    currency: str
    at: datetime
    total: Major
    held: Major
    available: Major
    debt: Major
    customers: int = Field(description="How many have credit")
    by_age: list[AgeReply]
    expiring: ExpiringReply


@router.get("/dev/v1/wallet/liability")
@policy("wallet.read")
async def liability(caller: Caller, conn: Conn) -> Data[LiabilityReply]:
    """What the store owes now, by age and type."""
    now = clock.now()
    owed = await store_statements.liability(conn, caller.store_id, now, _OLDER, _HORIZONS)
    return Data(data=_show(owed, now, await stores.currency(conn, caller.store_id)))


def _show(owed: Liability, now: datetime, currency: str) -> LiabilityReply:
    total = sum(row.left_minor for row in owed.rows)
    held = sum(row.held_minor for row in owed.rows)
    latest = sum(row.latest_minor for row in owed.rows)
    never = sum(row.never_minor for row in owed.rows)
    return LiabilityReply(
        currency=currency,
        at=now,
        total=major(total, currency),
        held=major(held, currency),
        available=major(total - held, currency),
        debt=major(owed.debt_minor, currency),
        customers=owed.customers,
        by_age=[
            AgeReply(
                age_days=_AGES[row.age],
                type=row.type,
                amount=major(row.left_minor, currency),
                held=major(row.held_minor, currency),
                grants=row.grants,
                customers=row.customers,
            )
            for row in owed.rows
        ],
        expiring=ExpiringReply(
            within_30_days=major(sum(row.soon_minor for row in owed.rows), currency),
            within_90_days=major(sum(row.later_minor for row in owed.rows), currency),
            within_365_days=major(latest, currency),
            later=major(total - latest - never, currency),
            never=major(never, currency),
        ),
    )
