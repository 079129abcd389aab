"""A change of commissions or claims, kept whole: the row, the movement of money, the link's figures, what is told."""

from collections.abc import Sequence
from datetime import datetime

from affiliates import claims, earnings, store, store_claims, store_commissions, store_journal
from affiliates.claims import Claim
from affiliates.commissions import Commission
from chassis import outbox
from chassis.db import Conn


async def keep_commissions(conn: Conn, pairs: Sequence[tuple[Commission, Commission]], now: datetime) -> int:
    """Keep what became of commissions other than by their orders; how many changed. The affiliates must be locked."""
    changed = [(before, after) for before, after in pairs if after is not before]
    if changed:
        await store_commissions.change_commissions(conn, [after for _, after in changed])
        await store_journal.post(conn, [move for pair in changed for move in earnings.moved(*pair, now)])
        await store.add_sales(conn, earnings.sales(changed))
        for event in (event for pair in changed for event in earnings.announced(*pair)):
            outbox.add(conn, event)
    return len(changed)


async def add_claim(conn: Conn, claim: Claim) -> None:
    """Keep a new claim and reserve its money. The affiliate must be locked."""
    await store_claims.add_claim(conn, claim)
    await store_journal.post(conn, claims.moved(None, claim))
    _tell(conn, claim)


async def keep_claim(conn: Conn, before: Claim, after: Claim) -> None:
    """Keep where a claim stands, and move its money if it ended. The affiliate must be locked."""
    await store_claims.save_claims(conn, [after])
    await store_journal.post(conn, claims.moved(before, after))
    if after.status is not before.status:
        _tell(conn, after)


def _tell(conn: Conn, claim: Claim) -> None:
    event = claims.announced(claim)
    if event is not None:
        outbox.add(conn, event)
