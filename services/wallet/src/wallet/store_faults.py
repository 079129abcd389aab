"""Proving the books: everything that is kept beside the entries is recomputed from them."""

from chassis.db import Conn

_SHOWN = 100


async def faults(conn: Conn) -> list[str]:
    """What is wrong with the ledger, a sentence each, up to a hundred of a kind. Reads every store."""
    return [
        *await _accounts(conn),
        *await _chains(conn),
        *await _holds(conn),
        *await _payments(conn),
    ]


async def _accounts(conn: Conn) -> list[str]:
    """Balance and sequence against the entries, what is held against the holds, one currency per store."""
    rows = await conn.rows(
        """
        WITH entered AS (
            SELECT store_id, customer_id, count(*) AS entries, max(sequence) AS sequence,
                   sum(CASE 'customer' WHEN credit_account THEN amount_minor WHEN debit_account THEN -amount_minor END)
                       AS balance_minor,
                   min(currency) AS first_currency, max(currency) AS last_currency
            FROM entry GROUP BY store_id, customer_id
        ), aside AS (
            SELECT store_id, customer_id, sum(amount_minor) AS held_minor
            FROM hold WHERE status = 'placed' GROUP BY store_id, customer_id
        ), compared AS (
            SELECT store_id, customer_id, a.balance_minor, a.sequence, a.held_minor, a.currency,
                   coalesce(e.entries, 0) AS entries,
                   coalesce(e.sequence, 0) AS entered_sequence,
                   coalesce(e.balance_minor, 0) AS entered_minor,
                   coalesce(h.held_minor, 0) AS aside_minor,
                   e.first_currency, e.last_currency, s.currency AS store_currency
            FROM account a
            FULL JOIN entered e USING (store_id, customer_id)
            FULL JOIN aside h USING (store_id, customer_id)
            LEFT JOIN store s USING (store_id)
        )
        SELECT format('%s of %s has the balance %s, its entries make %s', customer_id, store_id,
                      coalesce(balance_minor::text, 'of no account'), entered_minor) AS sentence
        FROM compared WHERE balance_minor IS DISTINCT FROM entered_minor
        UNION ALL
        SELECT format('%s of %s stands at sequence %s, its %s entries end at %s', customer_id, store_id, sequence,
                      entries, entered_sequence)
        FROM compared WHERE sequence <> entered_sequence OR entries <> entered_sequence
        UNION ALL
        SELECT format('%s of %s has %s held, its placed holds make %s', customer_id, store_id, held_minor, aside_minor)
        FROM compared WHERE held_minor IS DISTINCT FROM aside_minor
        UNION ALL
        SELECT format('%s of %s is not all in the currency of its store', customer_id, store_id)
        FROM compared WHERE currency <> store_currency OR currency <> first_currency OR currency <> last_currency
        LIMIT $1
        """,
        _SHOWN,
    )
    return [row["sentence"] for row in rows]


async def _chains(conn: Conn) -> list[str]:
    """Every entry continues the one before it."""
    rows = await conn.rows(
        """
        SELECT format('%s of %s: %s should leave a balance of %s, not %s', customer_id, store_id, entry_id,
                      coalesce(before_minor, 0) + change_minor, balance_after_minor) AS sentence
        FROM (
            SELECT store_id, customer_id, entry_id, balance_after_minor,
                   lag(balance_after_minor) OVER (PARTITION BY store_id, customer_id ORDER BY sequence) AS before_minor,
                   CASE 'customer' WHEN credit_account THEN amount_minor WHEN debit_account THEN -amount_minor ELSE 0 END
                       AS change_minor
            FROM entry
        ) AS chain
        WHERE balance_after_minor <> coalesce(before_minor, 0) + change_minor
        LIMIT $1
        """,
        _SHOWN,
    )
    return [row["sentence"] for row in rows]


async def _holds(conn: Conn) -> list[str]:
    """A captured hold has its PAYMENT entry, of its customer, order and amount."""
    rows = await conn.rows(
        """
        SELECT format('%s of %s was captured for %s, its entry says otherwise', h.hold_id, h.store_id,
                      h.captured_minor) AS sentence
        FROM hold h
        LEFT JOIN entry e ON e.store_id = h.store_id AND e.entry_id = h.entry_id
        WHERE h.status = 'captured'
          AND (e.type, e.customer_id, e.cause_kind, e.cause_id, e.amount_minor, e.debit_account)
              IS DISTINCT FROM ('PAYMENT', h.customer_id, 'order', h.order_id, h.captured_minor, 'customer')
        LIMIT $1
        """,
        _SHOWN,
    )
    return [row["sentence"] for row in rows]


async def _payments(conn: Conn) -> list[str]:
    """A PAYMENT entry has the hold that was captured for it, and what was refused has no entry."""
    rows = await conn.rows(
        """
        SELECT format('%s of %s is a payment without a captured hold', e.entry_id, e.store_id) AS sentence
        FROM entry e
        WHERE e.type = 'PAYMENT'
          AND NOT EXISTS (SELECT FROM hold h WHERE h.store_id = e.store_id AND h.entry_id = e.entry_id)
        UNION ALL
        SELECT format('%s %s of %s was refused and posted', r.cause_kind, r.cause_id, r.store_id)
        FROM refusal r
        JOIN entry e ON (e.store_id, e.cause_kind, e.cause_id) = (r.store_id, r.cause_kind, r.cause_id)
        WHERE e.cause_kind <> 'adjustment'
        LIMIT $1
        """,
        _SHOWN,
    )
    return [row["sentence"] for row in rows]
