"""Following a customer's entries: sound ones come to the account, and each thing wrong is said."""

import pytest
from books import Wallet

from wallet import chain
from wallet.entries import Part
from wallet.proof import Standing


def entries():
    """10 and 5 given, 12 taken, the 10 taken back: 3 of it there, 7 owed."""
    wallet = Wallet()
    given = wallet.give(10)
    wallet.give(5)
    wallet.take(12)
    wallet.reverse(given)
    return wallet.book.entries


def standing(**more):
    return Standing("store", "cus", "EUR", **more)


def chained(its):
    """The entries with hashes that fit, whatever else was done to them."""
    linked, before = [], b""
    for entry in its:
        before = chain.link(before, "store", entry)
        linked.append(entry._replace(hash=before))
    return linked


def test_sound_entries_come_to_what_the_account_says():
    its = standing()
    assert its.follow(entries()) == []
    assert (its.sequence, its.balance_minor, its.debt_minor, its.grants) == (5, 0, 7, {})
    assert its.hash == entries()[-1].hash


@pytest.mark.parametrize("after", range(5))
def test_it_goes_on_from_anywhere(after):
    whole, part = standing(), standing()
    whole.follow(entries())
    part.follow(entries()[:after])
    assert part.follow(entries()[after:]) == []
    assert part == whole


@pytest.mark.parametrize(
    ("number", "change", "said"),
    [
        (1, {"sequence": 3}, "is entry 3, not 2"),
        (1, {"balance_after_minor": 14}, "should leave a balance of 15, not 14"),
        (4, {"debt_after_minor": 8}, "should leave a debt of 7, not 8"),
        (1, {"currency": "USD"}, "is in USD"),
        (2, {"parts": (Part(1, 10), Part(2, 1))}, "has parts of grants that do not make its amount"),
        (2, {"parts": (Part(1, 11), Part(2, 1))}, "takes 1 more than grant 1 had left"),
        (2, {"parts": (Part(9, 12),)}, "takes 12 more than grant 9 had left"),
        (4, {"parts": (Part(2, 7),)}, "has parts of grants, but moves no balance"),
    ],
)
def test_what_is_wrong_is_said_once(number, change, said):
    its = list(entries())
    its[number] = its[number]._replace(**change)
    sentences = standing().follow(chained(its))
    assert sum(said in sentence for sentence in sentences) == 1
    assert all(sentence.startswith("cus of store: ") for sentence in sentences)


def test_a_broken_link_is_said_of_its_entry_and_of_no_later_one():
    its = list(entries())
    its[1] = its[1]._replace(hash=b"x")
    said = standing().follow(its)
    assert [sentence.split(": ")[1] for sentence in said] == [
        f"{its[n].entry_id} does not continue the chain of hashes" for n in (1, 2)
    ]


def test_a_missing_entry_is_said_where_it_is_missing():
    its = entries()
    assert any("is entry 3, not 2" in said for said in standing().follow([its[0], *its[2:]]))
