"""Handling a batch type by type without breaking the order within a key.

An event's wave is the number of type changes before it within its key. Waves run one after the other; within a wave
each type is handled together, since no key has two types in it.
"""

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

Item = TypeVar("Item")


def waves(items: Iterable[Item], key: Callable[[Item], Hashable], kind: Callable[[Item], Hashable]) -> list[list[Item]]:
    """The items as groups of one kind each, to be handled in this order; within a group they keep their order."""
    last: dict[Hashable, tuple[int, Hashable]] = {}
    groups: dict[int, dict[Hashable, list[Item]]] = {}
    for item in items:
        its_key, its_kind = key(item), kind(item)
        wave, kind_before = last.get(its_key, (0, its_kind))
        if kind_before != its_kind:
            wave += 1
        last[its_key] = wave, its_kind
        groups.setdefault(wave, {}).setdefault(its_kind, []).append(item)
    return [group for wave in sorted(groups) for group in groups[wave].values()]
