"""Who is one person: customers who were merged, and affiliates who ask to be paid at the same address.

Nobody knows how many ids a person has, least of all the planner: each step of a search is a look-up by an index (the
``LIMIT`` or ``OFFSET`` inside keeps it one), never a pass over all customers.
"""

from collections import defaultdict
from collections.abc import Collection

from affiliates import store
from affiliates.commissions import Commission, Referrer
from affiliates.decisions import buyers_of
from affiliates.enrolment import Affiliate
from chassis.db import Conn

Key = tuple[str, str]


async def acting_of(conn: Conn, customers: Collection[Key]) -> dict[Key, str]:
    """Whom each customer acts as by all merges that were heard, by store and customer; themselves if by none.

    Also as one who has not been heard of yet: the topic has an order of its own for every customer.
    """
    rows = await conn.rows(
        """
        WITH RECURSIVE follow AS (
            SELECT wanted.store_id, wanted.id AS asked, k.merged_into AS id, 1 AS hops
            FROM unnest($1::text[], $2::text[]) AS wanted (store_id, id) JOIN known_customer k USING (store_id, id)
            WHERE k.merged_into IS NOT NULL
            UNION ALL
            SELECT f.store_id, f.asked, k.merged_into, hops + 1
            FROM follow f CROSS JOIN LATERAL (
                SELECT merged_into FROM known_customer k
                WHERE k.store_id = f.store_id AND k.id = f.id AND k.merged_into IS NOT NULL LIMIT 1
            ) AS k
            WHERE hops < 50
        )
        SELECT DISTINCT ON (store_id, asked) store_id, asked, id FROM follow ORDER BY store_id, asked, hops DESC
        """,
        *store.columns(customers),
    )
    acting = {(row["store_id"], row["asked"]): row["id"] for row in rows}
    return {customer: acting.get(customer, customer[1]) for customer in customers}


async def referrers_of(conn: Conn, affiliates: Collection[Key], buyers: Collection[Key]) -> dict[str, Referrer]:
    """Affiliates, and who of these buyers is the same person as they. They must be locked."""
    rows = await conn.rows(
        """
        SELECT store_id, affiliate_id, customer_id
        FROM unnest($1::text[], $2::text[]) AS k (store_id, affiliate_id) JOIN affiliate USING (store_id, affiliate_id)
        """,
        *store.columns(affiliates),
    )
    acting = await acting_of(conn, {(row["store_id"], row["customer_id"]) for row in rows} | set(buyers))
    bought: defaultdict[Key, set[str]] = defaultdict(set)
    for store_id, buyer in buyers:
        bought[store_id, acting[store_id, buyer]].add(buyer)
    sharing = await _sharing(conn, affiliates, bought)
    found = {}
    for row in rows:
        store_id, affiliate_id = row["store_id"], row["affiliate_id"]
        customer_id = acting[store_id, row["customer_id"]]
        people = {(store_id, customer_id), *sharing.get((store_id, affiliate_id), ())}
        same = frozenset[str]().union(*(bought[person] for person in people if person in bought))
        found[affiliate_id] = Referrer(affiliate_id, customer_id, same)
    return found


async def owners_of(conn: Conn, commissions: Collection[Commission]) -> dict[str, Referrer]:
    """Whose commissions are, and who of their buyers is the same person as they. They must be locked."""
    affiliates = {(its.store_id, its.affiliate_id) for its in commissions if its.affiliate_id is not None}
    return await referrers_of(conn, affiliates, buyers_of(commissions))


