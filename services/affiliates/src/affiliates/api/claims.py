"""Taking what was earned: conversion into store balance (features A5), and what became of it."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from affiliates import store, store_claims, store_journal
from affiliates.claims import Claim, Objection, Status, moved, objection, request
from chassis import clock, ids, replies, stores
from chassis.db import Conn as Transaction
from chassis.http import Api, Asked, Caller, Conn, Data, Reply, answered_by, named, policy
from chassis.money import Amount, Major, major
from chassis.problems import NotFound, Refused
from contracts.ids import CLAIM

router = Api()


class NotAnAffiliate(NotFound):
    """The customer exists, and is no affiliate."""

    title = "This customer is not an affiliate"


class InsufficientBalance(Refused):
    """An affiliate takes at most what is available."""

    code = "insufficient_balance"
    title = "The affiliate has not so much available"


class NotActive(Refused):
    """Only an active affiliate takes money."""

    code = "not_active"
    title = "This affiliate is not active"


class ConversionRefused(Refused):
    """The wallet would not credit it; the money is available to the affiliate again."""

    code = "conversion_refused"
    title = "The store balance did not take it"


class BalanceCap(Refused):
    """The store caps its customers' balances; the money is available to the affiliate again."""

    code = "balance_cap"
    title = "The store balance would be above the store's cap"


_REFUSALS: dict[Objection, type[Refused]] = {
    Objection.NOT_ACTIVE: NotActive,
    Objection.INSUFFICIENT_BALANCE: InsufficientBalance,
}


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


class ClaimReply(BaseModel):
    """A claim; ``reason`` says why it failed."""

    claim_id: str
    type: Literal["conversion"] = "conversion"
    amount: Major
    status: Status
    reason: str | None
    wallet_transaction_id: str | None
    new_balance: Major | None
    created_at: datetime
    ended_at: datetime | None


async def told(conn: Transaction, request_id: str) -> Reply:
    """What became of a conversion, from what was kept of it."""
    claim = await store_claims.claim_of_request(conn, request_id)
    if claim is None:
        raise NotFound
    amount = major(claim.amount_minor, claim.currency)
    if claim.status is Status.FAILED:
        raise (
            BalanceCap
            if claim.reason == BalanceCap.code
            else ConversionRefused(f"the wallet refused it: {claim.reason}")
        )
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
    """Move available earnings into the store balance."""
    currency = await stores.currency(conn, caller.store_id)
    amount_minor = conversion.amount.positive(currency)
    affiliate = await store.lock_affiliate_of(conn, caller.store_id, customer_id)
    if affiliate is None:
        raise NotAnAffiliate
    against = objection(affiliate, amount_minor)
    if against is not None:
        raise _REFUSALS[against]
    now = clock.now()
    claim = Claim(affiliate.store_id, ids.new(CLAIM), affiliate.affiliate_id, customer_id, amount_minor, currency, now)
    await store_claims.add_claim(conn, claim)
    await store_journal.post(conn, [moved(claim, now)])
    await replies.ask(conn, claim.claim_id, request(claim))
    return Asked(claim.claim_id)


@router.get("/dev/v1/customers/{customer_id}/affiliate/claims/{claim_id}")
@policy("customers.read")
async def claim(
    customer_id: str, claim_id: Annotated[str, Path(), named(CLAIM)], caller: Caller, conn: Conn
) -> Data[ClaimReply]:
    """One claim of an affiliate; where a 202 says to look."""
    affiliate = await store.affiliate_of(conn, caller.store_id, customer_id)
    found = None if affiliate is None else await store_claims.claim_of(conn, affiliate, claim_id)
    if found is None:
        raise NotFound
    return Data(data=show_claim(found))


def show_claim(claim: Claim) -> ClaimReply:
    """A claim as replies show it."""
    balance = claim.balance_after_minor
    return ClaimReply(
        claim_id=claim.claim_id,
        amount=major(claim.amount_minor, claim.currency),
        status=claim.status,
        reason=claim.reason,
        wallet_transaction_id=claim.wallet_transaction_id,
        new_balance=None if balance is None else major(balance, claim.currency),
        created_at=claim.created_at,
        ended_at=claim.ended_at,
    )
