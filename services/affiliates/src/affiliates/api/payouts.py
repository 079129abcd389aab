"""Payouts: an affiliate asks for one (features A6), staff decide and say what became of it (A7). Never automatic."""

from typing import Annotated

from fastapi import Path, status
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from affiliates import changes, payouts, store_activity, store_payouts, store_program
from affiliates.api.claims import told
from affiliates.api.program import Switch
from affiliates.api.shown import (
    InsufficientBalance,
    NotActive,
    Said,
    StaffClaimReply,
    lock_affiliate_of,
    refuse_half,
    show_claim_to_staff,
)
from affiliates.claims import Claim, ClaimKind, Objection, Status, request
from chassis import clock, ids, replies, stores
from chassis.http import Api, Asked, Caller, Conn, Data, answered_by, named, policy
from chassis.money import Amount, Major, major
from chassis.problems import Flaw, Invalid, NotFound, Refused
from contracts.ids import CLAIM

router = Api()

_LONGEST = 200


class BelowMinimumPayout(Refused):
    """The program pays out no less than its minimum."""

    code = "below_minimum_payout"
    title = "This is less than the store pays out"


class ClaimStatus(Refused):
    """The payout stands where this cannot be done to it."""

    code = "claim_status"
    title = "This cannot be done to the payout as it stands"


class InDebt(Refused):
    """Nobody is paid while they owe."""

    code = "in_debt"
    title = "The affiliate owes money"


class CoolingPeriod(Refused):
    """An address that is another than before rests before a payout to it is approved."""

    code = "cooling_period"
    title = "The address is new and still rests"


class SecondPersonNeeded(Refused):
    """Two different people approve a payout."""

    code = "second_person_needed"
    title = "You have approved this payout; somebody else must, too"


class TransactionKnown(Refused):
    """A transaction is one payout's, unless staff say that it pays several."""

    code = "transaction_known"
    title = "Another payout went by this transaction"


class PayoutRequest(BaseModel):
    """How much is asked for, in the store's currency, in which asset, and where it should go."""

    model_config = ConfigDict(extra="forbid")

    amount: Annotated[Amount, Field(description="In the store's currency")]
    asset: Annotated[str, StringConstraints(strip_whitespace=True, to_upper=True, max_length=_LONGEST)]
    address: Annotated[str, StringConstraints(strip_whitespace=True, max_length=_LONGEST)]
    network: Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True, max_length=_LONGEST)]
    note: Annotated[str, Field(max_length=500)] | None = None


class PayoutReply(BaseModel):
    """A payout that was asked for."""

    claim_id: str
    amount: Major
    status: Status
    asset: str
    address: str
    network: str
    note: str | None


class Explanation(BaseModel):
    """Why, in the words of staff; the affiliate reads them."""

    model_config = ConfigDict(extra="forbid")

    reason: Said


class Transfer(BaseModel):
    """The transaction a payout is sent by, as its network writes it. ``shared``: it pays others, too."""

    model_config = ConfigDict(extra="forbid")

    transaction_hash: Annotated[str, StringConstraints(strip_whitespace=True, max_length=_LONGEST)]
    shared: Switch = False


Named = Annotated[str, Path(), named(CLAIM)]


