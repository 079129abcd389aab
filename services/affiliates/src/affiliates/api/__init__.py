"""What affiliates may be asked: the program, a customer's affiliate side, conversions, and clicks by the gateway."""

from affiliates.api import claims, clicks, enrolment, program
from chassis.http import Api

__all__ = ["router"]

router = Api()
for part in (program, enrolment, claims, clicks):
    router.routes.extend(part.router.routes)
