"""Reading contacts: pure rules."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from carts.api import fields
from customers import contacts
from customers.contacts import Contact, Email


@pytest.mark.parametrize(
    ("typed", "address", "canonical"),
    [
        ("Ann.Lee@Example.COM", "Ann.Lee@example.com", "ann.lee@example.com"),
        ("  ann@example.com ", "ann@example.com", "ann@example.com"),
        ("\uff41nn\uff20example.com", "ann@example.com", "ann@example.com"),
        ("ann@BÜCHER.de", "ann@bücher.de", "ann@xn--bcher-kva.de"),
        ("ann@xn--bcher-kva.de", "ann@bücher.de", "ann@xn--bcher-kva.de"),
        ("JOSE\u0301@example.com", "JOSÉ@example.com", "josé@example.com"),
        ("ann+shop@example.com", "ann+shop@example.com", "ann+shop@example.com"),
    ],
)
def test_one_person_has_one_canonical_address(typed, address, canonical):
    assert contacts.parse_email(typed) == Email(address, canonical)


@pytest.mark.parametrize(
    "typed",
    [
        *("", "ann", "ann@", "@example.com", "a b@example.com", "ann@localhost", "Ann <ann@example.com>"),
        *("a\0@example.com", "ann@example.com\nbcc: all", "ann@[127.0.0.1]", "ann@" + "x" * 300 + ".com"),
    ],
)
def test_what_no_mail_reaches_is_no_address(typed):
    with pytest.raises(ValueError, match=r"\w"):
        contacts.parse_email(typed)


@given(st.text(min_size=1, max_size=20))
@example("İ")
@example("ǅ")
def test_the_canonical_form_is_its_own_canonical_form(local):
    try:
        email = contacts.parse_email(f"{local}@example.com")
    except ValueError:
        return
    assert contacts.parse_email(email.canonical).canonical == email.canonical
    assert contacts.parse_email(email.address).canonical == email.canonical


@given(st.one_of(st.emails(), st.text(max_size=20).map("{}@example.com".format)))
def test_whatever_a_cart_takes_for_an_address_is_one_here(typed):
    """Else its contact would never be answered."""
    try:
        taken = TypeAdapter(fields.Email).validate_python(typed)
    except ValidationError:
        return
    assert contacts.parse_email(taken).canonical == contacts.parse_email(typed).canonical


@pytest.mark.parametrize(
    ("typed", "country", "number"),
    [
        ("+965 2222-3333", None, "+96522223333"),
        ("+1 (555) 010-0199", None, "+15550100199"),
        ("0170 1234567", "DE", "+491701234567"),
        ("+49 170 1234567", "FR", "+491701234567"),
    ],
)
def test_a_phone_is_kept_as_e164(typed, country, number):
    assert contacts.parse_phone(typed, country) == number


@pytest.mark.parametrize(
    ("typed", "country"), [("0170 1234567", None), ("call me", "DE"), ("+49 1", None), ("1" * 50, "DE"), ("", "DE")]
)
def test_what_cannot_be_dialled_is_no_phone(typed, country):
    with pytest.raises(ValueError, match=r"\w"):
        contacts.parse_phone(typed, country)


@pytest.mark.parametrize(("typed", "name"), [(" Ann\t Lee\0 ", "Ann Lee"), ("\x00\n ", None), ("", None), ("Å", "Å")])
def test_a_name_is_one_clean_line(typed, name):
    assert contacts.clean_name(typed) == name


@pytest.mark.parametrize(
    ("query", "pattern"),
    [
        ("ÉLODIE", "%elodie%"),
        ("50%_\\", "%50\\%\\_\\\\%"),
        ("0170 123", "%170123%"),
        ("+49 (0170) 1", "%+4901701%"),
        ("000", "%000%"),
        ("  ", None),
        ("\0", None),
    ],
)
def test_a_query_becomes_a_pattern(query, pattern):
    assert contacts.pattern(query) == pattern


def test_what_is_there_is_never_overwritten():
    email = Email("ann@example.com", "ann@example.com")
    known, given = Contact(email, name="Ann", country="DE"), Contact(email, name="Bob", phone="+491701234567")
    filled = known.filled(given)
    assert filled == Contact(email, "Ann", "+491701234567", "DE")
    assert filled.fields_new_to(known) == ("phone",)