@router.post("/dev/v1/customers/{customer_id}/affiliate/payout-requests", status_code=status.HTTP_201_CREATED)
@policy("customers.write", key="required")
async def request_payout(customer_id: str, asked: PayoutRequest, caller: Caller, conn: Conn) -> Data[PayoutReply]:
    """Ask for a payout of available earnings. Staff decide about it."""
    currency = await stores.currency(conn, caller.store_id)
    amount_minor = asked.amount.positive(currency)
    affiliate = await lock_affiliate_of(conn, caller.store_id, customer_id)
    await refuse_half(conn, affiliate)
    now = clock.now()
    terms = await store_program.terms_now(conn, caller.store_id)
    if flaws := payouts.flaws(asked.asset, asked.network, asked.address, terms):
        raise Invalid(errors=[Flaw(pointer=where, code=code, message=message) for where, code, message in flaws])
    against = payouts.objection(affiliate, amount_minor, terms)
    if against is Objection.BELOW_MINIMUM_PAYOUT:
        raise BelowMinimumPayout(f"the least is {major(terms.minimum_payout_minor, currency)} {currency}")
    if against is not None:
        raise NotActive() if against is Objection.NOT_ACTIVE else InsufficientBalance(affiliate, currency)
    to = payouts.key_of(asked.network, asked.address)
    claim = Claim(
        affiliate.store_id,
        ids.new(CLAIM),
        affiliate.affiliate_id,
        customer_id,
        amount_minor,
        currency,
        now,
        now,
        kind=ClaimKind.PAYOUT,
        status=Status.PENDING,
        asset=asked.asset,
        network=asked.network,
        address=asked.address,
        note=asked.note,
        approvable_at=payouts.approvable_at(await store_payouts.addresses_of(conn, affiliate), to, terms.cools, now),
    )
    await store_payouts.add_address(conn, affiliate, to, now)
    await changes.add_claim(conn, claim)
    reply = asked.model_dump(exclude={"amount"}) | {"amount": major(amount_minor, currency), "status": claim.status}
    return Data(data=PayoutReply(claim_id=claim.claim_id, **reply))


@router.get("/dev/v1/affiliates/payouts/{claim_id}")
@policy("affiliates.read")
async def payout(claim_id: Named, caller: Caller, conn: Conn) -> Data[StaffClaimReply]:
    """Where a payout stands."""
    claim = await store_payouts.payout_of(conn, caller.store_id, claim_id)
    if claim is None:
        raise NotFound
    return Data(data=await show_claim_to_staff(conn, claim))


@router.post("/dev/v1/affiliates/payouts/{claim_id}/approve")
@policy("affiliates.write")
async def approve(claim_id: Named, caller: Caller, conn: Conn) -> Data[StaffClaimReply]:
    """Let a payout be sent. Where the program wants two people, the first approval leaves it PENDING."""
    claim, affiliate = await _locked(conn, caller, claim_id)
    await refuse_half(conn, affiliate)
    terms = await store_program.terms_now(conn, caller.store_id)
    decided = payouts.approve(claim, affiliate, terms, f"{caller.actor}:{caller.actor_id}", clock.now())
    return await _keep(conn, caller, "payout.approve", (claim, affiliate), decided)


@router.post("/dev/v1/affiliates/payouts/{claim_id}/reject")
@policy("affiliates.write", key="required")
async def reject(claim_id: Named, why: Explanation, caller: Caller, conn: Conn) -> Data[StaffClaimReply]:
    """Refuse a payout that is not sent: its money is available to the affiliate again."""
    claim, affiliate = await _locked(conn, caller, claim_id)
    decided = payouts.reject(claim, why.reason, clock.now())
    shown = await _keep(conn, caller, "payout.reject", (claim, affiliate), decided, why.reason)
    if decided is not claim:
        await _rest_anew(conn, (claim, affiliate))
    return shown


@router.post("/dev/v1/affiliates/payouts/{claim_id}/sent")
@policy("affiliates.write")
async def sent(claim_id: Named, transfer: Transfer, caller: Caller, conn: Conn) -> Data[StaffClaimReply]:
    """Say by which transaction an approved payout was sent."""
    claim, affiliate = await _locked(conn, caller, claim_id)
    transaction_hash = payouts.transaction_of(claim, transfer.transaction_hash)
    if transaction_hash is None:
        message = f"this is no transaction of {claim.network}"
        raise Invalid(errors=[Flaw(pointer="/transaction_hash", code="transaction_hash_invalid", message=message)])
    decided = payouts.send(claim, transaction_hash, clock.now(), shared=transfer.shared)
    alone = decided is not claim and isinstance(decided, Claim) and not transfer.shared
    if alone and not await store_payouts.lock_transaction(conn, claim, transaction_hash):
        raise TransactionKnown("another payout went by this transaction; where it pays several, shared: true says so")
    return await _keep(conn, caller, "payout.sent", (claim, affiliate), decided)


