"""What may be taken, and how a claim ends."""

from datetime import UTC, datetime

import pytest

from affiliates import claims
from affiliates.claims import Claim, Objection, Status
from affiliates.enrolment import Affiliate, State
from affiliates.journal import Balances

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def affiliate(settled=2500, state=State.ACTIVE):
    return Affiliate("store", "aff", "cus", state, NOW, Balances(0, settled, 0, 0, 0))


def claim():
    return Claim("store", "claim", "aff", "cus", 2500, "EUR", NOW, NOW)


@pytest.mark.parametrize(
    ("who", "amount", "against"),
    [
        (affiliate(), 2500, None),
        (affiliate(), 2501, Objection.INSUFFICIENT_BALANCE),
        (affiliate(settled=-1), 1, Objection.INSUFFICIENT_BALANCE),
        (affiliate(state=State.SUSPENDED), 1, Objection.NOT_ACTIVE),
        (affiliate(state=State.PENDING), 1, Objection.NOT_ACTIVE),
    ],
)
def test_an_active_affiliate_takes_what_is_available(who, amount, against):
    assert claims.objection(who, amount) == against


def test_below_zero_is_debt_and_above_is_available():
    assert (affiliate(-300).balances.available_minor, affiliate(-300).balances.debt_minor) == (0, 300)
    assert (affiliate(300).balances.available_minor, affiliate(300).balances.debt_minor) == (300, 0)


def test_a_claim_ends_once():
    done = claims.complete(claim(), "wallet_tx_1", 2500, NOW)
    assert done.status is Status.COMPLETED
    assert claims.complete(done, "wallet_tx_2", 9, NOW) is done
    assert claims.fail(done, "balance_limit", NOW) is done


def test_a_failed_claim_stays_failed():
    failed = claims.fail(claim(), "balance_limit", NOW)
    assert (failed.status, failed.reason) == (Status.FAILED, "balance_limit")
    assert claims.complete(failed, "wallet_tx_1", 2500, NOW) is failed
