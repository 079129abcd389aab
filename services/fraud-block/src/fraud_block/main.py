"""The fraud-block service: who must be kept out."""

from chassis.service import build
from fraud_block import api, consumers, store_faults

service = build(
    "fraud-block",
    consumers=consumers.router,
    api=api.router,
    verify=store_faults.faults,
    # A buyer's customer id is only compared: a screening never waits for us to have heard of them.
    known_customers=False,
)
