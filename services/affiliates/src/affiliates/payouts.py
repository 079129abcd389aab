"""The way of a payout: asked for by its affiliate, decided and sent by staff (features A6, A7). Pure.

PENDING → APPROVED → SENT → CONFIRMED or FAILED; until it is sent it may be rejected, or settled into the wallet. An
action comes to the same when it is done again; one that does not fit where the payout stands is refused.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from affiliates import addresses, claims
from affiliates.claims import Claim, Objection, Status
from affiliates.enrolment import Affiliate, State
from affiliates.program import Terms

REJECTED = "rejected"
TRANSFER_FAILED = "transfer_failed"

_UNDECIDED = {Status.PENDING, Status.APPROVED}


def flaws(asset: str, network: str, address: str, terms: Terms) -> list[tuple[str, str, str]]:
    """What is wrong with where the money should go: a pointer, a code and a sentence each."""
    found = []
    if asset not in addresses.ASSETS:
        found.append(("/asset", "asset_unknown", f"an asset is one of {', '.join(sorted(addresses.ASSETS))}"))
    if network not in addresses.NETWORKS:
        found.append(("/network", "network_unknown", f"a network is one of {', '.join(addresses.NETWORKS)}"))
    elif addresses.check(network, address) is None:
        found.append(("/address", "address_invalid", f"this is no address of {network}"))
    if not any(pointer in {"/asset", "/network"} for pointer, _, _ in found):
        if not addresses.carries(network, asset):
            found.append(("/asset", "asset_not_on_network", f"{network} does not carry {asset}"))
        elif terms.payout_methods is not None and (asset, network) not in terms.payout_methods:
            found.append(("/asset", "method_not_accepted", f"this store does not pay in {asset} over {network}"))
    return found


def objection(affiliate: Affiliate, amount_minor: int, terms: Terms) -> Objection | None:
    """What stands against paying out so much."""
    against = claims.objection(affiliate, amount_minor)
    if against is None and amount_minor < terms.minimum_payout_minor:
        return Objection.BELOW_MINIMUM_PAYOUT
    return against


def key_of(network: str, address: str) -> tuple[str, str]:
    """What tells one address from another: the kind of its network, and the one form that compares."""
    return addresses.kind(network), addresses.check(network, address) or address


def transaction_of(claim: Claim, transaction: str) -> str | None:
    """A transaction of the payout's network in the one form that compares; ``None`` when it is none."""
    return addresses.check_transaction(claim.network or "", transaction)


def approvable_at(
    used: Mapping[tuple[str, str], datetime | None], to: tuple[str, str], cools: timedelta, now: datetime
) -> datetime:
    """When a payout to an address may be approved.

    ``used``: the addresses asked for before, and since when in a request that was not rejected; ``None``: in no such
    one. The only address that an affiliate ever had does not rest; any other does, once.
    """
    if not used.keys() - {to}:
        return now
    return max(now, (used.get(to) or now) + cools)


def rests(claim: Claim, used: Mapping[tuple[str, str], datetime | None], cools: timedelta) -> Claim:
    """A payout that waits, when the requests before it are other ones than they were."""
    if claim.status is not Status.PENDING or claim.approvable_at is None:
        return claim
    again = approvable_at(used, address_of(claim), cools, claim.created_at)
    return claim if again <= claim.approvable_at else replace(claim, approvable_at=again)


def address_of(claim: Claim) -> tuple[str, str]:
    """What tells the address of a payout from another."""
    return key_of(claim.network or "", claim.address or "")


def approve(claim: Claim, affiliate: Affiliate, terms: Terms, who: str, now: datetime) -> Claim | Objection:
    """The payout with one approval more; APPROVED when these are enough."""
    if claim.status is Status.APPROVED:
        return claim
    against = _against_approval(claim, affiliate, now)
    if against is not None:
        return against
    approvals = tuple(dict.fromkeys([*claim.approvals, who]))
    if len(approvals) >= (2 if terms.two_person_approval else 1):
        return replace(claim, status=Status.APPROVED, approvals=approvals, changed_at=now)
    if approvals == claim.approvals:
        return Objection.SECOND_PERSON_NEEDED
    return replace(claim, approvals=approvals, changed_at=now)


def _against_approval(claim: Claim, affiliate: Affiliate, now: datetime) -> Objection | None:
    if claim.status is not Status.PENDING:
        return Objection.CLAIM_STATUS
    against = _against_paying(affiliate)
    if against is None and claim.approvable_at is not None and now < claim.approvable_at:
        return Objection.COOLING_PERIOD
    return against


def _against_paying(affiliate: Affiliate) -> Objection | None:
    """Who owes is paid nothing: rejected, a payout's money pays what is owed."""
    if affiliate.state is not State.ACTIVE:
        return Objection.NOT_ACTIVE
    return Objection.IN_DEBT if affiliate.balances.debt_minor else None


def reject(claim: Claim, explanation: str, now: datetime) -> Claim | Objection:
    """The payout that staff will not make."""
    if claim.status is Status.REJECTED:
        return claim
    if claim.status not in _UNDECIDED:
        return Objection.CLAIM_STATUS
    return _ended(claim, Status.REJECTED, now, REJECTED, explanation)


def send(claim: Claim, transaction_hash: str, now: datetime, *, shared: bool = False) -> Claim | Objection:
    """The payout on its way in a transaction, which may pay others, too; one that is on its way in another stays there.

    Also of who owes by now: it says what has been done.
    """
    if claim.status is Status.SENT and claim.transaction_hash == transaction_hash:
        return claim
    if claim.status is not Status.APPROVED:
        return Objection.CLAIM_STATUS
    return replace(
        claim, status=Status.SENT, transaction_hash=transaction_hash, transaction_shared=shared, changed_at=now
    )


def confirm(claim: Claim, now: datetime) -> Claim | Objection:
    """The payout that has arrived."""
    if claim.status is Status.CONFIRMED:
        return claim
    if claim.status is not Status.SENT:
        return Objection.CLAIM_STATUS
    return _ended(claim, Status.CONFIRMED, now)


def fail(claim: Claim, explanation: str, now: datetime) -> Claim | Objection:
    """The payout whose transfer failed."""
    if claim.status is Status.FAILED and claim.reason == TRANSFER_FAILED:
        return claim
    if claim.status is not Status.SENT:
        return Objection.CLAIM_STATUS
    return _ended(claim, Status.FAILED, now, TRANSFER_FAILED, explanation)


def settle(claim: Claim, affiliate: Affiliate, now: datetime) -> Claim | Objection:
    """The payout handed to the wallet; the same one when it was handed over before, whatever came of it."""
    refused = claim.status is Status.FAILED and claim.reason != TRANSFER_FAILED
    if refused or claim.status in {Status.PROCESSING, Status.COMPLETED}:
        return claim
    if claim.status not in _UNDECIDED:
        return Objection.CLAIM_STATUS
    against = _against_paying(affiliate)
    return replace(claim, status=Status.PROCESSING, changed_at=now) if against is None else against


def _ended(
    claim: Claim, status: Status, now: datetime, reason: str | None = None, explanation: str | None = None
) -> Claim:
    return replace(claim, status=status, reason=reason, explanation=explanation, changed_at=now, ended_at=now)
