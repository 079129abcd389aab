"""What customers are mailed about their credit: asked for here, written and sent by whoever knows them."""

from chassis import ids, outbox
from chassis.db import Conn
from chassis.tracing import Traced
from contracts.ids import MAIL
from contracts.mail import MailRequested
from contracts.wallet import GrantExpiring
from wallet.postings import Posted


def changed(conn: Conn, store_id: str, posted: Posted, *, because: Traced | None = None) -> None:
    """Tell a customer that their credit was changed by hand."""
    entry = posted.entry
    mail = MailRequested(
        store_id=store_id,
        mail_id=ids.new(MAIL),
        customer_id=entry.customer_id,
        template="wallet_credited" if entry.signed_minor > 0 else "wallet_debited",
        about_id=entry.entry_id,
        amount_minor=entry.signed_minor,
        balance_minor=posted.balance_minor,
        currency=entry.currency,
        expires_at=entry.expires_at,
    )
    outbox.add(conn, mail, because=because)


def expiring(conn: Conn, grant: GrantExpiring) -> None:
    """Tell a customer that credit of theirs will be gone."""
    mail = MailRequested(
        store_id=grant.store_id,
        mail_id=ids.new(MAIL),
        customer_id=grant.customer_id,
        template="wallet_grant_expiring",
        about_id=grant.entry_id,
        amount_minor=grant.amount_minor,
        currency=grant.currency,
        expires_at=grant.expires_at,
    )
    outbox.add(conn, mail)
