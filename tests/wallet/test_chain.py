"""Each entry vouches for the one before it."""

from datetime import timedelta
from hashlib import sha256

import pytest
from books import AT, Wallet

from wallet import chain

HASHED = ("entry_id", "customer_id", "sequence", "type", "debit_account", "credit_account", "amount_minor", "currency",
          "posted_at", "cause_kind", "cause_id")  # fmt: skip


def entry():
    return Wallet().give(10)


def test_the_hash_is_that_of_the_length_prefixed_fields():
    """Written out by hand, as somebody else would check it."""
    its = entry()
    fields = [b"before", b"tx1", b"store", b"cus", b"1", b"ADJUSTMENT", b"adjustments", b"customer", b"10", b"EUR",
              b"1767312000000000", b"adjustment", b"tx1"]  # fmt: skip
    assert AT.timestamp() == 1767312000
    written = b"".join(len(field).to_bytes(4, "big") + field for field in fields)
    assert chain.link(b"before", "store", its) == sha256(written).digest()


@pytest.mark.parametrize("field", HASHED)
def test_no_field_can_be_changed(field):
    its = entry()
    value = getattr(its, field)
    other = value + (timedelta(microseconds=1) if field == "posted_at" else 1 if isinstance(value, int) else "x")
    assert chain.link(b"", "store", its._replace(**{field: other})) != chain.link(b"", "store", its)


def test_neither_the_store_nor_what_came_before_can_be_changed():
    its = entry()
    hashes = {chain.link(*before, its) for before in ((b"", "store"), (b"", "other"), (b"x", "store"))}
    assert len(hashes) == 3


def test_what_moves_from_one_field_to_the_next_is_another_hash():
    its = entry()
    one, other = its._replace(cause_kind="ab", cause_id="c"), its._replace(cause_kind="a", cause_id="bc")
    assert chain.link(b"", "store", one) != chain.link(b"", "store", other)


def test_the_first_entry_follows_nothing_and_each_other_the_one_before():
    wallet = Wallet(10)
    wallet.give(5)
    wallet.take(3)
    before = b""
    for its in wallet.book.entries:
        assert its.hash == chain.link(before, "store", its)
        before = its.hash
    assert wallet.account.hash == before
