"""Where the pages of lists by time begin: a cursor carries the time and the id of the last row of the page before."""

from datetime import datetime

from pydantic import TypeAdapter, ValidationError

from affiliates.claims import Claim
from affiliates.commissions import Commission
from affiliates.store_lists import START, Place
from chassis.pagination import read_cursor
from chassis.periods import Moment
from chassis.problems import InvalidCursor
from contracts.ids import ClaimId, CommissionId

_Kind = TypeAdapter[tuple[datetime, str]]
_Commission: _Kind = TypeAdapter(tuple[Moment, CommissionId])
_Claim: _Kind = TypeAdapter(tuple[Moment, ClaimId])


def before_commission(cursor: str | None, filters: object) -> Place:
    """Where a page of commissions begins. Raises ``InvalidCursor``."""
    return _place(cursor, filters, _Commission)


def before_claim(cursor: str | None, filters: object) -> Place:
    """Where a page of claims begins. Raises ``InvalidCursor``."""
    return _place(cursor, filters, _Claim)


def commission_keys(commission: Commission) -> list[str | int]:
    """What the cursor after a commission carries."""
    return [commission.earned_at.isoformat(), commission.commission_id]


def claim_keys(claim: Claim) -> list[str | int]:
    """What the cursor after a claim carries."""
    return [claim.created_at.isoformat(), claim.claim_id]


def _place(cursor: str | None, filters: object, kind: _Kind) -> Place:
    keys = read_cursor(cursor, filters)
    if keys is None:
        return START
    try:
        return Place(*kind.validate_python(keys))
    except ValidationError:
        raise InvalidCursor from None
