"""Money: integers of minor units inside, exact JSON numbers of major units in bodies (design §1 rule 6).

A float never touches an amount on its way in: the source text of the JSON number is kept and read as digits. On the
way out every single amount has at most 15 digits, and a double of at most 15 digits prints as exactly these. A sum with
more digits is printed as the nearest double, which is what most readers of JSON make of any number.
"""

import json
import re
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, WithJsonSchema
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from chassis.problems import Flaw, Invalid

LIMIT = 10**15

# Digits after the point where they are not two (ISO 4217).
_DIGITS = dict.fromkeys(
    [
        "BIF",
        "CLP",
        "DJF",
        "GNF",
        "ISK",
        "JPY",
        "KMF",
        "KRW",
        "PYG",
        "RWF",
        "UGX",
        "UYI",
        "VND",
        "VUV",
        "XAF",
        "XOF",
        "XPF",
    ],
    0,
) | (dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3))
_PLAIN = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,12})?")
_LONGEST_INT = 30


def digits(currency: str) -> int:
    """How many decimals a currency has: JPY 0, EUR 2, KWD 3."""
    return _DIGITS.get(currency, 2)


class JsonNumber(float):
    """A JSON number that remembers how it was written."""

    text: str

    def __init__(self, text: str) -> None:
        self.text = text


def _refuse_constant(name: str) -> Any:
    raise json.JSONDecodeError(f"{name} is not JSON", name, 0)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise json.JSONDecodeError("an object names a field twice", "", 0)
    return fields


def _parse_int(text: str) -> int | JsonNumber:
    return int(text) if len(text) <= _LONGEST_INT and text != "-0" else JsonNumber(text)


def parse_json(body: bytes) -> Any:
    """Read a request body: numbers keep their text, and what PostgreSQL could not store is refused.

    Raises:
        json.JSONDecodeError: not JSON; NaN or Infinity; a field twice; a NUL or half a surrogate in a string.
    """
    try:
        text = body.decode()
        value = json.loads(
            text, parse_float=JsonNumber, parse_int=_parse_int, parse_constant=_refuse_constant, object_pairs_hook=_once
        )
        if "\\u" in text:
            strings = json.dumps(value, ensure_ascii=False, default=str)
            strings.encode()
            if "\\u0000" in strings.replace("\\\\", ""):
                raise json.JSONDecodeError("a string holds a NUL", "", 0)
    except UnicodeError as error:
        raise json.JSONDecodeError("not UTF-8", "", 0) from error
    except RecursionError as error:
        raise json.JSONDecodeError("nested too deeply", "", 0) from error
    return value


def written(value: object) -> str | None:
    """A number of a request body as it was written; ``None`` for anything else."""
    if isinstance(value, JsonNumber):
        return value.text
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


class Amount:
    """An amount of money in a request body: a plain JSON number of major units, exactly as it was written."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def minor(self, currency: str, *, pointer: str = "/amount") -> int:
        """The amount in minor units of a currency.

        Raises:
            Invalid: ``amount_precision``, more decimals than the currency has; ``amount_range``, 10^15 or more.
        """
        whole, _, decimals = self.text.partition(".")
        places = digits(currency)
        if decimals[places:].strip("0"):
            message = f"{currency} has {places} decimals"
            raise Invalid(message, errors=[Flaw(pointer=pointer, code="amount_precision", message=message)])
        value = int(whole + decimals[:places].ljust(places, "0"))
        if abs(value) >= LIMIT:
            message = "the amount is too large"
            raise Invalid(message, errors=[Flaw(pointer=pointer, code="amount_range", message=message)])
        return value

    def positive(self, currency: str) -> int:
        """The same of an amount that must be more than zero. Raises ``Invalid``: ``amount_not_positive`` too."""
        value = self.minor(currency)
        if value <= 0:
            message = "the amount must be more than zero"
            raise Invalid(message, errors=[Flaw(pointer="/amount", code="amount_not_positive", message=message)])
        return value

    def __repr__(self) -> str:
        return f"Amount({self.text})"

    @classmethod
    def _validate(cls, value: object) -> "Amount":
        if isinstance(value, Amount):
            return value
        text = written(value)
        if text is None:
            raise PydanticCustomError("amount_type", "An amount is a JSON number of major units")
        if not _PLAIN.fullmatch(text) or (text[0] == "-" and not text.strip("-0.")):
            raise PydanticCustomError("amount_format", "An amount is a plain decimal, such as 25 or 7.5")
        return cls(text)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(cls._validate)

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "number", "examples": [25, 7.5]}


Major = Annotated[int | float, WithJsonSchema({"type": "number", "examples": [25, 7.5]})]
"""An amount in a reply body, made by ``major``."""


def major(minor: int, currency: str) -> Major:
    """Minor units as the JSON number of major units: 2500 → 25, 750 → 7.5."""
    unit: int = 10 ** digits(currency)
    whole, rest = divmod(minor, unit)
    return minor / unit if rest else whole
