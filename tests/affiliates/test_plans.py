"""Lists find what they show by an index that begins with what is looked for: they stay fast when the tables are large.

And what is done again and again reads what there is to do, not what was.
"""

import json
import re
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from affiliates import (
    store,
    store_activity,
    store_clicks,
    store_commissions,
    store_links,
    store_lists,
    store_payouts,
    store_people,
    store_program,
    store_referrals,
    store_statements,
    store_verdicts,
)
from affiliates.enrolment import State
from affiliates.links import State as LinkState
from affiliates.store_lists import START, WantedClaims, WantedCommissions
from chassis.db import Database

STORE = f"store_{1:026}"
ANN, BEN = f"aff_{1:026}", f"aff_{2:026}"
AT = datetime(2026, 1, 2, 12, tzinfo=UTC)
DAY, WEEK = timedelta(days=1), timedelta(days=7)
BOOKS = """
INSERT INTO affiliate (store_id, affiliate_id, customer_id, state, enrolled_at)
SELECT $1, 'aff_' || lpad(n::text, 26, '0'), 'cus_' || n, CASE WHEN n > 98 THEN 'pending' ELSE 'active' END, now()
FROM generate_series(0, 99) AS n;
INSERT INTO link (store_id, code, affiliate_id, added_at, state, active_from)
SELECT $1, 'code-' || n, 'aff_' || lpad((n % 100)::text, 26, '0'), now(),
       CASE WHEN n > 198 THEN 'requested' ELSE 'active' END, CASE WHEN n < 199 THEN now() END
FROM generate_series(0, 199) AS n;
INSERT INTO payout_address SELECT $1, affiliate_id, 'tron', 'T' || n, now()
FROM affiliate, generate_series(0, 9) AS n;
INSERT INTO click_day SELECT store_id, code, '2026-01-01'::date + n, 2, 1 FROM link, generate_series(0, 9) AS n;
INSERT INTO click_total SELECT store_id, code, 20, 10 FROM link;
INSERT INTO commission (store_id, order_id, commission_id, affiliate_id, code, order_version, order_currency, base_minor,
    state, reason, rate_bps, amount_minor, revenue_minor, currency, earned_at, payable_at)
SELECT $1, 'ord_' || n, 'comm_' || n, 'aff_' || lpad((n % 100)::text, 26, '0'), 'code-' || n % 100, 1, 'EUR', 1,
       (ARRAY['declined', 'denied', 'held', 'pending', 'payable'])[n % 5 + 1],
       (ARRAY['own_purchase', 'staff', 'staff'])[n % 5 + 1], 0, CASE WHEN n % 5 > 1 THEN 0 END, 1, 'EUR',
       '2026-01-01'::timestamptz + n * interval '5 minutes', now()
FROM generate_series(1, 3000) AS n;
INSERT INTO claim (store_id, claim_id, affiliate_id, customer_id, kind, amount_minor, currency, status, created_at,
    changed_at, asset, network, address, address_key, approvable_at)
SELECT $1, 'claim_' || n, 'aff_' || lpad((n % 100)::text, 26, '0'), 'cus', 'payout', 1, 'EUR',
       (ARRAY['PENDING', 'APPROVED'])[n % 2 + 1], '2026-01-01'::timestamptz + n * interval '5 minutes', now(),
       'ASSET' || n % 7, 'network' || n % 11, '', 'tron:' || n % 13, now()
FROM generate_series(1, 3000) AS n;
INSERT INTO journal (store_id, affiliate_id, kind, source, target, amount_minor, at, commission_id)
SELECT store_id, affiliate_id, 'earned', 'program', 'settled', 1, earned_at, commission_id FROM commission;
INSERT INTO journal_day
SELECT store_id, affiliate_id, (at AT TIME ZONE 'UTC')::date, kind, source, target, count(*), sum(amount_minor)
FROM journal GROUP BY 1, 2, 3, 4, 5, 6;
INSERT INTO program (store_id, since, enabled, rate_bps, waiting_days)
SELECT $1, '2025-01-01'::timestamptz + n * interval '1 hour', true, 0, 0 FROM generate_series(1, 3000) AS n;
INSERT INTO own_terms (store_id, affiliate_id, since, rate_bps)
SELECT store_id, affiliate_id, '2025-01-01'::timestamptz + n * interval '1 day', 0
FROM affiliate, generate_series(1, 300) AS n;
INSERT INTO standing (store_id, affiliate_id, since, state)
SELECT $1, affiliate_id, '2025-01-01'::timestamptz + n * interval '1 day', 'active'
FROM affiliate, generate_series(1, 300) AS n;
UPDATE link SET earlier_owners = ARRAY['aff_' || lpad('2', 26, '0')], owned_until = ARRAY['2025-09-01'::timestamptz]
WHERE code = 'code-1';
INSERT INTO verdict (store_id, order_id, decision, rule_ids, heard_at, open)
SELECT $1, 'ord_' || n, 'review', '{}', now(), n = 4 FROM generate_series(1, 3000) AS n;
INSERT INTO click_visitor SELECT $1, 'code-1', '2026-01-01'::date - n % 10, n FROM generate_series(1, 3000) AS n;
INSERT INTO click_batch SELECT $1, n, '2026-01-01'::date - n % 10 FROM generate_series(1, 3000) AS n;
DELETE FROM click_visitor WHERE day < '2026-01-01';
DELETE FROM click_batch WHERE received_at < '2026-01-01';
INSERT INTO activity (store_id, at, actor, actor_id, action, subject_id, detail)
SELECT $1, now(), 'merchant', 'key', 'did', 'claim_' || n % 100, '{}' FROM generate_series(1, 3000) AS n;
"""


