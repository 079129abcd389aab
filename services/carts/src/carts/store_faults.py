"""``python -m carts verify``: what can be wrong with orders, invoices and payments, a sentence each."""

from chassis.db import Conn


async def faults(conn: Conn) -> list[str]:
    """Recompute what the tables claim. Empty: all is well."""
    rows = await conn.rows(
        """
        WITH line AS (
            SELECT store_id, order_id, sum(quantity * unit_minor) AS gross FROM order_line GROUP BY 1, 2
        ), paid AS (
            SELECT store_id, order_id, sum(amount_minor) AS paid FROM payment_session
            WHERE status = 'APPROVED' GROUP BY 1, 2
        )
        SELECT 'order ' || order_id || ' is not the sum of its lines' AS fault
        FROM "order" LEFT JOIN line USING (store_id, order_id) WHERE gross_minor <> coalesce(gross, 0)
        UNION ALL
        SELECT 'order ' || order_id || ' does not say what its approved sessions paid'
        FROM "order" LEFT JOIN paid USING (store_id, order_id) WHERE paid_minor <> coalesce(paid, 0)
        UNION ALL
        SELECT 'order ' || order_id || ' is completed, but not paid'
        FROM "order" LEFT JOIN paid USING (store_id, order_id)
        WHERE status = 'COMPLETED'
          AND gross_minor <> coalesce(paid, 0) + CASE WHEN credit = 'captured' THEN asked_credit_minor ELSE 0 END
        UNION ALL
        SELECT 'cart ' || cart_id || ' has ' || count(*) || ' living orders'
        FROM "order" WHERE status <> 'CANCELLED' GROUP BY store_id, cart_id HAVING count(*) > 1
        UNION ALL
        SELECT 'order ' || order_id || ' is ' || status || ', its invoice is ' || coalesce('number ' || i.number, 'without a number')
        FROM "order" o JOIN invoice i USING (store_id, order_id)
        WHERE (o.first_completed_at IS NOT NULL) <> (i.number IS NOT NULL)
        UNION ALL
        SELECT 'the invoice numbers of store ' || store_id || ' are not 1 to ' || coalesce(last, 0)
        FROM (SELECT store_id, number FROM invoice WHERE number IS NOT NULL) numbered
        FULL JOIN invoice_counter USING (store_id) GROUP BY store_id, last
        HAVING (count(DISTINCT number), min(number), max(number)) IS DISTINCT FROM (last, 1::bigint, last)
        """
    )
    return [row["fault"] for row in rows]
