"""What the gateway tells of stores."""

from contracts.event import Currency, Event
from contracts.topics import STORES


class StoreCreated(Event, type="store.created", topic=STORES, key="store_id"):
    """A store opened. Its settlement currency never changes."""

    slug: str
    currency: Currency
    locale: str
    url: str
