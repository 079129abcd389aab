"""A fraud-block database, a store in it, and short ways to add rules and to be screened."""

from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest

from chassis import clock, ids
from chassis.db import Database
from contracts.fraud import ScreeningRequested
from contracts.ids import ORDER, RULE, SCREENING, STORE
from fraud_block import identifiers, store, store_faults
from fraud_block.consumers import on_screenings_requested
from fraud_block.identifiers import RuleType
from fraud_block.rules import Reason, Rule
from fraud_block.screening import Effect


@dataclass
class Shop:
    """One store. ``screen`` gives back what was announced; there is no inbox here to hide a repeat."""

    api: Database
    worker: Database
    store_id: str

    async def rule(
        self,
        rule_type: RuleType,
        value: str,
        effect=Effect.BLOCK,
        expires_in: timedelta | None = None,
        rule_id: str | None = None,
    ):
        """The id of a new rule; its term may lie in the past."""
        now = clock.now()
        rule = Rule(
            store_id=self.store_id,
            id=rule_id or ids.new(RULE),
            type=rule_type,
            value=identifiers.canonical(rule_type, value).value,
            effect=effect,
            reason=Reason.FRAUD,
            note=None,
            expires_at=None if expires_in is None else now + expires_in,
            created_at=now,
            created_by="merchant:key_test",
        )
        async with self.api.transaction(self.store_id) as conn:
            assert await store.add(conn, rule)
        return rule.id

    def request(self, **more):
        fields = {"screening_id": ids.new(SCREENING), "subject": ids.new(ORDER)}
        return ScreeningRequested(store_id=self.store_id, **fields | more)

    async def screen(self, *requests):
        async with self.worker.transaction() as conn:
            await on_screenings_requested(requests, conn)
        return [announced.event for announced in conn.announced]

    async def decision(self, **more):
        (decided,) = await self.screen(self.request(**more))
        return decided.decision.value, decided.rule_ids

    async def hits(self, rule_id):
        async with self.worker.transaction() as conn:
            return (await store.rule(conn, self.store_id, rule_id)).hits

    @asynccontextmanager
    async def holding(self, rule_id):
        """Somebody else is at work on this rule."""
        async with self.worker.transaction() as conn:
            await conn.execute("SELECT FROM rule WHERE store_id = $1 AND id = $2 FOR UPDATE", self.store_id, rule_id)
            yield

    async def is_free(self, rule_id):
        async with self.worker.transaction() as conn:
            return (
                await conn.row(
                    "SELECT FROM rule WHERE store_id = $1 AND id = $2 FOR UPDATE SKIP LOCKED", self.store_id, rule_id
                )
                is not None
            )

    async def execute(self, sql, *args):
        async with self.worker.transaction() as conn:
            return await conn.execute(sql, *args)


@pytest.fixture
def new_shop(api, worker):
    """`new_shop()` is another store."""
    return lambda: Shop(api, worker, ids.new(STORE))


@pytest.fixture
async def shop(new_shop):
    """A store of its own for each test, with the hits and decisions proven after it."""
    shop = new_shop()
    yield shop
    async with shop.worker.transaction() as conn:
        assert await store_faults.faults(conn) == []
