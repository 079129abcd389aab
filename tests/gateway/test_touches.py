"""The links a browser has followed, as its cookie holds them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

import carts.touches
import contracts.carts
from affiliates.links import NEW_CODE
from gateway import landing, touches
from gateway.touches import Touch

STORE = "store_01jd8zxn5ve3kbh2t9pgw4mqya"
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
AT = int(NOW.timestamp()) * 1000


def held(cookie: str):
    return touches.of([(b"cookie", cookie.encode("latin-1"))], STORE, NOW)


def mine(value: str):
    return held(f"regulars_ref_pgw4mqya={value}")


def test_the_newest_is_first_and_a_code_is_held_once():
    before = mine(f"abc.{AT - 30}~def.{AT - 20}~abc.{AT - 10}")
    assert before == (Touch("abc", AT - 10), Touch("def", AT - 20))
    assert touches.followed(before, "DEF", NOW) == (Touch("def", AT), Touch("abc", AT - 10))


def test_of_two_in_one_second_the_later_is_first():
    later = NOW + timedelta(milliseconds=7)
    assert touches.followed((Touch("abc", AT),), "def", later) == (Touch("def", AT + 7), Touch("abc", AT))
    assert touches.followed((Touch("abc", AT),), "def", NOW) == (Touch("def", AT), Touch("abc", AT))


def test_a_cookie_from_when_seconds_were_held_is_read_and_written_anew():
    old = f"abc.{AT // 1000}~def.{AT // 1000 - 9}"
    assert mine(old) == (Touch("abc", AT), Touch("def", AT - 9000))
    sent = [(b"cookie", f"regulars_ref_pgw4mqya={old}".encode())]
    assert touches.told(sent, STORE, NOW) == [("x-regulars-touches", f"abc.{AT}~def.{AT - 9000}")]


@given(st.from_regex(NEW_CODE, fullmatch=True))
def test_every_code_that_affiliates_gives_can_be_followed_remembered_and_told(code):
    assert landing.CODE.fullmatch(code)
    name, cookie = touches.cookie(STORE, touches.followed((), code, NOW), secure=True)
    sent = [(b"cookie", cookie.split(b";")[0])]
    assert (name, touches.of(sent, STORE, NOW)) == (b"set-cookie", (Touch(code, AT),))
    ((_, told),) = touches.told(sent, STORE, NOW)
    assert carts.touches.read(told, NOW) == (contracts.carts.Touch(code=code, at=NOW),)


def test_ten_are_held_and_fit_however_long_their_codes_are():
    following: tuple[Touch, ...] = ()
    for number in range(12):
        following = touches.followed(following, f"{number:x}" * 64, NOW)
    assert [touch.code[0] for touch in following] == list("ba98765432")
    name, cookie = touches.cookie(STORE, following, secure=True)
    assert (name, len(cookie) < 1000) == (b"set-cookie", True)
    assert held(cookie.split(b";")[0].decode()) == following


def test_a_touch_of_the_future_is_none():
    assert mine(f"abc.{AT + 1}~def.{AT}") == (Touch("def", AT),)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "abc",
        "abc.",
        ".5",
        "abc.5~",
        "abc.5~~def.6",
        "abc.5 ~def.6",
        "ABC.5",
        "a\u00e9c.5",
        "abc.05",
        "abc.-5",
        "abc.\u00b2",
        "abc.5\r\nx: y",
        "abc.123456789012",
        "abc.12345678901234",
        '"abc.5"',
        "a.b.5",
        "a" * 65 + ".5",
        "~".join(["abc.5"] * 200),
    ],
)
def test_a_cookie_that_is_not_as_ours_is_ignored(value):
    assert mine(value) == ()


def test_only_the_stores_own_cookie_is_read():
    others = (
        f"regulars_ref_xxxxxxxx=abc.{AT}; regulars_ref=abc; x=regulars_ref_pgw4mqya=abc.{AT}; =; regulars_ref_pgw4mqya"
    )
    assert held(others) == ()
    assert held(f"{others}x=1 ;  regulars_ref_pgw4mqya=abc.{AT};y") == (Touch("abc", AT),)
    twice = [(b"cookie", b"a=b"), (b"cookie", f"regulars_ref_pgw4mqya=abc.{AT}".encode())]
    assert touches.of(twice, STORE, NOW) == (Touch("abc", AT),)


@given(st.binary(max_size=80))
def test_no_bytes_are_an_error(sent):
    for cookie in (sent, b"regulars_ref_pgw4mqya=" + sent):
        assert all(touch.at <= AT for touch in touches.of([(b"cookie", cookie)], STORE, NOW))


def test_nothing_is_told_where_nothing_was_followed():
    assert touches.told([], STORE, NOW) == []
    sent = [(b"cookie", f"regulars_ref_pgw4mqya=abc.{AT}~def.5".encode())]
    assert touches.told(sent, STORE, NOW) == [("x-regulars-touches", f"abc.{AT}~def.5000")]
