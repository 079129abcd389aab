"""Taking what was earned: conversion into store balance (features A5), and what became of it."""

from typing import Annotated, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from affiliates import changes, store_claims, store_program
from affiliates.api.shown import (
    ClaimReply,
    InsufficientBalance,
    NotActive,
    affiliate_of,
    lock_affiliate_of,
    refuse,
    show_claim,
    show_claim_to_staff,
)
from affiliates.claims import Claim, ClaimKind, Objection, Status, bonus, objection, request
from chassis import clock, ids, replies, stores
from chassis.http import Api, Asked, Caller, Conn, Data, Reply, answered_by, named, policy
from chassis.money import LIMIT, Amount, Major, major
from chassis.problems import Flaw, Invalid, NotFound, Refused
from contracts.ids import CLAIM

router = Api()


class ConversionRefused(Refused):
    """The wallet would not credit it; the money is available to the affiliate again."""

    code = "conversion_refused"
    title = "The store balance did not take it"


class BalanceCap(Refused):
    """The store caps its customers' balances; the money is available to the affiliate again."""

    code = "balance_cap"
    title = "The store balance would be above the store's cap"


class Conversion(BaseModel):
    """How much to convert, in the store's currency."""

    model_config = ConfigDict(extra="forbid")

    amount: Annotated[Amount, Field(description="In the store's currency")]


class ProcessingReply(BaseModel):
    """The wallet has not answered yet."""

    claim_id: str
    amount: Major
    status: Literal[Status.PROCESSING] = Status.PROCESSING


class CompletedReply(BaseModel):
    """The wallet has credited it: in which transaction, and what the store balance was then."""

    claim_id: str
    amount: Major
    status: Literal[Status.COMPLETED] = Status.COMPLETED
    wallet_transaction_id: str | None
    new_balance: Major


async def told(conn: Conn, request_id: str) -> Reply:
    """What became of a conversion, or of a payout settled into the store balance, from what was kept of it.

    Raises ``BalanceCap`` or ``ConversionRefused`` where the wallet refused it.
    """
    claim = await store_claims.claim_of_request(conn, request_id)
    if claim is None:
        raise NotFound
    amount = major(claim.amount_minor, claim.currency)
    if claim.status is Status.FAILED:
        refused = ConversionRefused(f"the wallet refused it: {claim.reason}")
        raise BalanceCap if claim.reason == BalanceCap.code else refused
    if claim.kind is ClaimKind.PAYOUT:
        ended = claim.status is Status.COMPLETED
        location = None if ended else f"/dev/v1/affiliates/payouts/{claim.claim_id}"
        return Reply(200 if ended else 202, Data(data=await show_claim_to_staff(conn, claim)), location)
    if claim.status is Status.PROCESSING or claim.balance_after_minor is None:
        location = f"/dev/v1/customers/{claim.customer_id}/affiliate/claims/{claim.claim_id}"
        return Reply(202, Data(data=ProcessingReply(claim_id=claim.claim_id, amount=amount)), location)
    completed = CompletedReply(
        claim_id=claim.claim_id,
        amount=amount,
        wallet_transaction_id=claim.wallet_transaction_id,
        new_balance=major(claim.balance_after_minor, claim.currency),
    )
    return Reply(200, Data(data=completed))


@router.post("/dev/v1/customers/{customer_id}/affiliate/convert-to-balance", response_model=Data[CompletedReply])
@policy("customers.write", key="required")
@answered_by(told)
async def convert_to_balance(customer_id: str, conversion: Conversion, caller: Caller, conn: Conn) -> Asked:
    """Move available earnings, and what the store adds to them, into the store balance."""
    currency = await stores.currency(conn, caller.store_id)
    amount_minor = conversion.amount.positive(currency)
    affiliate = await lock_affiliate_of(conn, caller.store_id, customer_id)
    now = clock.now()
    bonus_minor = bonus(amount_minor, (await store_program.terms_now(conn, caller.store_id)).conversion_bonus_bps)
    if amount_minor + bonus_minor >= LIMIT:
        message = "the amount with its bonus is too large"
        raise Invalid(message, errors=[Flaw(pointer="/amount", code="amount_range", message=message)])
    against = objection(affiliate, amount_minor)
    if against is not None:
        its = NotActive() if against is Objection.NOT_ACTIVE else InsufficientBalance(affiliate, currency)
        await refuse(conn, affiliate, its)
    claim = Claim(
        affiliate.store_id,
        ids.new(CLAIM),
        affiliate.affiliate_id,
        customer_id,
        amount_minor,
        currency,
        now,
        now,
        bonus_minor=bonus_minor,
    )
    await changes.add_claim(conn, claim)
    await replies.ask(conn, claim.claim_id, request(claim))
    return Asked(claim.claim_id)


@router.get("/dev/v1/customers/{customer_id}/affiliate/claims/{claim_id}")
@policy("customers.read")
async def claim(
    customer_id: str, claim_id: Annotated[str, Path(), named(CLAIM)], caller: Caller, conn: Conn
) -> Data[ClaimReply]:
    """One claim of an affiliate; where a 202 says to look."""
    affiliate = await affiliate_of(conn, caller.store_id, customer_id)
    found = await store_claims.claim_of(conn, affiliate, claim_id)
    if found is None:
        raise NotFound
    return Data(data=show_claim(found))
