import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import keys


@pytest.mark.parametrize(("kind", "tag"), [("secret", "rg_live_"), ("publishable", "rg_pub_")])
def test_a_key_reads_back_as_itself(kind, tag):
    key = keys.mint(kind)
    assert key.text.startswith(tag)
    assert keys.read(key.text) == key


@given(st.integers(min_value=0, max_value=74), st.sampled_from(string.digits + string.ascii_letters + "_-"))
def test_one_wrong_character_fails_the_checksum(place, character):
    text = keys.mint("secret").text
    place %= len(text)
    wrong = text[:place] + character + text[place + 1 :]
    assert (keys.read(wrong) is None) == (wrong != text)


@pytest.mark.parametrize("text", ["", "rg_live_", "sk_live_1", "rg_live_" + "a" * 5000, "\x00", "rg_live_é"])
def test_what_is_no_key_is_none(text):
    assert keys.read(text) is None


def test_a_key_with_more_around_it_is_none():
    text = keys.mint("secret").text
    assert [keys.read(wrong) for wrong in (text + "\n", text + "0", " " + text, text * 2)] == [None] * 4


def test_the_stored_digest_is_of_the_secret_under_the_pepper():
    key = keys.mint("secret")
    stored = keys.digest("pepper", key.secret)
    assert keys.is_secret_of(stored, "pepper", key.secret)
    assert not keys.is_secret_of(stored, "another pepper", key.secret)
    assert not keys.is_secret_of(stored, "pepper", keys.mint("secret").secret)


def test_a_key_that_is_logged_shows_no_secret():
    key = keys.mint("secret")
    assert key.secret not in repr(key)
