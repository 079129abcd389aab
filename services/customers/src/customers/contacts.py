"""Who someone says they are: e-mail, phone and name in the one form that is stored, compared and searched."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import email_validator
import phonenumbers

from contracts.carts import CartContactGiven

LONGEST_EMAIL = 320
LONGEST_NAME = 200

_PHONE_LIKE = re.compile(r"[\d\s()+./-]{3,}")


@dataclass(frozen=True, slots=True)
class Email:
    """An address as mail is sent to it, and the canonical form that makes two of them the same person's."""

    address: str
    canonical: str


class Person(NamedTuple):
    """What makes two contacts the same person's: the store and the canonical e-mail."""

    store_id: str
    canonical: str


@dataclass(frozen=True, slots=True)
class Contact:
    """What is known of a person. ``phone`` is E.164, ``country`` ISO 3166 alpha-2."""

    email: Email
    name: str | None = None
    phone: str | None = None
    country: str | None = None

    def filled(self, other: "Contact") -> "Contact":
        """This contact with its empty fields taken from another; what is there is never overwritten."""
        return replace(
            self,
            name=self.name or other.name,
            phone=self.phone or other.phone,
            country=self.country or other.country,
        )

    def fields_new_to(self, other: "Contact") -> tuple[str, ...]:
        """The names of the fields in which this contact differs from another of the same person."""
        pairs = (("name", self.name, other.name), ("phone", self.phone, other.phone))
        return tuple(
            field for field, mine, theirs in (*pairs, ("country", self.country, other.country)) if mine != theirs
        )

    @property
    def search(self) -> str:
        """What a search looks through."""
        return fold("\n".join(part for part in (self.name, self.email.address, self.phone) if part))


def parse_email(text: str) -> Email:
    """Read an address. Canonical: NFKC, lower case, the domain in its ASCII form (IDNA 2008).

    Raises:
        ValueError: it is not an address mail could be sent to.
    """
    if len(text) > LONGEST_EMAIL:
        raise ValueError(f"An address has at most {LONGEST_EMAIL} characters.")
    found = email_validator.validate_email(unicodedata.normalize("NFKC", text).strip(), check_deliverability=False)
    local = unicodedata.normalize("NFKC", found.local_part.lower())
    return Email(found.normalized, f"{local}@{found.ascii_domain}")


def parse_phone(text: str, country: str | None) -> str:
    """Read a number, international or in the national form of ``country``, as E.164.

    A number is taken if it has a possible length: the plan of valid ranges ages, and people move into new ones.

    Raises:
        ValueError: it is not a telephone number, or a national one without its country.
    """
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException as error:
        raise ValueError(str(error)) from None
    if not phonenumbers.is_possible_number(number):
        raise ValueError("The number has a length that no telephone number there has.")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def clean_name(text: str) -> str | None:
    """A name without control characters and doubled spaces; ``None`` when nothing is left."""
    printable = "".join(" " if unicodedata.category(sign) == "Cc" else sign for sign in text)
    return " ".join(unicodedata.normalize("NFC", printable).split()) or None


def fold(text: str) -> str:
    """Text without case and accents, for comparing."""
    bare = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFKC", "".join(sign for sign in bare if not unicodedata.combining(sign)))


def pattern(query: str) -> str | None:
    """The SQL pattern that finds a query anywhere in ``Contact.search``; ``None`` when it asks for nothing.

    What looks like a telephone number is searched without its blanks and leading zeros, as E.164 has none.
    """
    text = clean_name(query) or ""
    if _PHONE_LIKE.fullmatch(text):
        text = re.sub(r"[^\d+]", "", text).lstrip("0") or text
    escaped = re.sub(r"([\\%_])", r"\\\1", fold(text))
    return f"%{escaped}%" if escaped else None


def read(event: CartContactGiven) -> Contact:
    """What a visitor gave, as far as it can be used: of a name its beginning, and only a phone that is one.

    Raises:
        ValueError: without an e-mail nobody can be told apart.
    """
    try:
        phone = parse_phone(event.phone, event.country) if event.phone else None
    except ValueError:
        phone = None
    name = clean_name((event.name or "")[:LONGEST_NAME])
    return Contact(parse_email(event.email), name, phone, event.country)


def merged(given: Iterable[tuple[CartContactGiven, Contact]]) -> dict[Person, tuple[CartContactGiven, Contact]]:
    """One contact for each person, with the event that came first: of every field, what was given first."""
    people: dict[Person, tuple[CartContactGiven, Contact]] = {}
    for event, contact in given:
        person = Person(event.store_id, contact.email.canonical)
        first, known = people.get(person, (event, contact))
        people[person] = first, known.filled(contact)
    return people
