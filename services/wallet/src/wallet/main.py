"""The wallet: the store-credit ledger."""

from chassis.service import build
from wallet import api, consumers
from wallet.store_faults import faults

service = build("wallet", consumers=consumers.router, api=api.router, verify=faults)
