"""Is this buyer welcome? The decision, from the rules that match."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from contracts.fraud import Decision


class Effect(StrEnum):
    """What a rule does."""

    BLOCK = "block"
    ALLOW = "allow"


class Match(NamedTuple):
    """A rule in force that one of the buyer's identifiers meets."""

    rule_id: str
    effect: Effect


class Verdict(NamedTuple):
    """The decision and every rule that matched, those that were overruled too."""

    decision: Decision
    rule_ids: tuple[str, ...]


def decide(matches: Sequence[Match]) -> Verdict:
    """Allow wins over block; nobody unknown is blocked."""
    effects = {match.effect for match in matches}
    blocked = Effect.BLOCK in effects and Effect.ALLOW not in effects
    rule_ids = tuple(sorted({match.rule_id for match in matches}))
    return Verdict(Decision.BLOCK if blocked else Decision.ALLOW, rule_ids)
