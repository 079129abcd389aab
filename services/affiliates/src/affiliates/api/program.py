"""The terms of the store's program (features A2)."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter
from pydantic_core import PydanticCustomError

from affiliates import store_activity, store_program
from affiliates.addresses import carries
from affiliates.program import DEFAULT, SelfEnrolment, Terms, Tier, ascending, bps, changed, percent, revised
from chassis import clock, outbox, stores
from chassis.http import Api, Caller, Conn, Data, policy
from chassis.money import Amount, Major, major, written
from chassis.pagination import CursorParameter, Limit, Page, only_key, page_of, read_cursor
from chassis.problems import Flaw, Invalid

router = Api()

_LEFT_OUT: Any = Field(default_factory=lambda: None)  # says no default in the schema: there is none
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT = timedelta(microseconds=1)
_Instants = TypeAdapter(Annotated[int, Field(ge=0, lt=10**17)])  # since the epoch
_PLAIN = re.compile(r"-?[1-9][0-9]{0,9}(?:\.[0-9]{1,9})?|0(?:\.[0-9]{1,9})?")


def _exact(value: object) -> Decimal:
    text = written(value)
    if text is None or not _PLAIN.fullmatch(text):
        message = "A percentage is a plain JSON number of at most two decimals, such as 10 or 12.5"
        raise PydanticCustomError("percent_format", message)
    return Decimal(text)


Switch = Annotated[bool, Field(strict=True)]
Percent = Annotated[Decimal, BeforeValidator(_exact), Field(ge=0, le=100, decimal_places=2)]
Days = Annotated[int, Field(ge=0, le=365, strict=True)]
_CoolingDays = Annotated[int, Field(ge=0, le=90, strict=True)]
_Word = Annotated[str, Field(min_length=1, max_length=32)]


class TierBody(BaseModel):
    """The share of affiliates whose links have sold for ``from`` or more, in the store's currency."""

    model_config = ConfigDict(extra="forbid")

    volume: Annotated[Amount, Field(alias="from")]
    percent: Percent


class Method(BaseModel):
    """An asset and the network it goes by, such as USDT over tron."""

    model_config = ConfigDict(extra="forbid")

    asset: _Word
    network: _Word


_NAMES = {
    "revenue_share_enabled": "enabled",
    "revenue_share_percent": "rate_bps",
    "customer_discount_enabled": "discount_enabled",
    "customer_discount_percent": "discount_bps",
    "conversion_bonus_percent": "conversion_bonus_bps",
    "rate_tiers": "tiers",
    "minimum_payout": "minimum_payout_minor",
}


class ProgramChange(BaseModel):
    """New terms, for orders completed from now on; what is left out stays as it is.

    ``minimum_payout`` null: none; ``payout_methods`` null: all that there are.
    """

    model_config = ConfigDict(extra="forbid")

    revenue_share_enabled: Switch = _LEFT_OUT
    revenue_share_percent: Percent = _LEFT_OUT
    waiting_days: Days = _LEFT_OUT
    customer_discount_enabled: Switch = _LEFT_OUT
    customer_discount_percent: Percent = _LEFT_OUT
    custom_links_need_approval: Switch = _LEFT_OUT
    self_enrolment: SelfEnrolment = _LEFT_OUT
    attribution_days: Days = _LEFT_OUT
    rate_tiers: Annotated[list[TierBody], Field(max_length=20)] = _LEFT_OUT
    minimum_payout: Amount | None = _LEFT_OUT
    payout_methods: Annotated[list[Method], Field(max_length=100)] | None = _LEFT_OUT
    two_person_approval: Switch = _LEFT_OUT
    cooling_days: _CoolingDays = _LEFT_OUT
    conversion_bonus_percent: Percent = _LEFT_OUT

    def fields(self, currency: str) -> dict[str, Any]:
        """The fields of ``Terms`` that were sent. Raises ``Invalid``."""
        sent = {name: getattr(self, name) for name in self.model_fields_set}
        if "rate_tiers" in sent:
            sent["rate_tiers"] = _tiers(sent["rate_tiers"], currency)
        if sent.get("minimum_payout") is not None:
            sent["minimum_payout"] = _not_negative(sent["minimum_payout"], currency, "/minimum_payout")
        elif "minimum_payout" in sent:
            sent["minimum_payout"] = 0
        if sent.get("payout_methods") is not None:
            sent["payout_methods"] = _methods(sent["payout_methods"])
        return {
            _NAMES.get(name, name): bps(value) if isinstance(value, Decimal) else value for name, value in sent.items()
        }


def _not_negative(amount: Amount, currency: str, pointer: str) -> int:
    minor = amount.minor(currency, pointer=pointer)
    if minor < 0:
        raise Invalid(errors=[Flaw(pointer=pointer, code="amount_negative", message="it must not be below zero")])
    return minor


def _tiers(given: list[TierBody], currency: str) -> tuple[Tier, ...]:
    tiers = tuple(
        Tier(_not_negative(tier.volume, currency, f"/rate_tiers/{i}/from"), bps(tier.percent))
        for i, tier in enumerate(given)
    )
    if not ascending(tiers):
        message = "each tier begins above the one before"
        raise Invalid(errors=[Flaw(pointer="/rate_tiers", code="tiers_not_ascending", message=message)])
    return tiers


