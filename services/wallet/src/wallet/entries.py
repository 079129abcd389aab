"""A line of the ledger, and what led to it. Amounts in minor units."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

ADJUSTMENT = "adjustment"
CLAIM = "claim"
DEBT = "debt"
GIFT_CODE = "gift_code"
GRANT = "grant"
MERGE = "merge"
ORDER = "order"
PROMOTION = "promotion"
REVERSAL = "reversal"
SHORTFALL = "shortfall"


class Side(StrEnum):
    """The accounts between which an entry moves money. Only the customer's two are kept; the others are sums."""

    CUSTOMER = "customer"
    CUSTOMER_DEBT = "customer_debt"
    COMMISSIONS = "commissions"
    PROMOTIONS = "promotions"
    REFUNDS = "refunds"
    ORDERS = "orders"
    ADJUSTMENTS = "adjustments"
    BREAKAGE = "breakage"


class Cause(NamedTuple):
    """What led to an entry. A claim, order, reversal or gift code leads to one entry at most (``entry_cause``)."""

    kind: str
    id: str


class Part(NamedTuple):
    """So much of the grant that the customer's entry ``sequence`` opened."""

    sequence: int
    amount_minor: int


class Entry(NamedTuple):
    """One line of the ledger. ``amount_minor`` is positive and leaves ``debit_account`` for ``credit_account``.

    ``parts``: the grants it took from or gave back to; without any, one that adds has opened a grant of its own.
    """

    entry_id: str
    customer_id: str
    sequence: int
    type: str
    debit_account: str
    credit_account: str
    amount_minor: int
    balance_after_minor: int
    debt_after_minor: int
    currency: str
    cause_kind: str
    cause_id: str
    reason: str | None
    parts: tuple[Part, ...]
    expires_at: datetime | None
    posted_at: datetime
    hash: bytes = b""

    @property
    def change_minor(self) -> int:
        """What it does to the customer's balance."""
        return _effect(self, Side.CUSTOMER)

    @property
    def debt_change_minor(self) -> int:
        """What it does to the customer's debt."""
        return -_effect(self, Side.CUSTOMER_DEBT)

    @property
    def signed_minor(self) -> int:
        """The amount as it is shown: negative where it takes from the customer, be it by debt."""
        return self.change_minor or -self.debt_change_minor

    @property
    def on_debt(self) -> bool:
        """Whether it changes what the customer owes, and leaves the balance as it was."""
        return Side.CUSTOMER not in {self.debit_account, self.credit_account}

    @property
    def opens_grant(self) -> bool:
        """Whether it is credit with a date of its own."""
        return self.credit_account == Side.CUSTOMER and not self.parts


def _effect(entry: Entry, side: Side) -> int:
    if entry.credit_account == side:
        return entry.amount_minor
    return -entry.amount_minor if entry.debit_account == side else 0