async def _sharing(conn: Conn, affiliates: Collection[Key], people: Collection[Key]) -> dict[Key, set[Key]]:
    """Who of these people asked to be paid at an address of each of the affiliates.

    Begins at the people: few who buy are affiliates, but an agency may have a thousand of them paid at one address.
    """
    rows = await conn.rows(
        """
        WITH RECURSIVE person AS (
            SELECT store_id, id AS acting, id FROM unnest($1::text[], $2::text[]) AS bought (store_id, id)
            UNION
            SELECT p.store_id, p.acting, k.id FROM person p CROSS JOIN LATERAL (
                SELECT id FROM known_customer WHERE store_id = p.store_id AND merged_into = p.id OFFSET 0
            ) AS k
        )
        SELECT DISTINCT p.store_id, p.acting, t.network, t.key
        FROM person p
        CROSS JOIN LATERAL (
            SELECT affiliate_id FROM affiliate WHERE store_id = p.store_id AND customer_id = p.id OFFSET 0
        ) AS a
        CROSS JOIN LATERAL (
            SELECT network, key FROM payout_address
            WHERE store_id = p.store_id AND affiliate_id = a.affiliate_id OFFSET 0
        ) AS t
        """,
        *store.columns(people),
    )
    if not rows:
        return {}
    paid_at: defaultdict[tuple[str, str, str], set[Key]] = defaultdict(set)
    for row in rows:
        paid_at[row["store_id"], row["network"], row["key"]].add((row["store_id"], row["acting"]))
    theirs = await conn.rows(
        """
        SELECT store_id, affiliate_id, network, key
        FROM unnest($1::text[], $2::text[]) AS k (store_id, affiliate_id)
        JOIN payout_address USING (store_id, affiliate_id)
        JOIN unnest($3::text[], $4::text[], $5::text[]) AS t (store_id, network, key) USING (store_id, network, key)
        """,
        *store.columns(affiliates),
        *(list(column) for column in zip(*paid_at, strict=True)),
    )
    sharing: defaultdict[Key, set[Key]] = defaultdict(set)
    for row in theirs:
        sharing[row["store_id"], row["affiliate_id"]] |= paid_at[row["store_id"], row["network"], row["key"]]
    return sharing


async def own_purchases_of(conn: Conn, affiliate: Affiliate, limit: int) -> list[Key]:
    """Orders that may owe an affiliate for what they bought themselves, as whoever they are. They must be locked."""
    sharers = await conn.rows(
        """
        SELECT DISTINCT other.customer_id
        FROM payout_address mine
        JOIN payout_address theirs USING (store_id, network, key)
        JOIN affiliate other ON (other.store_id, other.affiliate_id) = (theirs.store_id, theirs.affiliate_id)
        WHERE mine.store_id = $1 AND mine.affiliate_id = $2
        """,
        affiliate.store_id,
        affiliate.affiliate_id,
    )
    customers = {affiliate.customer_id, *(row["customer_id"] for row in sharers)}
    rows = await conn.rows(
        """
        WITH its AS (
            SELECT affiliate_id FROM affiliate WHERE store_id = $1 AND (affiliate_id = $2 OR merged_into = $2)
        )
        SELECT c.order_id FROM unnest($3::text[]) AS person (id) CROSS JOIN LATERAL (
            SELECT order_id, affiliate_id FROM commission
            WHERE store_id = $1 AND customer_id = person.id AND state IN ('held', 'pending', 'payable') OFFSET 0
        ) AS c
        WHERE c.affiliate_id IN (SELECT affiliate_id FROM its)
        UNION
        SELECT c.order_id FROM unnest($3::text[]) AS person (id) CROSS JOIN LATERAL (
            SELECT order_id, affiliate_id FROM commission
            WHERE store_id = $1 AND current_customer_id = person.id AND state IN ('held', 'pending', 'payable')
              AND current_customer_id IS DISTINCT FROM customer_id OFFSET 0
        ) AS c
        WHERE c.affiliate_id IN (SELECT affiliate_id FROM its)
        LIMIT $4
        """,
        affiliate.store_id,
        affiliate.affiliate_id,
        await _ids_of(conn, affiliate.store_id, customers),
        limit,
    )
    return [(affiliate.store_id, row["order_id"]) for row in rows]


