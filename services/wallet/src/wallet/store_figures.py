"""What the ledger comes to, for Prometheus."""

from chassis.db import Conn
from chassis.gauges import Figure


async def figures(conn: Conn) -> list[Figure]:
    """Accounts, entries, balances, what is held of them and debt, per currency. A customer's entries are numbered without gaps."""
    rows = await conn.rows(
        """
        SELECT currency, count(*) AS accounts, sum(sequence) AS entries,
               sum(balance_minor) AS balance, sum(held_minor) AS held, sum(debt_minor) AS debt
        FROM account GROUP BY currency ORDER BY currency
        """
    )
    return [
        Figure(f"ledger_{name}", title, float(row[name.removesuffix("_minor")]), {"currency": row["currency"]})
        for row in rows
        for name, title in _TITLES.items()
    ]


_TITLES = {
    "accounts": "Customers with an account",
    "entries": "Entries of the ledger",
    "balance_minor": "What customers have, in minor units",
    "held_minor": "What of it is set aside for orders, in minor units",
    "debt_minor": "What customers owe, in minor units: taken back when it was spent",
}
