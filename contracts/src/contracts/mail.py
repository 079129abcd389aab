"""Mails that a service wants sent: which one and what about, never a person's data (design §1 rule 10)."""

from contracts.event import AmountMinor, Currency, Event, Instant
from contracts.ids import CustomerId, MailId
from contracts.topics import MAIL


class MailRequested(Event, type="mail.requested", topic=MAIL, key="customer_id"):
    """Mail a customer. ``template`` says what; ``about_id`` is the id of what it is about, once per ``mail_id``.

    The amounts are those of the mail's text, so that whoever writes it need not ask for them.
    """

    mail_id: MailId
    customer_id: CustomerId
    template: str
    about_id: str
    amount_minor: AmountMinor | None = None
    balance_minor: AmountMinor | None = None
    currency: Currency | None = None
    expires_at: Instant | None = None
