"""All that is asked before a commission is given to somebody else."""

from datetime import datetime

from affiliates import program
from affiliates.decisions import buyers_of
from affiliates.reattribution import Grounds
from affiliates.store_commissions import commissions_of
from affiliates.store_people import referrers_of
from affiliates.store_program import terms_of
from affiliates.store_referrals import lock_referrers, own_terms_of, referrals_of
from affiliates.store_statements import history_of
from affiliates.store_verdicts import suspects_among
from chassis.db import Conn
from chassis.verdicts import NotYet


async def lock_grounds(conn: Conn, order: tuple[str, str], code: str) -> Grounds | None:
    """What is known of an order's commission and of whom a code belongs to, both locked; ``None``: nobody has it.

    Raises ``NotYet`` where either has just become another affiliate's.
    """
    store_id, _ = order
    link = store_id, code
    locked = await lock_referrers(conn, [link], [order])
    commission = (await commissions_of(conn, [order]))[order]
    since = {store_id: commission.earned_at}
    referral = (await referrals_of(conn, [link], since)).get(link)
    if referral is None:
        return None
    if not {commission.affiliate_id, referral.affiliate_id} <= {None, *(affiliate_id for _, affiliate_id in locked)}:
        raise NotYet("the commission or the code has just become another affiliate's")
    heir = store_id, referral.affiliate_id
    referrers = await referrers_of(conn, [heir], buyers_of([commission]))
    terms = (await terms_of(conn, since))[store_id]
    tiered = bool(program.at(terms, commission.earned_at).tiers)
    return Grounds(
        commission=commission,
        settled_minor=await _settled(conn, store_id, commission.affiliate_id),
        history=await history_of(conn, store_id, commission.commission_id),
        suspect=order in await suspects_among(conn, [order]),
        code=code,
        referral=referral,
        referrer=referrers[referral.affiliate_id],
        terms=terms,
        agreed=(await own_terms_of(conn, [heir], since)).get(heir, ()),
        volume_minor=await _sold_before(conn, *heir, commission.earned_at) if tiered else 0,
    )


async def _settled(conn: Conn, store_id: str, affiliate_id: str | None) -> int:
    sql = "SELECT settled_minor FROM affiliate WHERE store_id = $1 AND affiliate_id = $2"
    return await conn.value(sql, store_id, affiliate_id) or 0


async def _sold_before(conn: Conn, store_id: str, affiliate_id: str, moment: datetime) -> int:
    """What an affiliate's links have sold for by orders completed before a moment, in minor units."""
    sql = """
        SELECT coalesce(sum(c.revenue_minor), 0)::bigint
        FROM affiliate a JOIN commission c USING (store_id, affiliate_id)
        WHERE a.store_id = $1 AND (a.affiliate_id = $2 OR a.merged_into = $2)
          AND c.state NOT IN ('declined', 'denied') AND c.earned_at < $3
    """
    return int(await conn.value(sql, store_id, affiliate_id, moment))
