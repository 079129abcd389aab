"""What fraud-block may be asked: add, show, list and delete rules."""

import re
from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints, TypeAdapter

from chassis import clock, ids, outbox
from chassis.http import Api, Caller, Conn, Data, policy
from chassis.pagination import CursorParameter, Limit, Page, only_key, page_of, read_cursor
from chassis.problems import Flaw, Invalid, NotFound, Refused
from contracts.ids import RULE, SUFFIX, RuleId
from fraud_block import identifiers, rules, store
from fraud_block.identifiers import LONGEST, Identifier, RuleType
from fraud_block.rules import LONGEST_TERM, Reason, Rule
from fraud_block.screening import Effect

router = Api()

_ID = re.compile(f"{RULE}_{SUFFIX}")
_RULE_ID: TypeAdapter[str] = TypeAdapter(RuleId)


class NewBlock(BaseModel):
    """Whom to block or to allow; without ``expires_at`` until it is deleted."""

    model_config = ConfigDict(extra="forbid")

    type: RuleType
    value: Annotated[str, StringConstraints(max_length=LONGEST)]
    effect: Effect = Effect.BLOCK
    expires_at: AwareDatetime | None = None
    reason: Reason = Reason.OTHER
    note: Annotated[str, StringConstraints(max_length=2000)] | None = None


class Block(BaseModel):
    """A rule. ``value`` is canonical; ``created_by`` is ``actor:id``; ``hits`` counts the screenings it matched."""

    id: str
    type: RuleType
    value: str
    effect: Effect
    reason: Reason
    note: str | None
    active: bool
    expires_at: datetime | None
    hits: int
    last_hit_at: datetime | None
    created_at: datetime
    created_by: str
    deleted_at: datetime | None
    deleted_by: str | None


class AlreadyBlocked(Refused):
    """There is one rule in force per value and effect."""

    code = "already_blocked"
    title = "A rule in force does this already"


@router.post("/dev/v1/blocks", status_code=201)
@policy("fraud.write")
async def add(body: NewBlock, caller: Caller, conn: Conn) -> Data[Block]:
    """Add a rule. The same again is refused and names the one in force; it does not change that one's term."""
    now = clock.now()
    identifier = _identifier(body)
    _check_term(body.expires_at, now)
    rule = Rule(
        store_id=caller.store_id,
        id=ids.new(RULE),
        type=identifier.type,
        value=identifier.value,
        effect=body.effect,
        reason=body.reason,
        note=body.note,
        expires_at=body.expires_at,
        created_at=now,
        created_by=_who(caller),
    )
    await store.end_expired(conn, rule, now)
    if not await store.add(conn, rule):
        raise AlreadyBlocked(f"{await store.standing(conn, rule)} does this already")
    outbox.add(conn, rules.added(rule))
    return Data(data=_shown(rule, now))


@router.get("/dev/v1/blocks")
@policy("fraud.read")
async def list_blocks(
    caller: Caller,
    conn: Conn,
    type: RuleType | None = None,  # noqa: A002  (the parameter's name)
    effect: Effect | None = None,
    limit: Limit = 20,
    cursor: CursorParameter = None,
) -> Page[Block]:
    """Rules that are not deleted, newest first; an expired one is not ``active``."""
    filters = {"type": type, "effect": effect}
    before = only_key(read_cursor(cursor, filters), _RULE_ID)
    found = await store.page_of_rules(
        conn, caller.store_id, rule_type=type, effect=effect, before=before, limit=limit + 1
    )
    now = clock.now()
    return page_of(found, limit, lambda rule: _shown(rule, now), lambda rule: [rule.id], filters)


@router.get("/dev/v1/blocks/{block_id}")
@policy("fraud.read")
async def show(block_id: str, caller: Caller, conn: Conn) -> Data[Block]:
    """One rule, also a deleted one: what it decided stays explained."""
    return Data(data=_shown(await _rule(conn, caller.store_id, block_id), clock.now()))


@router.delete("/dev/v1/blocks/{block_id}", status_code=204)
@policy("fraud.write")
async def delete(block_id: str, caller: Caller, conn: Conn) -> None:
    """Delete a rule; it no longer counts. Again: nothing more happens."""
    await _rule(conn, caller.store_id, block_id)
    deleted = await store.delete(conn, caller.store_id, block_id, clock.now(), _who(caller))
    if deleted is not None:
        outbox.add(conn, rules.removed(deleted))


async def _rule(conn: Conn, store_id: str, block_id: str) -> Rule:
    found = await store.rule(conn, store_id, block_id) if _ID.fullmatch(block_id) else None
    if found is None:
        raise NotFound("there is no such rule")
    return found


def _identifier(body: NewBlock) -> Identifier:
    try:
        return identifiers.canonical(body.type, body.value)
    except ValueError as error:
        flaw = Flaw(pointer="/value", code=f"{body.type}_invalid", message=str(error))
        raise Invalid(errors=[flaw]) from None


def _check_term(expires_at: datetime | None, now: datetime) -> None:
    if expires_at is None or now < expires_at < now + LONGEST_TERM:
        return
    message = "A rule expires in the future, within a hundred years; without a date it stays."
    raise Invalid(errors=[Flaw(pointer="/expires_at", code="not_in_the_future", message=message)])


def _who(caller: Caller) -> str:
    return f"{caller.actor}:{caller.actor_id}"


def _shown(rule: Rule, now: datetime) -> Block:
    return Block(
        id=rule.id,
        type=rule.type,
        value=rule.value,
        effect=rule.effect,
        reason=rule.reason,
        note=rule.note,
        active=rule.in_force(now),
        expires_at=rule.expires_at,
        hits=rule.hits,
        last_hit_at=rule.last_hit_at,
        created_at=rule.created_at,
        created_by=rule.created_by,
        deleted_at=rule.deleted_at,
        deleted_by=rule.deleted_by,
    )