@router.post("/dev/v1/affiliates/payouts/{claim_id}/confirm")
@policy("affiliates.write", key="required")
async def confirm(claim_id: Named, caller: Caller, conn: Conn) -> Data[StaffClaimReply]:
    """Say that a payout has arrived."""
    claim, affiliate = await _locked(conn, caller, claim_id)
    decided = payouts.confirm(claim, clock.now())
    return await _keep(conn, caller, "payout.confirm", (claim, affiliate), decided)


@router.post("/dev/v1/affiliates/payouts/{claim_id}/fail")
@policy("affiliates.write", key="required")
async def fail(claim_id: Named, why: Explanation, caller: Caller, conn: Conn) -> Data[StaffClaimReply]:
    """Say that a payout that was sent has not arrived: its money is available to the affiliate again."""
    claim, affiliate = await _locked(conn, caller, claim_id)
    decided = payouts.fail(claim, why.reason, clock.now())
    return await _keep(conn, caller, "payout.fail", (claim, affiliate), decided, why.reason)


@router.post("/dev/v1/affiliates/payouts/{claim_id}/settle", response_model=Data[StaffClaimReply])
@policy("affiliates.write", key="required")
@answered_by(told)
async def settle(claim_id: Named, caller: Caller, conn: Conn) -> Asked | BaseModel:
    """Put a payout that is not sent into the store balance instead; 202 while the wallet has not answered."""
    claim, affiliate = await _locked(conn, caller, claim_id)
    await refuse_half(conn, affiliate)
    decided = payouts.settle(claim, affiliate, clock.now())
    await _keep(conn, caller, "payout.settle", (claim, affiliate), decided)
    if isinstance(decided, Objection) or decided.status is not Status.PROCESSING:
        return (await told(conn, claim_id)).body
    await replies.ask(conn, claim_id, request(decided))
    return Asked(claim_id)


async def _rest_anew(conn: Conn, rejected: store_payouts.Locked) -> None:
    """Have an address rest since the first request to it that was not rejected, and what waits for it with it."""
    claim, affiliate = rejected
    to = payouts.address_of(claim)
    first = await store_payouts.first_request_to(conn, affiliate, to)
    used = {**await store_payouts.addresses_of(conn, affiliate), to: first}
    terms = await store_program.terms_now(conn, affiliate.store_id)
    waiting = await store_payouts.waiting_payouts_to(conn, affiliate, to)
    resting = [payouts.rests(each, used, terms.cools) for each in waiting]
    await store_payouts.save_rest(conn, affiliate, to, first, resting)


async def _locked(conn: Conn, caller: Caller, claim_id: str) -> store_payouts.Locked:
    found = await store_payouts.lock_payout(conn, caller.store_id, claim_id)
    if found is None:
        raise NotFound
    return found


async def _keep(
    conn: Conn,
    caller: Caller,
    action: str,
    locked: store_payouts.Locked,
    decided: Claim | Objection,
    said: str | None = None,
) -> Data[StaffClaimReply]:
    """Keep what was decided about a payout and who did it; what is done already is done."""
    before, _ = locked
    if isinstance(decided, Objection):
        raise _refusal(locked, decided)
    if decided is not before:
        await changes.keep_claim(conn, before, decided)
        await store_activity.note(
            conn,
            caller,
            action,
            decided.claim_id,
            decided.changed_at,
            said=said,
            status=decided.status,
            transaction_hash=decided.transaction_hash,
            transaction_shared=decided.transaction_shared,
        )
    return Data(data=await show_claim_to_staff(conn, decided))


def _refusal(locked: store_payouts.Locked, against: Objection) -> Refused:
    claim, affiliate = locked
    if against is Objection.IN_DEBT:
        owes = f"{major(affiliate.balances.debt_minor, claim.currency)} {claim.currency}"
        return InDebt(f"the affiliate owes {owes}, which the money of a rejected payout would pay")
    if against is Objection.CLAIM_STATUS:
        return ClaimStatus(f"the payout is {claim.status}")
    if against is Objection.COOLING_PERIOD and claim.approvable_at is not None:
        return CoolingPeriod(f"the address rests until {claim.approvable_at.isoformat()}")
    return NotActive() if against is Objection.NOT_ACTIVE else SecondPersonNeeded()
