"""A rule: whom it is about, what it does, why and for how long, and what the world is told of it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from contracts.fraud import BlockAdded, BlockRemoved
from fraud_block.identifiers import RuleType
from fraud_block.screening import Effect

LONGEST_TERM = timedelta(days=36_525)


class Reason(StrEnum):
    """Why a rule is there (features F4, F7); never shown to the buyer."""

    ORDER_REFUSAL = "order_refusal"
    RETURN_ABUSE = "return_abuse"
    STAFF_ABUSE = "staff_abuse"
    FAKE_ORDERS = "fake_orders"
    FRAUD = "fraud"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of a store. ``expires_at`` ``None``: until it is deleted; ``created_by`` is ``actor:id``."""

    store_id: str
    id: str
    type: RuleType
    value: str
    effect: Effect
    reason: Reason
    note: str | None
    expires_at: datetime | None
    created_at: datetime
    created_by: str
    deleted_at: datetime | None = None
    deleted_by: str | None = None
    hits: int = 0
    last_hit_at: datetime | None = None

    def in_force(self, now: datetime) -> bool:
        """Whether the rule counts at this business time: to its expiry, and not at it."""
        return self.deleted_at is None and (self.expires_at is None or self.expires_at > now)


def added(rule: Rule) -> BlockAdded:
    """The rule came into force; its value stays here."""
    return BlockAdded(
        store_id=rule.store_id, rule_id=rule.id, rule_type=rule.type, effect=rule.effect, expires_at=rule.expires_at
    )


def removed(rule: Rule) -> BlockRemoved:
    """The rule was lifted."""
    return BlockRemoved(store_id=rule.store_id, rule_id=rule.id, rule_type=rule.type)
