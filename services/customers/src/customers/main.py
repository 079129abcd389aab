"""The customers service: who the customers are and what they are worth."""

from chassis.service import build
from customers import api, consumers, store_figures

service = build(
    "customers",
    consumers=consumers.router,
    api=api.router,
    verify=store_figures.faults,
    known_customers=False,
)
