"""A small service for the tests of the chassis: parcels that are sent, asked about and sent in batches."""

import asyncio
from collections.abc import Mapping, Sequence

from pydantic import BaseModel

from chassis import ids, replies
from chassis.batches import Queued
from chassis.db import Conn as AnyConn
from chassis.http import Api, Asked, Caller, Command, Conn, Data, Reply, answered_by, coalesced, policy
from chassis.money import Amount, Major, major
from chassis.problems import NotFound, Problem, Refused
from chassis.service import build
from contracts.event import Event
from contracts.ids import StoreId
from contracts.topics import Topic

router = Api()
PARCELS = Topic("specimen-parcels")


class ParcelAsked(Event, type="parcel.asked", topic=PARCELS, key="parcel_id"):
    parcel_id: str


class NewParcel(BaseModel):
    amount: Amount
    note: str = ""
    slow: float = 0


class Parcel(BaseModel):
    id: str
    amount: Major
    status: str = "SENT"


class Heavy(Refused):
    code = "too_heavy"
    title = "This parcel is too heavy"


class Unlucky(Problem):
    status = 429
    code = "unlucky"
    title = "Not today"
    headers: Mapping[str, str] = {"retry-after": "86400"}


def _refuse(amount_minor: int) -> None:
    if amount_minor == 66600:
        raise Heavy
    if amount_minor == 77700:
        raise Unlucky
    if amount_minor == 88800:
        raise ZeroDivisionError


async def _send(conn: AnyConn, store_id: StoreId, amount_minor: int, customer_id: str | None = None) -> Parcel:
    parcel_id = ids.new("parcel")
    await conn.execute(
        "INSERT INTO parcel (store_id, parcel_id, customer_id, amount_minor) VALUES ($1, $2, $3, $4)",
        store_id,
        parcel_id,
        customer_id,
        amount_minor,
    )
    return Parcel(id=parcel_id, amount=major(amount_minor, "EUR"))


@router.post("/parcels", status_code=201)
@policy("orders.write", key="required")
async def send(body: NewParcel, caller: Caller, conn: Conn) -> Data[Parcel]:
    minor = body.amount.minor("EUR")
    parcel = await _send(conn, caller.store_id, minor)
    await asyncio.sleep(body.slow)
    _refuse(minor)
    return Data(data=parcel)


@router.get("/parcels/{parcel_id}")
@policy("orders.read")
async def read(parcel_id: str, conn: Conn) -> Data[Parcel]:
    row = await conn.row("SELECT amount_minor FROM parcel WHERE parcel_id = $1", parcel_id)
    if row is None:
        raise NotFound
    return Data(data=Parcel(id=parcel_id, amount=major(row["amount_minor"], "EUR")))


@router.get("/parcels")
@policy("orders.read")
async def count(conn: Conn, status: str | None = None) -> Data[int]:
    wanted = "SELECT count(*) FROM parcel WHERE $1::text IS NULL OR status = $1"
    return Data(data=await conn.value(wanted, status))


@router.post("/customers/{customer_id}/parcels", status_code=201)
@policy("orders.write")
async def send_to(customer_id: str, body: NewParcel, caller: Caller, conn: Conn) -> Data[Parcel]:
    return Data(data=await _send(conn, caller.store_id, body.amount.minor("EUR"), customer_id))


async def outcome(conn: AnyConn, request_id: str) -> Reply:
    row = await conn.row("SELECT amount_minor, status FROM parcel WHERE parcel_id = $1", request_id)
    assert row is not None
    if row["status"] == "LOST":
        raise Heavy
    status = 202 if row["status"] == "SENT" else 200
    body = Data(data=Parcel(id=request_id, amount=major(row["amount_minor"], "EUR"), status=row["status"]))
    return Reply(status, body, location=f"/parcels/{request_id}" if status == 202 else None)


@router.post("/questions")
@policy("orders.write", key="required")
@answered_by(outcome)
async def ask(body: NewParcel, caller: Caller, conn: Conn) -> Asked:
    parcel = await _send(conn, caller.store_id, body.amount.minor("EUR"))
    await replies.ask(conn, parcel.id, ParcelAsked(store_id=caller.store_id, parcel_id=parcel.id))
    return Asked(parcel.id)


async def send_many(conn: AnyConn, store_id: StoreId, queued: Sequence[Queued]) -> list[Reply | Problem]:
    results: list[Reply | Problem] = []
    for amount, _ in queued:
        if amount == 88800:
            await conn.execute("SELECT 1 / 0")
        if amount == 66600:
            results.append(Heavy())
        elif amount == 77700:
            results.append(Unlucky())
        else:
            results.append(Reply(201, Data(data=await _send(conn, store_id, amount))))
    return results


@router.post("/bulk", status_code=201)
@policy("orders.write", key="required", max_body=1_040_000)
@coalesced(send_many)
async def send_in_bulk(body: NewParcel) -> Command:
    return Command(body.amount.minor("EUR"))


service = build("specimen", api=router)
