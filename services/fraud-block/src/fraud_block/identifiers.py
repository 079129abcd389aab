"""What a rule can be about, and the one form in which rules and buyers are compared."""

import ipaddress
import re
import unicodedata
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

import email_validator

from contracts.fraud import ScreeningRequested
from contracts.ids import CUSTOMER, SUFFIX

LONGEST = 320

_CUSTOMER_ID = re.compile(f"{CUSTOMER}_{SUFFIX}")


class RuleType(StrEnum):
    """What a rule is about. Types to come get a reader below and, if a screening carries them, a place in ``of``."""

    EMAIL = "email"
    EMAIL_DOMAIN = "email_domain"
    IP = "ip"
    CUSTOMER = "customer"


class Identifier(NamedTuple):
    """One thing known of a buyer, in its canonical form."""

    type: RuleType
    value: str


def canonical(rule_type: RuleType, value: str) -> Identifier:
    """Read what somebody typed.

    Raises:
        ValueError: it is not a value of this type.
    """
    if len(value) > LONGEST:
        raise ValueError(f"This has more than {LONGEST} characters.")
    return Identifier(rule_type, _READERS[rule_type](unicodedata.normalize("NFKC", value).strip()))


def of(request: ScreeningRequested) -> set[Identifier]:
    """Everything a screening can be matched by; what cannot be read matches no rule."""
    found = set()
    given = ((RuleType.EMAIL, request.email), (RuleType.IP, request.ip), (RuleType.CUSTOMER, request.customer_id))
    for rule_type, value in given:
        try:
            identifier = canonical(rule_type, value or "")
        except ValueError:
            continue
        found.add(identifier)
        if rule_type is RuleType.EMAIL:
            found.add(Identifier(RuleType.EMAIL_DOMAIN, identifier.value.rpartition("@")[2]))
    return found


def _email(text: str) -> str:
    """NFKC, lower case, the domain in its ASCII form (IDNA 2008): as customers keeps it."""
    found = email_validator.validate_email(text, check_deliverability=False)
    return f"{unicodedata.normalize('NFKC', found.local_part.lower())}@{found.ascii_domain}"


def _email_domain(text: str) -> str:
    return _email(f"someone@{text.removeprefix('@')}").rpartition("@")[2]


def _ip(text: str) -> str:
    """One address; an IPv4 one that came dressed as IPv6 is that IPv4 one. A scope is of one link only: none."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            raise ValueError("An address with a scope is known to one machine only.")
        return str(address.ipv4_mapped or address)
    return str(address)


def _customer(text: str) -> str:
    if not _CUSTOMER_ID.fullmatch(text):
        raise ValueError("This is not the id of a customer.")
    return text


_READERS: dict[RuleType, Callable[[str], str]] = {
    RuleType.EMAIL: _email,
    RuleType.EMAIL_DOMAIN: _email_domain,
    RuleType.IP: _ip,
    RuleType.CUSTOMER: _customer,
}
