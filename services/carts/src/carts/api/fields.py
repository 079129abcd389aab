"""What the fields of requests may look like."""

import ipaddress
import unicodedata
from typing import Annotated

import email_validator
from fastapi import Depends, Header, Path
from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from carts import touches
from carts.totals import LARGEST_QUANTITY
from chassis import clock
from chassis.http import named
from contracts import ids
from contracts.carts import Touch

_NO_CONTROL = r"^[^\x00-\x1f\x7f]*$"

Sku = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64, pattern=_NO_CONTROL)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=_NO_CONTROL)]
Phone = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^\+?[0-9 ().\-/]{4,32}$")]
Code = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z0-9_.\-]{1,64}$")]
Country = Annotated[str, StringConstraints(strip_whitespace=True, to_upper=True, pattern="^[A-Za-z]{2}$")]
Currency = Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")]
Quantity = Annotated[int, Field(ge=1, le=LARGEST_QUANTITY, strict=True)]


def _email(value: str) -> str:
    """As strict as customers and fraud-block, who read it next: what they cannot read nobody would ever answer."""
    try:
        text = unicodedata.normalize("NFKC", value).strip()
        return email_validator.validate_email(text, check_deliverability=False).normalized
    except email_validator.EmailNotValidError:
        raise PydanticCustomError("email", "This is not an e-mail address") from None


Email = Annotated[str, Field(max_length=320), AfterValidator(_email)]


CartPath = Annotated[str, Path(), named(ids.CART)]
OrderPath = Annotated[str, Path(), named(ids.ORDER)]
InvoicePath = Annotated[str, Path(), named(ids.INVOICE)]
ProductPath = Annotated[str, Path(), named(ids.PRODUCT)]
PaymentSessionPath = Annotated[str, Path(), named(ids.PAYMENT_SESSION)]


def _address(value: str | None) -> str | None:
    """The gateway's word for the buyer's address; what is none is nobody's."""
    try:
        return None if value is None else str(ipaddress.ip_address(value.strip()))
    except ValueError:
        return None


ClientIp = Annotated[str | None, Header(alias="x-regulars-client-ip"), AfterValidator(_address)]


def _buyers_address(value: str) -> str:
    """As strict as fraud-block, for whom an address with a scope is none: what it cannot read would meet no rule."""
    address = _address(value)
    if address is None or "%" in address:
        raise PydanticCustomError("ip", "This is not an IPv4 or IPv6 address")
    return address


BuyersIp = Annotated[str, AfterValidator(_buyers_address)]


def _touches(told: Annotated[str | None, Header(alias="x-regulars-touches")] = None) -> tuple[Touch, ...]:
    """The gateway's word for the links that the buyer's browser has followed."""
    return touches.read(told, clock.now())


Touches = Annotated[tuple[Touch, ...], Depends(_touches)]
