"""What the wallet does when it is asked: credit a claim, hold, capture and release.

Handlers take all requests of their type at once: many postings, few statements. The answers are events, told by the
ledger's writer; a request that comes again is answered again and changes nothing.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeVar

from chassis.db import Conn
from chassis.inbox import Router
from contracts.affiliates import ClaimConverted
from contracts.event import Event
from contracts.wallet import CaptureRequested, EntryType, HoldRequested, ReleaseRequested
from wallet.entries import CLAIM, Cause
from wallet.postings import Capture, Place, Post, Posting, Release
from wallet.store import append_batch

E = TypeVar("E", bound=Event)

router = Router()


@router.on_ask(ClaimConverted)
async def on_claims_converted(claims: Sequence[ClaimConverted], conn: Conn) -> None:
    """Credit what affiliates have set aside, once per claim."""
    await _append(conn, claims, _credit)


@router.on_ask(HoldRequested)
async def on_holds_requested(requests: Sequence[HoldRequested], conn: Conn) -> None:
    """Set credit aside for orders."""
    await _append(conn, requests, _place)


@router.on_ask(CaptureRequested)
async def on_captures_requested(requests: Sequence[CaptureRequested], conn: Conn) -> None:
    """Pay orders with what was set aside."""
    await _append(conn, requests, _capture)


@router.on_ask(ReleaseRequested)
async def on_releases_requested(requests: Sequence[ReleaseRequested], conn: Conn) -> None:
    """Give back what was set aside."""
    await _append(conn, requests, _release)


def _credit(claim: ClaimConverted) -> Posting:
    cause = Cause(CLAIM, claim.claim_id)
    return Post(claim.customer_id, EntryType.CREDIT, claim.amount_minor, claim.currency, cause)


def _place(request: HoldRequested) -> Posting:
    return Place(request.hold_id, request.customer_id, request.order_id, request.amount_minor, request.currency)


def _capture(request: CaptureRequested) -> Posting:
    return Capture(request.hold_id, request.customer_id, request.order_id, request.amount_minor)


def _release(request: ReleaseRequested) -> Posting:
    return Release(request.hold_id, request.customer_id)


async def _append(conn: Conn, requests: Sequence[E], posting: Callable[[E], Posting]) -> None:
    by_store: defaultdict[str, list[E]] = defaultdict(list)
    for request in requests:
        by_store[request.store_id].append(request)
    for store_id, its in sorted(by_store.items()):
        await append_batch(conn, store_id, [posting(request) for request in its], its)
