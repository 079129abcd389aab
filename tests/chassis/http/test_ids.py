"""Ids say when they were minted."""

import time

import pytest
from typeid import TypeID

from chassis import ids


def test_a_fresh_id_is_young():
    began = time.time()
    age = ids.age_seconds(ids.new("wallet_tx"))
    assert -0.01 < age < time.time() - began + 0.01


def test_the_age_is_that_of_the_uuid():
    minted = TypeID.from_string("cus_01hf3z7k8mfq5r1v0000000000")
    minted_at = int.from_bytes(minted.uuid.bytes[:6]) / 1000
    before, age, after = time.time() - minted_at, ids.age_seconds(str(minted)), time.time() - minted_at
    assert before <= age <= after


@pytest.mark.parametrize(
    "text", ["", "cus_", "cus_01HF", "cus_zzzzzzzzzzzzzzzzzzzzzzzzzz", "cus_01hf3z7k8mfq5r1v00000000000"]
)
def test_what_is_no_id_has_no_age(text):
    assert ids.age_seconds(text) is None
