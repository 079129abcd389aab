"""Every statement on rules."""

from dataclasses import replace
from datetime import datetime

import asyncpg

from chassis.db import Conn
from fraud_block.identifiers import RuleType
from fraud_block.rules import Reason, Rule
from fraud_block.screening import Effect


def _rule(row: asyncpg.Record) -> Rule:
    fields = {field: row[field] for field in Rule.__dataclass_fields__}
    return replace(
        Rule(**fields), type=RuleType(row["type"]), effect=Effect(row["effect"]), reason=Reason(row["reason"])
    )


async def end_expired(conn: Conn, rule: Rule, now: datetime) -> None:
    """Make way for a rule: one on the same value that has expired is over."""
    await conn.execute(
        """
        UPDATE rule SET deleted_at = expires_at, deleted_by = 'expiry'
        WHERE store_id = $1 AND type = $2 AND value = $3 AND effect = $4
          AND deleted_at IS NULL AND expires_at <= $5
        """,
        rule.store_id,
        rule.type,
        rule.value,
        rule.effect,
        now,
    )


async def add(conn: Conn, rule: Rule) -> bool:
    """Keep a rule unless one in force does the same; whether it was kept. Waits for whoever adds the same one."""
    return bool(
        await conn.execute(
            """
            INSERT INTO rule (store_id, id, type, value, effect, reason, note, expires_at, created_at, created_by)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
            ON CONFLICT (store_id, type, value, effect) WHERE deleted_at IS NULL DO NOTHING
            """,
            rule.store_id,
            rule.id,
            rule.type,
            rule.value,
            rule.effect,
            rule.reason,
            rule.note,
            rule.expires_at,
            rule.created_at,
            rule.created_by,
        )
    )


async def standing(conn: Conn, rule: Rule) -> str | None:
    """The id of the rule in force that does the same as this one."""
    found: str | None = await conn.value(
        """
        SELECT id FROM rule
        WHERE store_id = $1 AND type = $2 AND value = $3 AND effect = $4 AND deleted_at IS NULL
        """,
        rule.store_id,
        rule.type,
        rule.value,
        rule.effect,
    )
    return found


async def rule(conn: Conn, store_id: str, rule_id: str) -> Rule | None:
    """One rule, deleted or not."""
    row = await conn.row("SELECT * FROM rule WHERE store_id = $1 AND id = $2", store_id, rule_id)
    return None if row is None else _rule(row)


async def delete(conn: Conn, store_id: str, rule_id: str, now: datetime, by: str) -> Rule | None:
    """Delete a rule that is not deleted; it as it is then."""
    row = await conn.row(
        """
        UPDATE rule SET deleted_at = $3, deleted_by = $4
        WHERE store_id = $1 AND id = $2 AND deleted_at IS NULL
        RETURNING *
        """,
        store_id,
        rule_id,
        now,
        by,
    )
    return None if row is None else _rule(row)


async def page_of_rules(
    conn: Conn, store_id: str, *, rule_type: str | None, effect: str | None, before: str | None, limit: int
) -> list[Rule]:
    """Rules that are not deleted, newest first, from before an id on."""
    rows = await conn.rows(
        """
        SELECT * FROM rule
        WHERE store_id = $1 AND deleted_at IS NULL
          AND ($2::text IS NULL OR type = $2) AND ($3::text IS NULL OR effect = $3) AND ($4::text IS NULL OR id < $4)
        ORDER BY id DESC LIMIT $5
        """,
        store_id,
        rule_type,
        effect,
        before,
        limit,
    )
    return [_rule(row) for row in rows]
