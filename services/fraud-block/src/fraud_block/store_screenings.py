"""Every statement on screenings: the rules that match, and the one answer to each request."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from chassis.db import Conn
from contracts.fraud import Decision
from fraud_block.identifiers import Identifier
from fraud_block.screening import Effect, Match, Verdict


class Asked(NamedTuple):
    """A request of a store; the id is minted by the asker."""

    store_id: str
    screening_id: str


class Hit(NamedTuple):
    """How many screenings a rule matched."""

    store_id: str
    rule_id: str
    screenings: int


async def matches(conn: Conn, wanted: Mapping[Asked, set[Identifier]], now: datetime) -> dict[Asked, list[Match]]:
    """The rules in force that each request's identifiers meet, all looked up at once."""
    looked_up = [(asked, identifier) for asked, identifiers in wanted.items() for identifier in identifiers]
    rows = await conn.rows(
        """
        SELECT DISTINCT w.store_id, w.screening_id, r.id, r.effect
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS w (store_id, screening_id, type, value)
        JOIN rule r USING (store_id, type, value)
        WHERE r.deleted_at IS NULL AND (r.expires_at IS NULL OR r.expires_at > $5)
        """,
        [asked.store_id for asked, _ in looked_up],
        [asked.screening_id for asked, _ in looked_up],
        [identifier.type.value for _, identifier in looked_up],
        [identifier.value for _, identifier in looked_up],
        now,
    )
    found: dict[Asked, list[Match]] = defaultdict(list)
    for row in rows:
        found[Asked(row["store_id"], row["screening_id"])].append(Match(row["id"], Effect(row["effect"])))
    return found


async def answers(conn: Conn, asked: Sequence[Asked]) -> dict[Asked, Verdict]:
    """The answers that stand."""
    rows = await conn.rows(
        """
        SELECT s.store_id, s.id, s.decision, s.rule_ids
        FROM screening s JOIN unnest($1::text[], $2::text[]) AS a (store_id, id) USING (store_id, id)
        """,
        [one.store_id for one in asked],
        [one.screening_id for one in asked],
    )
    return {
        Asked(row["store_id"], row["id"]): Verdict(Decision(row["decision"]), tuple(row["rule_ids"])) for row in rows
    }


async def keep(
    conn: Conn, verdicts: Mapping[Asked, Verdict], subjects: Mapping[Asked, str], now: datetime
) -> list[Hit]:
    """Store answers; a request that has its answer keeps it. The hits of the answers that were stored."""
    asked = sorted(verdicts)
    rows = await conn.rows(
        """
        INSERT INTO screening (store_id, id, subject, decision, rule_ids, decided_at)
        SELECT store_id, id, subject, decision, string_to_array(rule_ids, ' '), $6
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
             AS v (store_id, id, subject, decision, rule_ids)
        ORDER BY store_id, id
        ON CONFLICT (store_id, id) DO NOTHING
        RETURNING store_id, rule_ids
        """,
        [one.store_id for one in asked],
        [one.screening_id for one in asked],
        [subjects[one] for one in asked],
        [verdicts[one].decision.value for one in asked],
        [" ".join(verdicts[one].rule_ids) for one in asked],
        now,
    )
    hits = Counter((row["store_id"], rule_id) for row in rows for rule_id in row["rule_ids"])
    return [Hit(*whose, times) for whose, times in hits.items()]


async def count_hits(conn: Conn, hits: Sequence[Hit], now: datetime) -> None:
    """Add hits to their rules, which are locked first and in order: a batch elsewhere may hit the same ones."""
    stores, rules = [hit.store_id for hit in hits], [hit.rule_id for hit in hits]
    await conn.execute(
        """
        SELECT FROM rule r JOIN unnest($1::text[], $2::text[]) AS h (store_id, id) USING (store_id, id)
        ORDER BY r.store_id, r.id FOR UPDATE OF r
        """,
        stores,
        rules,
    )
    await conn.execute(
        """
        UPDATE rule r SET hits = r.hits + h.hits, last_hit_at = greatest(r.last_hit_at, $4)
        FROM unnest($1::text[], $2::text[], $3::int[]) AS h (store_id, id, hits)
        WHERE (r.store_id, r.id) = (h.store_id, h.id)
        """,
        stores,
        rules,
        [hit.screenings for hit in hits],
        now,
    )
