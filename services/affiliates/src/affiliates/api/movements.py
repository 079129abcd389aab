"""How movements of an affiliate's money are shown."""

from datetime import datetime

from pydantic import BaseModel, Field

from affiliates.journal import Bucket, Kind, Posting
from chassis.money import Major, major

_KINDS = {Kind.RESERVED: "requested"}
_BUCKETS = {Bucket.SETTLED: "available"}


class MovementReply(BaseModel):
    """Money that went from one place to another, and why. ``program`` is the store's side.

    What goes to ``available`` pays debt first; what is taken from there and is not there any more becomes debt.
    """

    at: datetime
    kind: str
    source: str = Field(serialization_alias="from")
    target: str = Field(serialization_alias="to")
    amount: Major


def kind_name(kind: Kind) -> str:
    """A kind of movement in the words of the summary."""
    return _KINDS.get(kind, kind)


def bucket_name(bucket: Bucket) -> str:
    """A bucket in the words of the summary."""
    return _BUCKETS.get(bucket, bucket)


def show_movement(posting: Posting, currency: str) -> MovementReply:
    """A movement as replies show it."""
    return MovementReply(
        at=posting.at,
        kind=kind_name(posting.kind),
        source=bucket_name(posting.source),
        target=bucket_name(posting.target),
        amount=major(posting.amount_minor, currency),
    )
