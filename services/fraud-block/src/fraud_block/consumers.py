"""What fraud-block does when it is asked whether a buyer is welcome."""

from collections.abc import Sequence

from chassis import clock, outbox
from chassis.db import Conn
from chassis.inbox import Router
from contracts.fraud import ScreeningDecided, ScreeningRequested
from fraud_block import identifiers, screening, store_screenings
from fraud_block.store_screenings import Asked

router = Router()


@router.on_ask(ScreeningRequested)
async def on_screenings_requested(requests: Sequence[ScreeningRequested], conn: Conn) -> None:
    """Decide what is new, and give every request the one answer that stands for it."""
    first: dict[Asked, ScreeningRequested] = {}
    for request in requests:
        first.setdefault(Asked(request.store_id, request.screening_id), request)
    answers = await store_screenings.answers(conn, list(first))
    if fresh := {asked: request for asked, request in first.items() if asked not in answers}:
        await _decide(conn, fresh)
        answers |= await store_screenings.answers(conn, list(fresh))
    for asked, request in first.items():
        decision, rule_ids = answers[asked]
        answer = ScreeningDecided(
            store_id=request.store_id,
            screening_id=request.screening_id,
            subject=request.subject,
            decision=decision,
            rule_ids=rule_ids,
        )
        outbox.add(conn, answer, because=request)


async def _decide(conn: Conn, requests: dict[Asked, ScreeningRequested]) -> None:
    """Store the answers to requests. Another worker may store one first: then that one stands."""
    now = clock.now()
    wanted = {asked: identifiers.of(request) for asked, request in requests.items()}
    matches = await store_screenings.matches(conn, wanted, now)
    verdicts = {asked: screening.decide(matches.get(asked, [])) for asked in requests}
    subjects = {asked: request.subject for asked, request in requests.items()}
    if hits := await store_screenings.keep(conn, verdicts, subjects, now):
        await store_screenings.count_hits(conn, hits, now)
