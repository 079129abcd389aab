"""The wallet: the store-credit ledger."""

from chassis.service import build
from wallet import api, consumers
from wallet.store_faults import faults
from wallet.store_figures import figures

service = build("wallet", consumers=consumers.router, api=api.router, verify=faults, figures=figures)
