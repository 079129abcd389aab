"""Proving the books: everything that is kept beside the entries is recomputed from them (``python -m wallet verify``).

What can be compared in one statement is, for every store and always; the entries are followed line by line, from where
the last proof ended or from the beginning.
"""

from chassis.db import Conn
from wallet import store_proof

_SHOWN = 100


async def faults(conn: Conn) -> list[str]:
    """What is wrong with the ledger, a sentence each, up to a hundred of a kind. Follows every entry there is."""
    return [*await _compared(conn), *await store_proof.follow(conn, whole=True)]


async def faults_since_checkpoint(conn: Conn) -> list[str]:
    """The same, but follows only what was posted since entries were last found clean."""
    return [*await _compared(conn), *await store_proof.follow(conn, whole=False)]


async def _compared(conn: Conn) -> list[str]:
    return [
        *await _accounts(conn),
        *await _held(conn),
        *await _opened(conn),
        *await _captured(conn),
        *await _payments(conn),
    ]


async def _accounts(conn: Conn) -> list[str]:
    """A balance is what its grants have left; what is held of it is what they have held, and what holds set aside.

    Nothing that is free expires before the account is due.
    """
    rows = await conn.rows(
        """
        WITH granted AS (
            SELECT store_id, customer_id, sum(left_minor) AS left_minor, sum(held_minor) AS held_minor,
                   min(expires_at) FILTER (WHERE left_minor > held_minor) AS expires_at
            FROM credit_grant WHERE open GROUP BY store_id, customer_id
        ), aside AS (
            SELECT store_id, customer_id, sum(amount_minor) AS held_minor
            FROM hold WHERE status = 'placed' GROUP BY store_id, customer_id
        ), compared AS (
            SELECT store_id, customer_id, a.balance_minor, a.held_minor, a.currency, s.currency AS store_currency,
                   coalesce(g.left_minor, 0) AS left_minor, coalesce(g.held_minor, 0) AS granted_held_minor,
                   coalesce(h.held_minor, 0) AS aside_minor, a.due_at, g.expires_at
            FROM account a
            FULL JOIN granted g USING (store_id, customer_id)
            FULL JOIN aside h USING (store_id, customer_id)
            LEFT JOIN store s USING (store_id)
        )
        SELECT format('%s of %s has the balance %s, its grants have %s left', customer_id, store_id,
                      coalesce(balance_minor::text, 'of no account'), left_minor) AS sentence
        FROM compared WHERE balance_minor IS DISTINCT FROM left_minor
        UNION ALL
        SELECT format('%s of %s has %s held, its placed holds make %s', customer_id, store_id, held_minor, aside_minor)
        FROM compared WHERE held_minor IS DISTINCT FROM aside_minor
        UNION ALL
        SELECT format('%s of %s has %s held, its grants have %s held', customer_id, store_id, held_minor,
                      granted_held_minor)
        FROM compared WHERE held_minor IS DISTINCT FROM granted_held_minor
        UNION ALL
        SELECT format('%s of %s has credit that expires before it is due', customer_id, store_id)
        FROM compared WHERE expires_at < coalesce(due_at, 'infinity')
        UNION ALL
        SELECT format('%s of %s is not in the currency of its store', customer_id, store_id)
        FROM compared WHERE currency <> store_currency
        LIMIT $1
        """,
        _SHOWN,
    )
    return [row["sentence"] for row in rows]


async def _held(conn: Conn) -> list[str]:
    """What a grant has held is what placed holds have set aside of it, and these make their amount."""
    rows = await conn.rows(
        """
        WITH part AS (
            SELECT h.store_id, h.hold_id, h.customer_id, h.amount_minor AS of_hold, (p ->> 0)::bigint AS sequence,
                   (p ->> 1)::bigint AS amount_minor
            FROM hold h LEFT JOIN LATERAL jsonb_array_elements(h.parts) AS p ON true
            WHERE h.status = 'placed'
        ), aside AS (
            SELECT store_id, customer_id, sequence, sum(amount_minor) AS amount_minor
            FROM part WHERE sequence IS NOT NULL GROUP BY store_id, customer_id, sequence
        ), held AS (
            SELECT store_id, customer_id, sequence, held_minor FROM credit_grant WHERE open
        )
        SELECT format('grant %s of %s of %s has %s held, its holds make %s', sequence, customer_id, store_id,
                      held_minor, coalesce(a.amount_minor, 0)) AS sentence
        FROM held FULL JOIN aside a USING (store_id, customer_id, sequence)
        WHERE coalesce(held_minor, 0) <> coalesce(a.amount_minor, 0)
        UNION ALL
        SELECT format('%s of %s sets aside %s, its parts make %s', hold_id, store_id, of_hold,
                      coalesce(sum(amount_minor), 0))
        FROM part GROUP BY store_id, hold_id, of_hold HAVING of_hold <> coalesce(sum(amount_minor), 0)
        LIMIT $1
        """,
        _SHOWN,
    )
    return [row["sentence"] for row in rows]


async def _opened(conn: Conn) -> list[str]:
    """An open grant is the credit that its entry gave."""
    rows = await conn.rows(
        """
        SELECT format('grant %s of %s of %s is not what its entry gave', g.sequence, g.customer_id, g.store_id)
               AS sentence
        FROM credit_grant g
        LEFT JOIN entry e USING (store_id, customer_id, sequence)
        WHERE g.open AND (g.entry_id, g.type, g.amount_minor, g.expires_at, g.granted_at, 'customer')
                         IS DISTINCT FROM
                         (e.entry_id, e.type, e.amount_minor, e.expires_at, e.posted_at, e.credit_account)
        LIMIT $1
        """,
        _SHOWN,
    )
    return [row["sentence"] for row in rows]


async def _captured(conn: Conn) -> list[str]:
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
        WHERE e.cause_kind = 'order'
          AND NOT EXISTS (SELECT FROM hold h WHERE h.store_id = e.store_id AND h.entry_id = e.entry_id)
        UNION ALL
        SELECT format('%s %s of %s was refused and posted', r.cause_kind, r.cause_id, r.store_id)
        FROM refusal r
        JOIN entry e ON (e.store_id, e.cause_kind, e.cause_id) = (r.store_id, r.cause_kind, r.cause_id)
        WHERE e.cause_kind = 'claim' OR e.cause_kind = 'order'
        LIMIT $1
        """,
        _SHOWN,
    )
    return [row["sentence"] for row in rows]
