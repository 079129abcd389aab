"""The wallet: the store-credit ledger."""

from chassis.service import build
from wallet import api, consumers, store_faults, timers
from wallet.store_figures import figures

service = build(
    "wallet",
    consumers=consumers.router,
    api=api.router,
    timers=timers.ALL,
    verify=store_faults.faults_since_checkpoint,
    verify_whole=store_faults.faults,
    figures=figures,
)
