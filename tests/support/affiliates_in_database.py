"""The same on the database: consumers, timers, and the ways in which the API writes."""

import asyncio
from collections import defaultdict
from dataclasses import replace

from affiliates_in_memory import (
    BEFORE,
    CODES,
    CUSTOMER_ID,
    EPOCH,
    KIN,
    PEOPLE,
    START,
    event_of,
    new_claim,
    staff_do,
)

from affiliates import (
    changes,
    claims,
    consumers,
    links,
    program,
    reattribution,
    store,
    store_activity,
    store_commissions,
    store_links,
    store_payouts,
    store_people,
    store_program,
    store_reattribution,
    store_referrals,
    timers,
)
from affiliates.claims import Status
from affiliates.enrolment import Affiliate, State
from affiliates.program import Terms
from affiliates.store_faults import faults
from chassis import ids, known_customers, replies
from chassis.db import Database
from chassis.tokens import Caller
from contracts.customers import CustomerState, CustomerUpdated
from contracts.fraud import Decision, ScreeningDecided
from contracts.ids import AFFILIATE, CUSTOMER, SCREENING, STORE
from contracts.wallet import Cause, CreditRefused, EntryType, WalletPosted


class Stored:
    """The same on the database, as consumers, timers and the API write; driven from a thread beside the test's loop."""

    def __init__(self, api: Database, worker: Database, loop) -> None:
        self.api, self.worker, self.loop = api, worker, loop
        self.store_id = ids.new(STORE)
        self.names = {name: ids.new(CUSTOMER) for name in PEOPLE}
        self.affiliates = {
            name: Affiliate(self.store_id, ids.new(AFFILIATE), its, State.ACTIVE, START)
            for name, its in self.names.items()
        }
        self.run(self._found())

    def run(self, what):
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(120)

    async def _found(self):
        async with self.worker.transaction() as conn:
            await conn.execute("INSERT INTO store VALUES ($1, $1, 'EUR', 'en', 'shop')", self.store_id)
        async with self.api.transaction(self.store_id) as conn:
            await store_program.add_terms(conn, self.store_id, Terms(BEFORE))
            for its in self.affiliates.values():
                assert await store.add_affiliate(conn, its)
            for code in CODES:
                assert await store_links.add_link(
                    conn, self.store_id, links.new_link(self.affiliates[code[:3]].affiliate_id, code, START)
                )

    def hear(self, handler, event, at):
        async def heard():
            async with self.worker.transaction() as conn:
                await handler(event, conn)

        consumers.clock.now = lambda: at
        self.run(heard())

    def ask(self, sql, *args):
        async def asked():
            async with self.api.transaction(self.store_id) as conn:
                return await conn.rows(sql, *args)

        return self.run(asked())

    def tell(self, orders, at):
        events = [event_of(self.store_id, order, self.names) for order in orders]
        self.hear(consumers.on_orders_completed, events, at)

    def act(self, order, change, at):
        async def acted():
            async with self.api.transaction(self.store_id) as conn:
                key = self.store_id, order
                await store_referrals.lock_referrers(conn, [], [key])
                before = (await store_commissions.commissions_of(conn, [key]))[key]
                owner = (await store_people.owners_of(conn, [before])).get(before.affiliate_id)
                await changes.keep_commissions(conn, [(before, change(before, owner))], at)

        self.run(acted())

    def reattribute(self, order, code, at):
        async def acted():
            async with self.api.transaction(self.store_id) as conn:
                grounds = await store_reattribution.lock_grounds(conn, (self.store_id, order), code)
                after = reattribution.decide(grounds, at)
                if isinstance(after, reattribution.Objection):
                    return after
                await changes.keep_commissions(conn, [(grounds.commission, after)], at)
                return None

        return self.run(acted())

    def merge(self, old, into, at):
        self._hear_of_merge(self.names[old], self.names[into])
        self.run(self._until_done(timers.follow_merges, at))

    def become_ann(self):
        self._hear_of_merge(KIN, self.names["ann"])

    def _hear_of_merge(self, old, into):
        event = CustomerUpdated(
            store_id=self.store_id, customer_id=old, version=2, state=CustomerState.MERGED, merged_into=into
        )
        self.hear(known_customers.on_customer_updated, [event], START)

    async def _until_done(self, timer, at):
        while True:
            async with self.worker.transaction() as conn:
                if not await timer(conn, at):
                    return

    def tick(self, at):
        async def ticked():
            for timer in (timers.follow_merges, timers.mature, timers.hold_suspects):
                await self._until_done(timer, at)

        self.run(ticked())

    def suspect(self, order, at):
        event = ScreeningDecided(
            store_id=self.store_id, screening_id=ids.new(SCREENING), subject=order, decision=Decision.REVIEW
        )
        self.hear(consumers.on_screening_decided, event, at)

    def set_terms(self, terms):
        async def kept():
            async with self.api.transaction(self.store_id) as conn:
                await store_program.add_terms(conn, self.store_id, terms)

        self.run(kept())

    def agree(self, name, own):
        async def kept():
            async with self.api.transaction(self.store_id) as conn:
                await store_program.add_own_terms(conn, self.affiliates[name], own)

        self.run(kept())

    def set_state(self, name, state, at):
        async def kept():
            async with self.api.transaction(self.store_id) as conn:
                await store.save_state(conn, replace(self.affiliates[name], state=state), at)

        self.run(kept())

    def remove(self, code, at):
        self.ask("UPDATE link SET state = 'removed', removed_at = $2 WHERE code = $1", code, at)

    def share_address(self):
        async def shared():
            async with self.api.transaction(self.store_id) as conn:
                for its in self.affiliates.values():
                    await store_payouts.add_address(conn, its, ("tron", "T1"), START)

        self.run(shared())

    def take(self, claim_id, name, amount, rests, at):
        async def took():
            async with self.api.transaction(self.store_id) as conn:
                affiliate = await store.lock_affiliate_of(conn, self.store_id, self.names[name])
                against = claims.objection(affiliate, amount)
                if against is None:
                    claim = new_claim(affiliate, claim_id, amount, rests, at)
                    await changes.add_claim(conn, claim)
                    if rests is None:
                        await replies.ask(conn, claim_id, claims.request(claim))
                return against

        return self.run(took())

    def staff(self, claim_id, does, who, at):
        async def done():
            async with self.api.transaction(self.store_id) as conn:
                before, affiliate = await store_payouts.lock_payout(conn, self.store_id, claim_id)
                terms = program.at((await store_program.terms_of(conn, {self.store_id: at}))[self.store_id], at)
                after = staff_do(before, affiliate, terms, does, who, at)
                if isinstance(after, claims.Objection):
                    return after
                if after is not before:
                    caller = Caller(self.store_id, "staff", who, frozenset())
                    await changes.keep_claim(conn, before, after)
                    await store_activity.note(conn, caller, f"payout.{does}", claim_id, at)
                    if after.status is Status.PROCESSING:
                        await replies.ask(conn, claim_id, claims.request(after))
                return None

        return self.run(done())

    def answer(self, claim_id, entry_id, at):
        about = {"store_id": self.store_id, "customer_id": CUSTOMER_ID, "cause": Cause(kind="claim", id=claim_id)}
        if entry_id is None:
            self.hear(consumers.on_credits_refused, [CreditRefused(reason="balance_cap", **about)], at)
            return
        money = {"amount_minor": 1, "balance_after_minor": 1, "currency": "EUR", "type": EntryType.CREDIT}
        entry = WalletPosted(entry_id=entry_id, epoch=EPOCH, sequence=1, posted_at=at, **money, **about)
        self.hear(consumers.on_wallet_posted, [entry], at)

    def figures(self):
        return self.run(self._figures())

    async def _figures(self):
        async with self.api.transaction(self.store_id) as conn:
            earned = await conn.rows(EARNED)
            rows = await conn.rows(OWNED)
            kept = {row["affiliate_id"]: store.affiliate_in(row) for row in await conn.rows("SELECT * FROM affiliate")}
            minor = defaultdict(int)
            for row in earned:
                minor[row["affiliate_id"]] += row["minor"]
            buckets = {
                name: (kept[its.affiliate_id].balances, minor[its.affiliate_id])
                for name, its in self.affiliates.items()
            }
            return (
                buckets,
                {row["order_id"]: store_commissions.commission_in(row) for row in rows},
                {row["claim_id"]: row["status"] for row in await conn.rows("SELECT claim_id, status FROM claim")},
                {
                    row["code"]: (row["total_sales"], row["total_revenue_minor"])
                    for row in await conn.rows("SELECT * FROM link")
                },
            )

    def prove(self):
        if self.proves_always:
            self.end()

    proves_always = False

    def end(self):
        async def proven():
            async with self.worker.transaction() as conn:
                return [its for its in await faults(conn) if self.store_id in its]

        assert self.run(proven()) == []


OWNED = """
    SELECT c.*, coalesce(a.merged_into, c.affiliate_id) AS owner_id
    FROM commission c LEFT JOIN affiliate a USING (store_id, affiliate_id)
"""
EARNED = """
    SELECT affiliate_id, CASE source WHEN 'program' THEN amount_minor ELSE -amount_minor END AS minor
    FROM journal WHERE kind IN ('earned', 'reversed', 'merged')
"""
