"""The decision: pure rules."""

import itertools

import pytest

from contracts.fraud import Decision
from fraud_block import screening
from fraud_block.screening import Effect, Match, Verdict

BLOCK, OTHER, ALLOW = Match("block_2", Effect.BLOCK), Match("block_3", Effect.BLOCK), Match("block_1", Effect.ALLOW)


@pytest.mark.parametrize(
    ("matches", "verdict"),
    [
        ([], Verdict(Decision.ALLOW, ())),
        ([BLOCK], Verdict(Decision.BLOCK, ("block_2",))),
        ([ALLOW], Verdict(Decision.ALLOW, ("block_1",))),
        ([BLOCK, OTHER, BLOCK], Verdict(Decision.BLOCK, ("block_2", "block_3"))),
        ([BLOCK, ALLOW, OTHER], Verdict(Decision.ALLOW, ("block_1", "block_2", "block_3"))),
    ],
)
def test_allow_wins_and_every_match_is_named_whatever_their_order(matches, verdict):
    for order in itertools.permutations(matches):
        assert screening.decide(order) == verdict
