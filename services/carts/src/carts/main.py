"""The carts service: catalogue, carts, checkout, orders, invoices and payments."""

from carts import api, consumers, store_faults, store_orders
from carts.settings import Settings
from chassis.service import build

service = build(
    "carts",
    settings=Settings,
    consumers=consumers.router,
    api=api.router,
    verify=store_faults.faults,
    at_work=store_orders.open_among,
)
