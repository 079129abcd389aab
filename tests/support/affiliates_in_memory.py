"""Affiliates by its pure modules, which decide, and dictionaries, which keep what they say."""

from collections import defaultdict
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

from plain_affiliates import Order

from affiliates import (
    claims,
    commissions,
    decisions,
    earnings,
    merging,
    payouts,
    program,
    reattribution,
)
from affiliates.attribution import Referral
from affiliates.claims import Claim, ClaimKind, Status
from affiliates.commissions import Reason, Referrer
from affiliates.decisions import Grounds
from affiliates.enrolment import Affiliate, Standing, State, by_moment, handed_on
from affiliates.journal import Balances
from affiliates.links import State as LinkState
from affiliates.program import Terms
from chassis import ids
from contracts.affiliates import CommissionEarned, CommissionReversed
from contracts.carts import OrderCompleted, OrderLine, OrderStatus, Touch
from contracts.ids import AFFILIATE, COMMISSION, CUSTOMER, PRODUCT, STORE

START = datetime(2026, 1, 1, tzinfo=UTC)
BEFORE = START - timedelta(days=60)
CODES = ("ann-1", "ann-2", "bob-1", "bob-2")
PEOPLE = ("ann", "bob")
STRANGER, KIN, CUSTOMER_ID = ids.new(CUSTOMER), ids.new(CUSTOMER), ids.new(CUSTOMER)
NO_SALE = {commissions.State.DECLINED, commissions.State.DENIED}
EPOCH, MUG = ids.new_uuid(), ids.new(PRODUCT)


def event_of(store_id: str, order: Order, names: dict[str, str]) -> OrderCompleted:
    """A version of an order as carts tells it."""
    return OrderCompleted(
        store_id=store_id,
        order_id=order.order,
        number="1",
        version=order.version,
        customer_id=names.get(order.buyer, order.buyer),
        current_customer_id=names.get(order.buyer_now, order.buyer_now),
        status=OrderStatus.COMPLETED,
        currency="USD" if order.foreign else "EUR",
        gross_minor=20_000,
        refunded_minor=20_000 - order.revenue,
        commission_base_minor=20_000,
        base_remaining_minor=order.base,
        placed_at=order.completed,
        first_completed_at=order.completed,
        lines=(OrderLine(product_id=MUG, sku="MUG", quantity=1, amount_minor=20_000),),
        affiliate_code=order.given,
        touches=tuple(Touch(code=code, at=at) for code, at in order.clicks),
    )


def new_claim(affiliate, claim_id, amount, rests, at):
    who = affiliate.store_id, claim_id, affiliate.affiliate_id, affiliate.customer_id
    if rests is None:
        return Claim(*who, amount, "EUR", at, at)
    way = {"asset": "USDT", "network": "tron", "address": "T1", "approvable_at": at + timedelta(days=rests)}
    return Claim(*who, amount, "EUR", at, at, ClaimKind.PAYOUT, Status.PENDING, **way)


def staff_do(claim, affiliate, terms, does, who, at):
    match does:
        case "approve":
            return payouts.approve(claim, affiliate, terms, f"staff:{who}", at)
        case "reject":
            return payouts.reject(claim, "no", at)
        case "send":
            return payouts.send(claim, who + claim.claim_id, at)
        case "confirm":
            return payouts.confirm(claim, at)
        case "fail":
            return payouts.fail(claim, "lost", at)
        case _:
            return payouts.settle(claim, affiliate, at)


