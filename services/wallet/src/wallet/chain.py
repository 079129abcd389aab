"""The hash chain: each entry of a customer vouches for the one before it (design §5 wallet).

SHA-256 over length-prefixed fields, so that no two different entries are the same bytes. The migration that added it
says the same in SQL; a test holds both together.
"""

from datetime import UTC, datetime, timedelta
from hashlib import sha256

from wallet.entries import Entry

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def link(previous: bytes, store_id: str, entry: Entry) -> bytes:
    """The hash of an entry that follows one with the hash ``previous``; the first follows an empty one."""
    fields = (
        entry.entry_id,
        store_id,
        entry.customer_id,
        str(entry.sequence),
        entry.type,
        entry.debit_account,
        entry.credit_account,
        str(entry.amount_minor),
        entry.currency,
        str((entry.posted_at - _EPOCH) // _MICROSECOND),
        entry.cause_kind,
        entry.cause_id,
    )
    parts = [previous, *(field.encode() for field in fields)]
    return sha256(b"".join(len(part).to_bytes(4) + part for part in parts)).digest()