class Explained:
    """A connection that keeps by which indexes its queries go."""

    def __init__(self, conn):
        self.conn = conn
        self.execute = conn.execute
        self.indexes = set()

    async def rows(self, sql, *args):
        for (line,) in await self.conn.rows("EXPLAIN (COSTS OFF) " + sql, *args):
            self.indexes |= set(re.findall(r"Index (?:Only )?Scan(?: Backward)? (?:using|on) (\w+)", line))
        return await self.conn.rows(sql, *args)

    async def value(self, sql, *args):
        return (await self.rows(sql, *args))[0][0]


class Counted:
    """A connection that counts the rows its queries read, also those they then leave out."""

    def __init__(self, conn):
        self.conn = conn
        self.read = 0

    async def rows(self, sql, *args):
        ((plan,),) = await self.conn.rows("EXPLAIN (ANALYZE, FORMAT JSON) " + sql, *args)
        self.count(json.loads(plan)[0]["Plan"])
        return await self.conn.rows(sql, *args)

    async def row(self, sql, *args):
        return next(iter(await self.rows(sql, *args)), None)

    execute = rows

    def count(self, node):
        if "Scan" in node["Node Type"]:
            kinds = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
            self.read += sum(node.get(kind, 0) for kind in kinds) * node["Actual Loops"]
        for inner in node.get("Plans", ()):
            self.count(inner)


@pytest.fixture(scope="module")
async def database(clone):
    made = await clone("affiliates")
    admin = await asyncpg.connect(made.admin_url)
    await admin.execute(BOOKS.replace("$1", f"'{STORE}'"))
    await admin.execute("ANALYZE")
    await admin.close()
    return made


@pytest.fixture(scope="module")
async def books(database):
    opened = await Database.open(database.api_url, size=1, name="test")
    yield opened
    await opened.close()


@pytest.fixture(scope="module")
async def worker(database):
    opened = await Database.open(database.worker_url, size=1, name="test")
    yield opened
    await opened.close()


def commissions(**wanted):
    return lambda conn, _: store_lists.commissions_of_store(conn, STORE, WantedCommissions(**wanted), START, 26)


def claims(**wanted):
    return lambda conn, _: store_lists.claims_of_store(conn, STORE, WantedClaims(**wanted), START, 26)