class Memory:
    """Decides with the pure modules, and keeps what they say in dictionaries."""

    def __init__(self) -> None:
        self.store_id = ids.new(STORE)
        self.names = {name: ids.new(CUSTOMER) for name in PEOPLE}
        self.affiliates = {
            name: Affiliate(self.store_id, ids.new(AFFILIATE), its, State.ACTIVE, START)
            for name, its in self.names.items()
        }
        self.standings = {name: [Standing(START, State.ACTIVE)] for name in PEOPLE}
        self.owners, self.merged_at = {code: code[:3] for code in CODES}, None
        self.removed, self.same, self.kin = {}, frozenset(), frozenset()
        self.terms, self.own = [Terms(BEFORE)], {name: {} for name in PEOPLE}
        self.commissions, self.suspects, self.claims = {}, set(), {}
        self.links = dict.fromkeys(CODES, (0, 0))
        self.journal, self.earned, self.turns, self.heard = [], defaultdict(int), set(), {}

    def tell(self, orders, at):
        latest = decisions.latest([event_of(self.store_id, order, self.names) for order in orders])
        grounds = Grounds(
            known={key: self.commissions[key] for key in latest if key in self.commissions},
            suspects={key for key in latest if key[1] in self.suspects},
            referrals={(self.store_id, code): self._referral(code) for code in CODES},
            referrers={its.affiliate_id: self._referrer(name) for name, its in self.affiliates.items()},
            agreed={self._seller(name): list(own.values()) for name, own in self.own.items()},
            volumes={self._seller(name): self._volume(name) for name in PEOPLE},
            terms={self.store_id: self.terms},
            currencies={self.store_id: "EUR"},
        )
        changed = decisions.changes(latest, grounds, at, lambda: ids.new(COMMISSION))
        self._keep([(before, after) for before, after, _ in changed], at)

    def _seller(self, name):
        return self.store_id, self.affiliates[name].affiliate_id

    def _referral(self, code):
        name, state = self.owners[code], LinkState.REMOVED if code in self.removed else LinkState.ACTIVE
        its, stood = self.affiliates[name], by_moment(self.standings[name])
        if self.merged_at is not None and code[:3] != name:
            stood = handed_on(by_moment(self.standings[code[:3]]), self.merged_at, stood)
        return Referral(its.affiliate_id, its.state, state, [(START, self.removed.get(code))], stood)

    def _referrer(self, name):
        its = self.affiliates[name]
        same = self.same | self.kin if name == "ann" or self.same else self.same
        return Referrer(its.affiliate_id, its.customer_id, same)

    def _volume(self, name):
        return sum(self.links[code][1] for code in CODES if self.owners[code] == name)

    def _volume_before(self, name, moment):
        its = [(each.revenue_minor or 0, each) for each in self.commissions.values() if each.earned_at < moment]
        its = [(minor, each) for minor, each in its if each.affiliate_id == self.affiliates[name].affiliate_id]
        return sum(minor for minor, each in its if each.state not in NO_SALE)

    def _keep(self, pairs, at):
        for before, after in pairs:
            if after is before:
                continue
            assert after.turn == (0 if before is None else before.turn) + 1
            self.commissions[after.key] = after
            self._post(earnings.moved(before, after, at))
            for told in earnings.announced(before, after):
                if isinstance(told, CommissionEarned | CommissionReversed):
                    was = self.heard.get((told.commission_id, told.affiliate_id), 0)
                    assert (told.amount_minor < was) == isinstance(told, CommissionReversed)
                    self.heard[told.commission_id, told.affiliate_id] = told.amount_minor
            for _, code, sales, revenue in earnings.sales([(before, after)]):
                self.links[code] = self.links[code][0] + sales, self.links[code][1] + revenue

    def _post(self, postings):
        for its in postings:
            self.journal.append(its)
            if its.turn is not None:
                turn = its.commission_id, its.turn, its.affiliate_id
                assert turn not in self.turns
                self.turns.add(turn)
            name = next(name for name, other in self.affiliates.items() if other.affiliate_id == its.affiliate_id)
            sums = asdict(self.affiliates[name].balances) | {"program_minor": 0}
            sums[f"{its.source}_minor"] -= its.amount_minor
            sums[f"{its.target}_minor"] += its.amount_minor
            self.earned[name] -= sums.pop("program_minor")
            self.affiliates[name] = replace(self.affiliates[name], balances=Balances(**sums))

    def act(self, order, change, at):
        before = self.commissions[self.store_id, order]
        self._keep([(before, change(before, self._owner(before)))], at)

    def reattribute(self, order, code, at):
        commission, name = self.commissions[self.store_id, order], self.owners[code]
        owner = next((its for its in self.affiliates.values() if its.affiliate_id == commission.affiliate_id), None)
        grounds = reattribution.Grounds(
            commission=commission,
            settled_minor=0 if owner is None else owner.balances.settled_minor,
            history=[its for its in self.journal if its.commission_id == commission.commission_id],
            suspect=order in self.suspects,
            code=code,
            referral=self._referral(code),
            referrer=self._referrer(name),
            terms=self.terms,
            agreed=list(self.own[name].values()),
            volume_minor=self._volume_before(name, commission.earned_at),
        )
        return self._decided(commission, reattribution.decide(grounds, at), at)

    def _decided(self, before, after, at):
        if isinstance(after, reattribution.Objection):
            return after
        self._keep([(before, after)], at)
        return None

    def merge(self, old, into, at):
        gone, stays = self.affiliates[old], self.affiliates[into]
        self._post(merging.moved(gone, stays, at))
        state = merging.state_of(gone.state, stays.state)
        self.set_state(into, state, at)
        self.affiliates[old] = replace(self.affiliates[old], state=State.SUSPENDED)
        self.owners, self.same = dict.fromkeys(CODES, into), frozenset(self.names.values())
        self.merged_at = at
        for key, its in self.commissions.items():
            if its.affiliate_id == gone.affiliate_id:
                self.commissions[key] = replace(its, affiliate_id=stays.affiliate_id)
                if (its.commission_id, gone.affiliate_id) in self.heard:
                    told = self.heard.pop((its.commission_id, gone.affiliate_id))
                    self.heard[its.commission_id, stays.affiliate_id] = told
        for claim_id, claim in self.claims.items():
            self.claims[claim_id] = replace(claim, affiliate_id=stays.affiliate_id)
        self.look_again(at)

    def look_again(self, at):
        self._keep([(its, commissions.decline_own(its, self._owner(its))) for its in self.commissions.values()], at)

    def _owner(self, commission):
        names = {its.affiliate_id: name for name, its in self.affiliates.items()}
        return None if commission.affiliate_id is None else self._referrer(names[commission.affiliate_id])

    def tick(self, at):
        self.look_again(at)
        self._keep([(its, commissions.mature(its, self._owner(its), at)) for its in self.commissions.values()], at)
        found = [its for its in self.commissions.values() if its.order_id in self.suspects]
        self._keep([(its, commissions.hold(its, Reason.FRAUD)) for its in found if its.cleared_at is None], at)

    def suspect(self, order, _at):
        self.suspects.add(order)

    def set_terms(self, terms):
        self.terms.append(terms)

    def agree(self, name, own):
        self.own[name][own.since] = own

    def set_state(self, name, state, at):
        if self.affiliates[name].state is not state:
            self.standings[name].append(Standing(at, state))
        self.affiliates[name] = replace(self.affiliates[name], state=state)

    def remove(self, code, at):
        self.removed[code] = at

    def become_ann(self):
        self.kin = frozenset({KIN})

    def share_address(self):
        self.same = frozenset(self.names.values())

    def take(self, claim_id, name, amount, rests, at):
        against = claims.objection(self.affiliates[name], amount)
        if against is None:
            self.claims[claim_id] = new_claim(self.affiliates[name], claim_id, amount, rests, at)
            self._post(claims.moved(None, self.claims[claim_id]))
        return against

    def staff(self, claim_id, does, who, at):
        before = self.claims[claim_id]
        (its,) = [its for its in self.affiliates.values() if its.affiliate_id == before.affiliate_id]
        return self._end(before, staff_do(before, its, program.at(self.terms, at), does, who, at))

    def _end(self, before, after):
        if isinstance(after, claims.Objection):
            return after
        if after is not before:
            self._post(claims.moved(before, after))
        self.claims[after.claim_id] = after
        return None

    def answer(self, claim_id, entry_id, at):
        its = self.claims[claim_id]
        credited = claims.fail(its, "cap", at) if entry_id is None else claims.complete(its, entry_id, 1, at)
        self._end(its, credited)

    def figures(self):
        """The buckets of everybody and what they earned, commissions by order, the status of claims, links."""
        buckets = {name: (its.balances, self.earned[name]) for name, its in self.affiliates.items()}
        statuses = {claim_id: its.status for claim_id, its in self.claims.items()}
        return buckets, {its.order_id: its for its in self.commissions.values()}, statuses, self.links

    def prove(self):
        """Who only heard what was announced knows what is owed."""
        for (commission_id, affiliate_id), told in self.heard.items():
            (its,) = [its for its in self.commissions.values() if its.commission_id == commission_id]
            assert told == (its.owed_minor if its.affiliate_id == affiliate_id else 0)

    def end(self):
        pass
