"""Customers are mailed about their credit when the merchant says so, once."""

import asyncio
import itertools
import json

import asyncpg
import pytest
from serving import merchant

CUSTOMER = "cus_01h455vb4pex5vsknk084sn02q"  # minted long ago: nobody waits for an event that should have come by now
PATH = f"/dev/v1/customers/{CUSTOMER}/wallet/adjustments"

keys = (f"key-{n}" for n in itertools.count())


@pytest.fixture
async def adjust(served, ledger, know):
    """`await adjust(25, notify=True)`: the reply."""
    await know(CUSTOMER)
    shop = served.as_(merchant(ledger.store_id))

    async def asked(amount, *, key=None, **more):
        return await shop.post(PATH, {"amount": amount, **more}, key=key or next(keys))

    return asked


@pytest.fixture
async def mails(database, ledger):
    """`await mails()`: what this test's store asked to be mailed, in order."""
    admin = await asyncpg.connect(database.admin_url)

    async def asked():
        sql = "SELECT payload FROM outbox WHERE store_id = $1 AND type = 'mail.requested' ORDER BY seq"
        return [json.loads(row["payload"]) for row in await admin.fetch(sql, ledger.store_id)]

    yield asked
    await admin.close()


async def test_a_customer_is_told_of_credit_and_of_a_deduction(adjust, mails):
    given = (await adjust(25, notify=True, expires_at="2099-01-01T00:00:00Z")).data
    taken = (await adjust(-5, notify=True)).data
    one, other = await mails()
    assert (one["template"], one["about_id"], one["amount_minor"], one["balance_minor"]) == (
        "wallet_credited",
        given["id"],
        2500,
        2500,
    )
    assert one["expires_at"].startswith("2099-01-01T00:00:00")
    assert (other["template"], other["about_id"], other["amount_minor"], other["balance_minor"]) == (
        "wallet_debited",
        taken["id"],
        -500,
        2000,
    )
    assert {mail["customer_id"] for mail in (one, other)} == {CUSTOMER}
    assert one["mail_id"] != other["mail_id"]


async def test_nobody_is_mailed_unasked(adjust, mails):
    await adjust(25)
    assert await mails() == []


async def test_one_key_many_times_is_one_mail(adjust, mails):
    await asyncio.gather(*(adjust(25, notify=True, key="same") for _ in range(20)))
    assert len(await mails()) == 1


async def test_what_is_refused_is_not_mailed(adjust, mails):
    assert (await adjust(-25, notify=True)).status == 409
    assert (await adjust(0, notify=True)).status == 422
    assert await mails() == []


async def test_only_those_of_a_batch_are_mailed_that_asked_for_it(adjust, mails):
    replies = await asyncio.gather(*(adjust(1, notify=number % 2 == 0) for number in range(20)))
    assert sorted(mail["about_id"] for mail in await mails()) == sorted(reply.data["id"] for reply in replies[::2])


async def test_a_mail_says_nothing_that_was_noted(adjust, mails):
    """A note is for the staff."""
    await adjust(25, notify=True, note="he always complains", reason="apology")
    (mail,) = await mails()
    assert "complains" not in json.dumps(mail)


async def test_a_mail_about_credit_that_paid_debt_tells_what_is_left(adjust, mails, ledger, served):
    given = (await adjust(25)).data
    await adjust(-25)
    shop = served.as_(merchant(ledger.store_id))
    await shop.post(f"/dev/v1/wallet/transactions/{given['id']}/reversal", {"notify": True}, key="undo")
    await adjust(30, notify=True)
    owed, paid = await mails()
    assert (owed["template"], owed["amount_minor"]) == ("wallet_debited", -2500)
    assert (paid["template"], paid["amount_minor"], paid["balance_minor"]) == ("wallet_credited", 3000, 500)
