"""The proof: what the tables say of each other must hold at any moment."""

from chassis.db import Conn


async def faults(conn: Conn) -> list[str]:
    """What is wrong, a sentence each: every hit is of a screening, and whom nothing blocks is not blocked."""
    rules = await conn.rows(
        """
        WITH counted AS (
            SELECT s.store_id, rule_id AS id, count(*) AS hits
            FROM screening s, unnest(s.rule_ids) AS rule_id GROUP BY s.store_id, rule_id
        )
        SELECT id FROM rule r FULL JOIN counted c USING (store_id, id)
        WHERE r.hits IS DISTINCT FROM coalesce(c.hits, 0) ORDER BY id
        """
    )
    screenings = await conn.rows(
        """
        SELECT s.id FROM screening s
        WHERE (s.decision = 'block') <> (
            EXISTS (SELECT FROM rule r WHERE r.store_id = s.store_id AND r.id = ANY (s.rule_ids) AND r.effect = 'block')
            AND NOT EXISTS (
                SELECT FROM rule r WHERE r.store_id = s.store_id AND r.id = ANY (s.rule_ids) AND r.effect = 'allow')
        )
        ORDER BY s.id
        """
    )
    return [f"the hits of {row['id']} are not the screenings it matched" for row in rules] + [
        f"{row['id']} was not decided by the rules it names" for row in screenings
    ]
