"""What the world is told of a rule: never its value."""

from contracts.fraud import BlockAdded, BlockRemoved
from fraud_block.rules import Rule


def added(rule: Rule) -> BlockAdded:
    """The rule came into force."""
    return BlockAdded(
        store_id=rule.store_id, rule_id=rule.id, rule_type=rule.type, effect=rule.effect, expires_at=rule.expires_at
    )


def removed(rule: Rule) -> BlockRemoved:
    """The rule was lifted."""
    return BlockRemoved(store_id=rule.store_id, rule_id=rule.id, rule_type=rule.type)
