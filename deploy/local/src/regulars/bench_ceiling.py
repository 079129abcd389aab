"""The HTTP ceiling of a posting: the wallet's real application, whose batches answer at once and write nothing.

``python -m regulars.bench_ceiling`` serves it with the wallet's settings. Identity, parsing, routing, the look-up of the
customer, the queue and the rendering of every reply are the real ones.
"""

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import uvloop
from starlette.types import ASGIApp

from chassis import ids, logs
from chassis.batches import Coalescer, Member, Queued, Write
from chassis.db import Conn
from chassis.problems import Problem
from chassis.reply import Data, Rendered, Reply, render
from chassis.runtime import Runtime
from contracts.ids import CUSTOMER, WALLET_ENTRY
from contracts.wallet import EntryType
from wallet.api.shown import show_entry
from wallet.entries import ADJUSTMENT, Entry, Side
from wallet.main import service


class _Ready(Coalescer):
    """Batches whose members all get the same reply; the transaction is gone."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime.service, runtime.api, _nothing)
        self._reply = _reply()

    async def _transact(
        self,
        store_id: str,  # noqa: ARG002  (what it replaces takes it)
        members: list[Member],
        outcomes: list[tuple[Member, Rendered, bool]],
    ) -> None:
        outcomes += [(member, render(self._reply, member.request_id), False) for member in members]


async def _nothing(_conn: Conn, _store_id: str, _queued: Sequence[Queued]) -> list[Reply | Problem]:
    return []


def _reply() -> Reply:
    entry = Entry(
        entry_id=(entry_id := ids.new(WALLET_ENTRY)),
        customer_id=ids.new(CUSTOMER),
        sequence=1,
        type=EntryType.ADJUSTMENT,
        debit_account=Side.ADJUSTMENTS,
        credit_account=Side.CUSTOMER,
        amount_minor=100,
        balance_after_minor=100,
        debt_after_minor=0,
        currency="EUR",
        cause_kind=ADJUSTMENT,
        cause_id=entry_id,
        reason=None,
        parts=(),
        expires_at=None,
        posted_at=datetime.now(UTC),
    )
    return Reply(201, Data(data=show_entry(entry, None)))


@contextlib.asynccontextmanager
async def _without_writing(app: ASGIApp, runtime: Runtime) -> AsyncIterator[ASGIApp]:
    ready = _Ready(runtime)

    def coalescer(write: Write) -> Coalescer:  # noqa: ARG001  (what it replaces takes it)
        return ready

    runtime.coalescer = coalescer  # type: ignore[method-assign]  # that is what a ceiling is
    yield app


def main() -> None:
    """Serve until SIGTERM."""
    settings = service.settings()
    logs.configure(service.name, settings.log_level)
    uvloop.run(dataclasses.replace(service, wrap=_without_writing).serve(settings, "api"))


if __name__ == "__main__":
    main()
