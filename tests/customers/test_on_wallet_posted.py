"""The balance is the latest word of the wallet's newest epoch."""

import itertools

import pytest

from chassis import ids
from chassis.inbox import NotYet
from contracts.ids import CUSTOMER
from customers.consumers import on_wallet_posted


async def test_the_highest_sequence_of_the_newest_epoch_wins_in_whatever_order(shop):
    old, new = ids.new_uuid(), ids.new_uuid()
    for number, told in enumerate(itertools.permutations([(old, 1, 10), (old, 2, 20), (new, 1, 5)])):
        ann = await shop.meet(f"ann{number}@example.com")
        for epoch, sequence, balance in told * 2:
            assert await shop.tell(on_wallet_posted, shop.entry(ann, epoch, sequence, balance)) == []
        assert (await shop.customer(ann)).balance_minor == 5


async def test_one_batch_may_hold_several_entries_of_several_customers(shop):
    ann, bob, epoch = await shop.meet("ann@example.com"), await shop.meet("bob@example.com"), ids.new_uuid()
    entries = [(ann, 2, 20), (bob, 1, 7), (ann, 1, 10)]
    await shop.tell(on_wallet_posted, *(shop.entry(who, epoch, sequence, left) for who, sequence, left in entries))
    assert [(await shop.customer(who)).balance_minor for who in (ann, bob)] == [20, 7]


async def test_an_entry_of_somebody_not_here_yet_waits_alone(shop):
    ann, epoch = await shop.meet(), ids.new_uuid()
    known, unknown = shop.entry(ann, epoch, 1, 10), shop.entry(ids.new(CUSTOMER), epoch, 1, 10)
    with pytest.raises(NotYet) as waiting:
        await shop.tell(on_wallet_posted, known, unknown)
    assert waiting.value.events == [unknown]
