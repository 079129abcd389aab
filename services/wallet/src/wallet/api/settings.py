"""What a store decides about credit (features W3)."""

from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from chassis import clock, outbox, stores
from chassis.http import Api, Caller, Conn, Data, policy
from chassis.money import Amount, Major, major
from chassis.problems import Flaw, Invalid
from contracts.wallet import OverCap, SettingsChanged
from wallet import store_terms
from wallet.store_terms import Kept
from wallet.terms import Terms

router = Api()


class SettingsChange(BaseModel):
    """What is left out stays as it is; null switches off. A lower cap takes nothing from anybody."""

    model_config = ConfigDict(extra="forbid")

    # A factory says no default in the schema: there is none.
    refunds_as_credit: Annotated[bool, Field(strict=True)] = Field(default_factory=lambda: Terms().refunds_as_credit)
    default_expiry_days: Annotated[int, Field(ge=1, le=3650, strict=True)] | None = None
    balance_cap: Amount | None = None
    promo_over_cap: OverCap = Field(default_factory=lambda: Terms().promo_over_cap)
    reminder_days: Annotated[int, Field(ge=1, le=365, strict=True)] | None = None

    def fields(self, currency: str) -> dict[str, Any]:
        """The fields of ``Terms`` that were sent. Raises ``Invalid`` for a cap that is no amount above zero."""
        sent = {name: getattr(self, name) for name in self.model_fields_set}
        if "balance_cap" in sent:
            cap: Amount | None = sent.pop("balance_cap")
            sent["balance_cap_minor"] = None if cap is None else _cap(cap, currency)
        return sent


class SettingsReply(BaseModel):
    """The settings in force. ``version`` rises with each change."""

    refunds_as_credit: bool
    default_expiry_days: int | None = Field(description="Credit without a date of its own expires after; null: never")
    balance_cap: Major | None = Field(description="What a customer may have at most; null: no limit")
    promo_over_cap: OverCap = Field(description="What becomes of promotional credit above the cap")
    reminder_days: int | None = Field(description="A customer is warned so long before credit expires; null: not")
    version: int


@router.get("/dev/v1/wallet/settings")
@policy("wallet.read")
async def settings(caller: Caller, conn: Conn) -> Data[SettingsReply]:
    """The settings in force."""
    kept = await store_terms.terms_of(conn, caller.store_id)
    return _show(kept, await stores.currency(conn, caller.store_id))


@router.patch("/dev/v1/wallet/settings")
@policy("wallet.write")
async def change_settings(change: SettingsChange, caller: Caller, conn: Conn) -> Data[SettingsReply]:
    """Change what is sent, for credit that is given from now on."""
    currency = await stores.currency(conn, caller.store_id)
    fields = change.fields(currency)
    kept = await store_terms.lock_terms(conn, caller.store_id)
    terms = replace(kept.terms, **fields)
    if terms != kept.terms:
        kept = Kept(terms, kept.version + 1)
        await store_terms.save_terms(conn, caller.store_id, kept, clock.now())
        outbox.add(conn, _changed(caller.store_id, kept))
    return _show(kept, currency)


def _cap(cap: Amount, currency: str) -> int:
    minor = cap.minor(currency, pointer="/balance_cap")
    if minor <= 0:
        raise Invalid(errors=[Flaw(pointer="/balance_cap", code="greater_than", message="a cap is above zero")])
    return minor


def _changed(store_id: str, kept: Kept) -> SettingsChanged:
    return SettingsChanged(
        store_id=store_id,
        version=kept.version,
        refunds_as_credit=kept.terms.refunds_as_credit,
        default_expiry_days=kept.terms.default_expiry_days,
        balance_cap_minor=kept.terms.balance_cap_minor,
        promo_over_cap=kept.terms.promo_over_cap,
        reminder_days=kept.terms.reminder_days,
    )


def _show(kept: Kept, currency: str) -> Data[SettingsReply]:
    terms = kept.terms
    return Data(
        data=SettingsReply(
            refunds_as_credit=terms.refunds_as_credit,
            default_expiry_days=terms.default_expiry_days,
            balance_cap=None if terms.balance_cap_minor is None else major(terms.balance_cap_minor, currency),
            promo_over_cap=terms.promo_over_cap,
            reminder_days=terms.reminder_days,
            version=kept.version,
        )
    )
