"""Clicks on links, handed over by the gateway in batches. What is no link of ours is left out, never refused."""

from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, Field

from affiliates import store_clicks
from affiliates.clicks import Click, per_day
from chassis import clock
from chassis.http import Api, Caller, Conn, Data, policy

router = Api()

_MOST = 500


class ClickBody(BaseModel):
    """One click; ``visitor`` is the gateway's keyed hash of who."""

    code: str
    visitor: str
    bot: bool
    at: AwareDatetime


class ClickBatch(BaseModel):
    """Clicks on links of one store; a batch counts once, however often it is sent."""

    batch_id: Annotated[str, Field(pattern="^[A-Za-z0-9_-]{1,64}$")]
    clicks: Annotated[list[ClickBody], Field(max_length=_MOST)]


class BatchReply(BaseModel):
    """The batch is counted, now or before."""

    batch_id: str


@router.post("/internal/v1/clicks")
@policy("internal")
async def add_clicks(batch: ClickBatch, caller: Caller, conn: Conn) -> Data[BatchReply]:
    """Count the clicks of people."""
    now: datetime = clock.now()
    if await store_clicks.add_batch(conn, caller.store_id, batch.batch_id, now):
        clicks = per_day(Click(click.code, click.visitor, click.bot, click.at) for click in batch.clicks)
        await store_clicks.add_clicks(conn, caller.store_id, clicks)
    return Data(data=BatchReply(batch_id=batch.batch_id))
