"""Proving links: what they sold, who has one, and the clicks on them."""

from chassis.db import Conn

_SHOWN = 100


async def faults(conn: Conn) -> list[str]:
    """What is wrong with links, a sentence each, up to a hundred of a kind. Reads every store."""
    return [*await _links(conn), *await _clicks(conn)]


async def _links(conn: Conn) -> list[str]:
    """The sales and revenue of every link against its commissions; every affiliate who can earn has a link that does."""
    rows = await conn.rows(
        """
        WITH sold AS (
            SELECT store_id, code, count(*) AS sales, sum(coalesce(revenue_minor, 0)) AS revenue
            FROM commission WHERE state NOT IN ('declined', 'denied') GROUP BY 1, 2
        )
        SELECT format('link %s of %s has %s sales of %s, its commissions make %s of %s', code, store_id, total_sales,
                      total_revenue_minor, coalesce(sales, 0), coalesce(revenue, 0)) AS sentence
        FROM link l LEFT JOIN sold USING (store_id, code)
        WHERE (total_sales, total_revenue_minor) <> (coalesce(sales, 0), coalesce(revenue, 0))
        UNION ALL
        SELECT format('%s of %s has no link', affiliate_id, store_id)
        FROM affiliate a
        WHERE state = 'active' AND NOT EXISTS (
            SELECT FROM link l
            WHERE l.store_id = a.store_id AND l.affiliate_id = a.affiliate_id AND l.state = 'active'
        )
        LIMIT $1
        """,
        _SHOWN,
    )
    return [row["sentence"] for row in rows]


async def _clicks(conn: Conn) -> list[str]:
    """Of every link and day, no more visitors are known than counted, nor counted than clicks; days make the totals."""
    rows = await conn.rows(
        """
        WITH seen AS (
            SELECT store_id, code, day, count(*) AS visitors FROM click_visitor GROUP BY 1, 2, 3
        ), summed AS (
            SELECT store_id, code, sum(clicks) AS clicks, sum(unique_clicks) AS unique_clicks FROM click_day GROUP BY 1, 2
        )
        SELECT format('link %s of %s has %s clicks on %s, %s of them unique, and %s visitors', code, store_id,
                      coalesce(clicks, 0), day, coalesce(unique_clicks, 0), coalesce(visitors, 0)) AS sentence
        FROM click_day d FULL JOIN seen v USING (store_id, code, day)
        WHERE coalesce(unique_clicks, 0) > coalesce(clicks, 0) OR coalesce(visitors, 0) > coalesce(unique_clicks, 0)
        UNION ALL
        SELECT format('link %s of %s has %s clicks in all, %s of them unique, its days make %s and %s', code, store_id,
                      coalesce(t.clicks, 0), coalesce(t.unique_clicks, 0), coalesce(s.clicks, 0),
                      coalesce(s.unique_clicks, 0))
        FROM click_total t FULL JOIN summed s USING (store_id, code)
        WHERE (t.clicks, t.unique_clicks) IS DISTINCT FROM (s.clicks, s.unique_clicks)
        LIMIT $1
        """,
        _SHOWN,
    )
    return [row["sentence"] for row in rows]
