"""What a store has decided about credit (features W3). Pure; amounts in minor units of its currency."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from contracts.wallet import OverCap


@dataclass(frozen=True, slots=True)
class Terms:
    """A store's settings. ``None`` days: credit does not expire unless it says so, nobody is reminded."""

    refunds_as_credit: bool = True
    default_expiry_days: int | None = None
    balance_cap_minor: int | None = None
    promo_over_cap: OverCap = OverCap.CLIP
    reminder_days: int | None = 7

    def expiry(self, at: datetime) -> datetime | None:
        """When credit given now expires, if nothing else is said of it."""
        return None if self.default_expiry_days is None else at + timedelta(days=self.default_expiry_days)

    def room(self, balance_minor: int, debt_minor: int) -> int | None:
        """How much may be given: what the cap leaves, and what debt takes at once. ``None``: any amount.

        A balance counts what is held of it.
        """
        if self.balance_cap_minor is None:
            return None
        return debt_minor + max(0, self.balance_cap_minor - balance_minor)
