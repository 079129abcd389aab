"""Gift codes: how they are written and read, and what an attempt to redeem one comes to. Pure; amounts in minor units."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from contracts.wallet import EntryType
from wallet.entries import GIFT_CODE, Cause
from wallet.postings import Expiry, Post

BITS = 100
MOST_FAILURES = 10

# Crockford's base32: nothing that is easily taken for something else, and what people write all the same is understood.
_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LOOKALIKES = str.maketrans("OIL", "011", "- ")
_LENGTH, _GROUP = 20, 5
_CODE = re.compile(f"[{_LETTERS}]{{{_LENGTH}}}")


class Status(StrEnum):
    """Where a code stands. Only an active one can be redeemed; it expires with its day, whether or not anybody looks."""

    ACTIVE = "ACTIVE"
    REDEEMED = "REDEEMED"
    EXPIRED = "EXPIRED"
    VOID = "VOID"


class Flop(StrEnum):
    """Why an attempt comes to nothing before the ledger is asked."""

    INVALID = "invalid"
    TOO_MANY = "too_many"


@dataclass(frozen=True, slots=True)
class Batch:
    """Codes that are worth the same. What is redeemed expires ``credit_expiry_days`` later; ``None``: never."""

    store_id: str
    batch_id: str
    amount_minor: int
    currency: str
    redeem_until: datetime | None
    credit_expiry_days: int | None
    reason: str | None
    note: str | None
    created_at: datetime


class Gift(NamedTuple):
    """A code, told by its last characters, and what it is worth."""

    gift_id: str
    batch_id: str
    last4: str
    status: str
    redeemed_by: str | None
    redeemed_at: datetime | None
    entry_id: str | None
    amount_minor: int
    currency: str
    redeem_until: datetime | None
    credit_expiry_days: int | None
    reason: str | None
    note: str | None

    def status_at(self, at: datetime) -> Status:
        """Where it stands then."""
        if self.status == Status.ACTIVE and self.redeem_until is not None and self.redeem_until <= at:
            return Status.EXPIRED
        return Status(self.status)


class Written(NamedTuple):
    """A code as people are given it, ``4F7QX-…``, and what is kept of it."""

    code: str
    digest: bytes
    last4: str


class Attempt(NamedTuple):
    """A customer's attempt at a code; ``digest`` is ``None`` where what they wrote is none."""

    customer_id: str
    digest: bytes | None


def write(number: int) -> Written:
    """The code of a number of ``BITS`` bits."""
    letters = "".join(_LETTERS[number >> 5 * place & 31] for place in range(_LENGTH))
    code = "-".join(letters[start : start + _GROUP] for start in range(0, _LENGTH, _GROUP))
    return Written(code, _digest(letters), letters[-4:])


def digest_of(text: str) -> bytes | None:
    """What is kept of a code, however people write it; ``None`` if nobody was ever given such a one."""
    letters = text.upper().translate(_LOOKALIKES)
    return _digest(letters) if _CODE.fullmatch(letters) else None


def _digest(letters: str) -> bytes:
    return hashlib.sha256(letters.encode()).digest()


def sort_out(
    attempts: Sequence[Attempt], gifts: Mapping[bytes, Gift], failures: Mapping[str, int], at: datetime
) -> list[Post | Flop]:
    """What to post for each attempt, in order; ``failures``: how many each customer has behind them.

    A code that an earlier one takes is posted for the later one too: it is theirs if the ledger refuses the earlier.
    Until then it counts against them as if it were gone.
    """
    behind, taken = dict(failures), set()
    sorted_out: list[Post | Flop] = []
    for customer_id, digest in attempts:
        if behind.get(customer_id, 0) >= MOST_FAILURES:
            sorted_out.append(Flop.TOO_MANY)
            continue
        gift = gifts.get(digest) if digest is not None else None
        if gift is not None and gift.status_at(at) is not Status.ACTIVE:
            gift = None
        sorted_out.append(Flop.INVALID if gift is None else _post(gift, customer_id, at))
        if gift is None or gift.gift_id in taken:
            behind[customer_id] = behind.get(customer_id, 0) + 1
        else:
            taken.add(gift.gift_id)
    return sorted_out


def _post(gift: Gift, customer_id: str, at: datetime) -> Post:
    days = gift.credit_expiry_days
    return Post(
        customer_id,
        EntryType.CREDIT,
        gift.amount_minor,
        gift.currency,
        Cause(GIFT_CODE, gift.gift_id),
        gift.reason,
        gift.note,
        Expiry.NEVER if days is None else at + timedelta(days=days),
    )
