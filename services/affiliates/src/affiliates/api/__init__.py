"""What affiliates may be asked: the program, a customer's affiliate side, conversions, and clicks by the gateway."""

from affiliates.api import (
    activity,
    claims,
    clicks,
    commission_actions,
    commissions,
    enrolment,
    links,
    lists,
    payouts,
    program,
    roster,
    statement,
    tables,
)
from chassis.http import Api

__all__ = ["router"]

router = Api()
for part in (
    program,
    roster,
    enrolment,
    links,
    claims,
    payouts,
    clicks,
    tables,
    lists,
    commission_actions,
    commissions,
    statement,
    activity,
):
    router.routes.extend(part.router.routes)