def _methods(given: list[Method]) -> tuple[tuple[str, str], ...]:
    pairs = [(method.asset.upper(), method.network.lower()) for method in given]
    flaws = [
        Flaw(pointer=f"/payout_methods/{i}", code="method_unknown", message=f"there is no {asset} on {network}")
        for i, (asset, network) in enumerate(pairs)
        if not carries(network, asset)
    ]
    if flaws:
        raise Invalid(errors=flaws)
    return tuple(sorted(set(pairs)))


class TierReply(BaseModel):
    """The share of affiliates whose links have sold for ``from`` or more."""

    volume: Annotated[Major, Field(alias="from")]
    percent: int | float


class RulesReply(BaseModel):
    """What an affiliate goes by. A commission can be taken ``waiting_days`` after its order was completed.

    A click counts for ``attribution_days``; a payout to another address than before waits ``cooling_days`` for its
    approval. Percentages have up to two decimals.
    """

    revenue_share_enabled: bool
    revenue_share_percent: int | float
    waiting_days: int
    customer_discount_enabled: bool
    customer_discount_percent: int | float
    custom_links_need_approval: bool
    attribution_days: int
    rate_tiers: list[TierReply]
    minimum_payout: Major | None
    payout_methods: list[Method] | None
    cooling_days: int
    conversion_bonus_percent: int | float


class ProgramReply(RulesReply):
    """The terms in force: what affiliates go by, and what only staff do."""

    self_enrolment: SelfEnrolment
    two_person_approval: bool


class DatedProgramReply(ProgramReply):
    """Terms as they were from ``since`` until the next ones; null: from the beginning."""

    since: datetime | None


@router.get("/dev/v1/affiliates/program")
@policy("affiliates.read")
async def program(caller: Caller, conn: Conn) -> Data[ProgramReply]:
    """The terms in force."""
    terms = await store_program.terms_now(conn, caller.store_id)
    return Data(data=ProgramReply.model_validate(show_terms(terms, await stores.currency(conn, caller.store_id))))


@router.put("/dev/v1/affiliates/program")
@policy("affiliates.write")
async def change_program(change: ProgramChange, caller: Caller, conn: Conn) -> Data[ProgramReply]:
    """Change the terms, for orders completed from now on."""
    currency, now = await stores.currency(conn, caller.store_id), clock.now()
    fields = change.fields(currency)
    before = await store_program.lock_terms(conn, caller.store_id)
    terms = revised(before, fields, now)
    reply = ProgramReply.model_validate(show_terms(terms, currency))
    if terms is not before:
        await store_program.add_terms(conn, caller.store_id, terms)
        outbox.add(conn, changed(caller.store_id, terms, currency))
        was = ProgramReply.model_validate(show_terms(before, currency)).model_dump(mode="json", by_alias=True)
        its = reply.model_dump(mode="json", by_alias=True)
        changes = {name: {"from": was[name], "to": its[name]} for name in its if its[name] != was[name]}
        await store_activity.note(conn, caller, "program.changed", caller.store_id, now, changes=changes)
    return Data(data=reply)


@router.get("/dev/v1/affiliates/program/history")
@policy("affiliates.read")
async def program_history(
    caller: Caller, conn: Conn, limit: Limit = 25, cursor: CursorParameter = None
) -> Page[DatedProgramReply]:
    """The terms the program has had, newest first, down to those it began with. A commission keeps those of its day."""
    instants = only_key(read_cursor(cursor), _Instants)
    before = None if instants is None else _EPOCH + instants * _INSTANT
    rows = await store_program.page_of_terms(conn, caller.store_id, before, limit + 1)
    if len(rows) <= limit:
        rows.append(DEFAULT)
    currency = await stores.currency(conn, caller.store_id)

    def show(terms: Terms) -> DatedProgramReply:
        since = None if terms is DEFAULT else terms.since
        return DatedProgramReply.model_validate(show_terms(terms, currency) | {"since": since})

    return page_of(rows, limit, show, lambda terms: [(terms.since - _EPOCH) // _INSTANT])


def show_terms(terms: Terms, currency: str) -> dict[str, Any]:
    """Terms in the words of replies."""
    methods = terms.payout_methods
    return {
        "revenue_share_enabled": terms.enabled,
        "revenue_share_percent": percent(terms.rate_bps),
        "waiting_days": terms.waiting_days,
        "customer_discount_enabled": terms.discount_enabled,
        "customer_discount_percent": percent(terms.discount_bps),
        "custom_links_need_approval": terms.custom_links_need_approval,
        "self_enrolment": terms.self_enrolment,
        "attribution_days": terms.attribution_days,
        "rate_tiers": [
            {"from": major(tier.from_minor, currency), "percent": percent(tier.rate_bps)} for tier in terms.tiers
        ],
        "minimum_payout": major(terms.minimum_payout_minor, currency) or None,
        "payout_methods": methods and [{"asset": asset, "network": network} for asset, network in methods],
        "two_person_approval": terms.two_person_approval,
        "cooling_days": terms.cooling_days,
        "conversion_bonus_percent": percent(terms.conversion_bonus_bps),
    }
