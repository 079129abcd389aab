"""The affiliates service: who refers customers, and what they earn by it."""

from affiliates import api, consumers, timers
from affiliates.store_faults import faults
from chassis.service import build

service = build("affiliates", consumers=consumers.router, api=api.router, timers=timers.ALL, verify=faults)
