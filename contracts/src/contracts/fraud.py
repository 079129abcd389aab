"""Screening: what carts and customers ask of fraud-block, and what it answers and tells."""

from enum import StrEnum

from contracts.event import Country, Event, Instant
from contracts.ids import CustomerId, RuleId, ScreeningId
from contracts.topics import SCREENINGS, VERDICTS


class ScreeningRequested(Event, type="screening.requested", topic=SCREENINGS, key="subject"):
    """Is this buyer welcome? ``subject`` is the id of what waits for the verdict. Carries personal data."""

    screening_id: ScreeningId
    subject: str
    email: str | None = None
    ip: str | None = None
    customer_id: CustomerId | None = None


class Decision(StrEnum):
    """What a screening says."""

    ALLOW = "allow"
    BLOCK = "block"
    REVIEW = "review"


class ScreeningDecided(Event, type="screening.decided", topic=VERDICTS, key="subject"):
    """The answer to ``screening.requested``, the same for every repeat of its ``screening_id``."""

    screening_id: ScreeningId
    subject: str
    decision: Decision
    rule_ids: tuple[RuleId, ...] = ()
    country: Country | None = None


class BlockAdded(Event, type="block.added", topic=VERDICTS, key="rule_id"):
    """A rule came into force: ``effect`` is ``block`` or ``allow``. Never says the value."""

    rule_id: RuleId
    rule_type: str
    effect: str = "block"
    expires_at: Instant | None = None


class BlockRemoved(Event, type="block.removed", topic=VERDICTS, key="rule_id"):
    """A rule was lifted."""

    rule_id: RuleId
    rule_type: str