async def _ids_of(conn: Conn, store_id: str, customers: Collection[str]) -> list[str]:
    """All customers who are the same persons as these, by all merges that were heard."""
    rows = await conn.rows(
        """
        WITH RECURSIVE acting AS (
            SELECT id FROM unnest($2::text[]) AS asked (id)
            UNION
            SELECT k.merged_into FROM acting CROSS JOIN LATERAL (
                SELECT merged_into FROM known_customer
                WHERE store_id = $1 AND id = acting.id AND merged_into IS NOT NULL LIMIT 1
            ) AS k
        ), person AS (
            SELECT id FROM acting
            UNION
            SELECT k.id FROM person CROSS JOIN LATERAL (
                SELECT id FROM known_customer WHERE store_id = $1 AND merged_into = person.id OFFSET 0
            ) AS k
        )
        SELECT id FROM person
        """,
        store_id,
        list(customers),
    )
    return [row["id"] for row in rows]


async def becomes_one(conn: Conn, affiliate: Affiliate) -> bool:
    """Whether an affiliate is one person with another by a merge that was heard and has not been followed yet."""
    found: bool = await conn.value(
        """
        SELECT EXISTS (
            SELECT FROM affiliate
            WHERE store_id = $1 AND customer_id = ANY($3) AND affiliate_id <> $2 AND merged_into IS NULL
        )
        """,
        affiliate.store_id,
        affiliate.affiliate_id,
        await _ids_of(conn, affiliate.store_id, [affiliate.customer_id]),
    )
    return found


async def look_at_sharers_of(conn: Conn, affiliate: Affiliate) -> None:
    """Have those looked at, too, who asked to be paid at an address of an affiliate and earn by what that one bought.

    Whoever is locked may earn so in a moment, by what was read before; so this locks the others, and comes last.
    """
    asked = affiliate.store_id, affiliate.affiliate_id
    settled = await conn.rows(
        """
        SELECT affiliate_id FROM affiliate
        WHERE store_id = $1 AND affiliate_id IN (
            SELECT theirs.affiliate_id FROM payout_address mine JOIN payout_address theirs USING (store_id, network, key)
            WHERE mine.store_id = $1 AND mine.affiliate_id = $2 AND theirs.affiliate_id <> $2
        )
        FOR SHARE SKIP LOCKED
        """,
        *asked,
    )
    await conn.execute(
        """
        WITH bought AS (
            SELECT c.affiliate_id FROM unnest($3::text[]) AS person (id) CROSS JOIN LATERAL (
                SELECT affiliate_id FROM commission
                WHERE store_id = $1 AND customer_id = person.id AND state IN ('held', 'pending', 'payable') OFFSET 0
            ) AS c
            UNION
            SELECT c.affiliate_id FROM unnest($3::text[]) AS person (id) CROSS JOIN LATERAL (
                SELECT affiliate_id FROM commission
                WHERE store_id = $1 AND current_customer_id = person.id AND state IN ('held', 'pending', 'payable')
                  AND current_customer_id IS DISTINCT FROM customer_id OFFSET 0
            ) AS c
        ), seller AS (
            SELECT DISTINCT coalesce(a.merged_into, a.affiliate_id) AS affiliate_id
            FROM bought JOIN affiliate a ON a.store_id = $1 AND a.affiliate_id = bought.affiliate_id
        ), sharer AS (
            SELECT theirs.affiliate_id FROM payout_address mine JOIN payout_address theirs USING (store_id, network, key)
            WHERE mine.store_id = $1 AND mine.affiliate_id = $2 AND theirs.affiliate_id <> $2
        ), due AS (
            (SELECT affiliate_id FROM sharer EXCEPT SELECT unnest($4::text[]))
            UNION
            (SELECT affiliate_id FROM sharer INTERSECT SELECT affiliate_id FROM seller)
        )
        INSERT INTO look_again (store_id, affiliate_id, spreads)
        SELECT $1, affiliate_id, false FROM due
        WHERE NOT EXISTS (
            SELECT FROM look_again l WHERE l.store_id = $1 AND l.affiliate_id = due.affiliate_id AND l.tries = 0
        )
        """,
        *asked,
        await _ids_of(conn, affiliate.store_id, [affiliate.customer_id]),
        [row["affiliate_id"] for row in settled],
    )
