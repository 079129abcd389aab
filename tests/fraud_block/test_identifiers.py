"""One canonical form for what rules and buyers are compared by: pure rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis import ids
from contracts.fraud import ScreeningRequested
from contracts.ids import CUSTOMER, SCREENING, STORE
from customers import contacts
from fraud_block import identifiers
from fraud_block.identifiers import RuleType

ANN = ids.new(CUSTOMER)


def requested(**more):
    return ScreeningRequested(store_id=ids.new(STORE), screening_id=ids.new(SCREENING), subject="order_1", **more)


@pytest.mark.parametrize(
    ("rule_type", "typed", "value"),
    [
        (RuleType.EMAIL, " Ann@BÜCHER.de ", "ann@xn--bcher-kva.de"),
        (RuleType.EMAIL, "\uff41nn\uff20example.com", "ann@example.com"),
        (RuleType.EMAIL_DOMAIN, "Example.COM", "example.com"),
        (RuleType.EMAIL_DOMAIN, "@bücher.de", "xn--bcher-kva.de"),
        (RuleType.IP, "203.0.113.7", "203.0.113.7"),
        (RuleType.IP, "::ffff:203.0.113.7", "203.0.113.7"),
        (RuleType.IP, "2001:DB8:0:0::1", "2001:db8::1"),
        (RuleType.CUSTOMER, ANN, ANN),
    ],
)
def test_a_value_has_one_form(rule_type, typed, value):
    assert identifiers.canonical(rule_type, typed) == (rule_type, value)


@pytest.mark.parametrize(
    ("rule_type", "typed"),
    [
        *((RuleType.EMAIL, typed) for typed in ("", "ann", "ann@localhost", "a\0@example.com", "x" * 500 + "@a.com")),
        *((RuleType.EMAIL_DOMAIN, typed) for typed in ("", "com", "a@example.com", "exa mple.com", "-.com")),
        *((RuleType.IP, typed) for typed in ("", "203.0.113", "203.0.113.0/24", "::1%eth0", "203.0.113.007", "1")),
        *((RuleType.CUSTOMER, typed) for typed in ("", "cus_1", ids.new(STORE), f"{ANN}0")),
    ],
)
def test_what_is_none_is_refused(rule_type, typed):
    with pytest.raises(ValueError, match=r"\w"):
        identifiers.canonical(rule_type, typed)


def test_every_type_of_rule_can_be_read():
    assert set(identifiers._READERS) == set(RuleType)


def test_a_screening_is_matched_by_all_it_carries():
    request = requested(email="Ann@Example.com", ip="::ffff:203.0.113.7", customer_id=ANN)
    assert identifiers.of(request) == {
        (RuleType.EMAIL, "ann@example.com"),
        (RuleType.EMAIL_DOMAIN, "example.com"),
        (RuleType.IP, "203.0.113.7"),
        (RuleType.CUSTOMER, ANN),
    }


@given(st.text(max_size=400), st.text(max_size=60))
def test_a_screening_with_anything_in_it_can_be_read(email, ip):
    assert {found.type for found in identifiers.of(requested(email=email, ip=ip))} <= set(RuleType)


@given(st.emails())
def test_customers_and_fraud_block_agree_on_who_an_address_is(address):
    """Each service has its own reader, as they share no code; a difference would let the blocked in."""
    try:
        expected = contacts.parse_email(address).canonical
    except ValueError:
        expected = None
    found = dict(identifiers.of(requested(email=address)))
    assert found.get(RuleType.EMAIL) == expected