PLANS = {
    "commission_of_state": commissions(),
    "commission_of_state of a week": commissions(since=AT, until=AT + WEEK),
    "commission_of_state of one": commissions(status="held"),
    "commission_of_affiliate": commissions(affiliate_id=ANN, since=AT),
    "commission_of_affiliate in a state": commissions(affiliate_id=ANN, status="held"),
    "commission_of_code": commissions(code="code-1", until=AT),
    "commission_of_code in a state": commissions(code="code-1", status="held"),
    "commission_pkey": commissions(order_id="ord_7"),
    "claim_of_kind": claims(),
    "claim_of_kind of a week": claims(status="PENDING", since=AT, until=AT + WEEK),
    "claim_of_asset": claims(asset="ASSET1"),
    "claim_of_network": claims(network="network1", status="PENDING"),
    "claim_of_affiliate": claims(affiliate_id=ANN, kind="payout"),
    "commission_of_affiliate of their own": lambda conn, ann: store_lists.commissions_of_affiliate(
        conn, ann, None, START, 26
    ),
    "claim_of_affiliate of their own": lambda conn, ann: store_lists.claims_of_affiliate(
        conn, ann, None, None, START, 26
    ),
    "claim_of_address": lambda conn, ann: store_payouts.first_request_to(conn, ann, ("tron", "1")),
    "affiliate_of_state": lambda conn, _: store.page_of_affiliates(conn, STORE, State.PENDING, None, 26),
    "link_of_state": lambda conn, _: store_links.page_of_links(conn, STORE, LinkState.REQUESTED, None, 26),
    "click_total_pkey": store_links.links_of,
    "commission_of_affiliate of their days": lambda conn, ann: store_clicks.days_of(
        conn, ann, AT.date(), (AT + WEEK).date(), None
    ),
    "journal_day_pkey": lambda conn, ann: store_statements.statement_of(conn, ann, AT, AT + WEEK),
    "journal_at": lambda conn, ann: store_statements.lines_between(conn, ann, AT, AT + WEEK, 10**9, 7, 26),
    "known_customer_merged of buyers": lambda conn, _: store_people.referrers_of(
        conn, [(STORE, ANN)], [(STORE, "cus_7")]
    ),
    "payout_address_pkey of buyers": lambda conn, _: store_people.referrers_of(
        conn, [(STORE, ANN)], [(STORE, "cus_7")]
    ),
    "commission_of_buyer": lambda conn, ann: store_people.own_purchases_of(conn, ann, 25),
    "commission_of_acting_buyer": lambda conn, ann: store_people.own_purchases_of(conn, ann, 25),
    "activity_subject": lambda conn, _: store_activity.page_of_activity(conn, STORE, "claim_7", None, 26),
}


@pytest.mark.parametrize("index", PLANS)
async def test_a_list_goes_by_its_index(books, index):
    async with books.transaction(STORE) as conn:
        await conn.execute("SET LOCAL enable_seqscan = off")
        ann = await store.affiliate_of(conn, STORE, "cus_1")
        explained = Explained(conn)
        await PLANS[index](explained, ann)
    assert index.split()[0] in explained.indexes


SINCE = {STORE: datetime(2025, 10, 20, tzinfo=UTC)}  # much later than most
WORK = {
    "an affiliate who is none": lambda conn: store.affiliate_of(conn, STORE, "cus_nobody"),
    "terms of a store": lambda conn: store_program.terms_of(conn, {STORE: AT}),
    "terms of affiliates": lambda conn: store_referrals.own_terms_of(conn, [(STORE, ANN), (STORE, BEN)], SINCE),
    "standings of owners": lambda conn: store_referrals.referrals_of(conn, [(STORE, "code-1")], SINCE),
    "commissions to hold": lambda conn: store_commissions.lock_suspects(conn, 500),
    "verdicts to close": lambda conn: store_verdicts.close_verdicts(conn, AT, 500),
    "visitors to forget": lambda conn: store_clicks.forget_visitors(conn, AT.date() - 2 * DAY),
    "batches to forget": lambda conn: store_clicks.forget_batches(conn, AT - 2 * DAY),
}


@pytest.mark.parametrize("work", WORK)
async def test_what_is_over_is_not_read_again(worker, work):
    async with worker.transaction() as conn:
        await conn.execute("SET LOCAL enable_seqscan = off")
        counted = Counted(conn)
        await WORK[work](counted)
    assert counted.read < 50
