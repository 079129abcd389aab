"""kill -9 under load: afterwards every conversion has exactly one ledger entry, the books are clean, nothing waits."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from aiohttp import ClientError
from journey import readiness
from patience import until

pytestmark = pytest.mark.faults


@pytest.fixture(autouse=True)
async def watched(world):
    """Affiliates ask nothing again, so what an inbox loses stays lost, and shows; what is announced is written down."""
    await world.sql("affiliates", NEVER)
    await world.sql("affiliates", "CREATE TRIGGER never BEFORE INSERT ON ask FOR EACH ROW EXECUTE FUNCTION never()")
    for service in WATCHED:
        await world.sql(service, "CREATE SCHEMA watch")
        await world.sql(service, "CREATE TABLE watch.announced (event_id text)")
        await world.sql(service, NOTE)
        await world.sql(
            service, "CREATE TRIGGER note AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION watch.note()"
        )
    yield
    await world.sql("affiliates", "DROP FUNCTION never() CASCADE")
    for service in WATCHED:
        await world.sql(service, "DROP SCHEMA watch CASCADE")


WATCHED = ("affiliates", "wallet")

NEVER = """
    CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN NEW.ask_again_at := 'infinity'; RETURN NEW; END $$
"""

NOTE = """
    CREATE FUNCTION watch.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    AS $$ BEGIN INSERT INTO watch.announced VALUES (NEW.event_id); RETURN NULL; END $$
"""


class Load:
    """Clients that convert 1 each until told to stop, and retry with the same key until they get a final reply."""

    def __init__(self, world: Any, customer: str, clients: int = 8) -> None:
        self.world, self.customer = world, customer
        self.done: list[str] = []
        self._stop = asyncio.Event()
        self._clients: list[asyncio.Task[None]] = []
        self.join(clients)

    def join(self, clients: int) -> None:
        """Let more clients come."""
        here = len(self._clients)
        self._clients += [asyncio.create_task(self._convert(here + number)) for number in range(clients)]

    async def settle(self) -> str:
        """Let one more come, who settles a payout of 1 into the wallet; its claim."""
        body = {"amount": 1, "asset": "USDT", "network": "tron", "address": "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"}
        call = self.world.shop.call
        made = await call("POST", f"/dev/v1/customers/{self.customer}/affiliate/payout-requests", body)
        claim_id: str = made.data["claim_id"]
        path = f"/dev/v1/affiliates/payouts/{claim_id}"
        assert (await call("POST", f"{path}/approve")).data["status"] == "APPROVED"
        settled = self._until_final(lambda: call("POST", f"{path}/settle", key=f"settle-{claim_id}"))
        self._clients.append(asyncio.create_task(settled))
        return claim_id

    async def _convert(self, client: int) -> None:
        for number in range(1_000_000):
            if self._stop.is_set():
                return
            key = f"load-{client}-{number}-{id(self)}"
            await self._until_final(lambda key=key: self.world.shop.convert(self.customer, 1, key=key))

    async def _until_final(self, call: Callable[[], Awaitable[Any]]) -> None:
        while True:
            try:
                reply = await call()
            except (OSError, ClientError):
                reply = None
            if reply is not None and reply.status == 200:
                self.done.append(reply.data["claim_id"])
                return
            assert reply is None or reply.status in {202, 409, 502, 503, 504}, reply
            await asyncio.sleep(0.2)

    async def end(self) -> None:
        """Let every client finish the conversion it is at."""
        self._stop.set()
        await asyncio.wait_for(asyncio.gather(*self._clients), 180)


async def prove(world: Any, load: Load) -> None:
    """Each conversion that was confirmed, and no other, has one ledger entry; whatever was announced is published."""
    await world.settle()
    rows = await world.sql(
        "wallet", "SELECT cause_id FROM entry WHERE cause_kind = 'claim' AND customer_id = $1", load.customer
    )
    entries = Counter(row["cause_id"] for row in rows)
    assert entries == Counter(load.done)
    assert len(load.done) > 8
    published = {dict(record.headers)["ce_id"].decode() for record in await world.history()}
    for service in WATCHED:
        announced = {row["event_id"] for row in await world.sql(service, "SELECT event_id FROM watch.announced")}
        assert announced
        assert announced <= published, f"{service} lost {len(announced - published)} events"
    await world.verify()


async def test_affiliates_killed_between_commit_and_publish(world):
    """The broker is dead, so what newcomers commit is certainly unpublished when the process dies."""
    customer, _ = await world.affiliate_with()
    load = Load(world, customer)
    await until(lambda: load.done, lambda done: len(done) > 8)
    await asyncio.to_thread(world.stack.kill, "kafka", restart=False)
    load.join(8)
    try:
        await load.settle()
        await until(lambda: world.sql("affiliates", "SELECT seq FROM outbox"), lambda rows: len(rows) >= 8)
        await asyncio.to_thread(world.stack.kill, "affiliates")
        assert len(await world.sql("affiliates", "SELECT seq FROM outbox")) >= 8
    finally:
        await asyncio.to_thread(world.stack.start, "kafka")
    await asyncio.to_thread(world.stack.wait_ready, "affiliates")
    await load.end()
    await prove(world, load)


async def test_the_wallet_killed_between_commit_and_acknowledgement(world):
    """A lock holds a batch back until the broker is dead, so what is committed then cannot have been acknowledged."""
    customer, _ = await world.affiliate_with()
    load = Load(world, customer)
    wallet = await asyncpg.connect(world.stack.admin_database_url("regulars_wallet"))
    try:
        for _ in range(2):
            target = len(load.done) + 5
            await until(lambda: load.done, lambda done, target=target: len(done) > target)
            before = await commit_without_broker(world, wallet)
            await until(lambda: wallet.fetchval(ENTRIES), lambda count, before=before: count > before)
            await asyncio.to_thread(world.stack.kill, "wallet")
            await asyncio.to_thread(world.stack.start, "kafka")
            await asyncio.to_thread(world.stack.wait_ready, "wallet")
    finally:
        await wallet.close()
    await load.end()
    await prove(world, load)


ENTRIES = "SELECT count(*) FROM entry"


async def commit_without_broker(world: Any, wallet: asyncpg.Connection) -> int:
    """Kill the broker while the wallet has a batch at hand; the number of entries before it goes on."""
    async with wallet.transaction():
        await wallet.execute("LOCK TABLE inbox")
        await until(lambda: wallet.fetch(WAITING, "inbox"), bool)
        await asyncio.to_thread(world.stack.kill, "kafka", restart=False)
        return await wallet.fetchval(ENTRIES)


WAITING = "SELECT pid FROM pg_locks WHERE relation = $1::text::regclass AND NOT granted"


async def test_the_wallet_killed_in_the_middle_of_a_batch(world):
    """A lock stops it between the inbox row and the entry: both are gone, and the batch comes again."""
    customer, _ = await world.affiliate_with()
    load = Load(world, customer)
    await until(lambda: load.done, lambda done: len(done) > 8)
    wallet = await asyncpg.connect(world.stack.admin_database_url("regulars_wallet"))
    try:
        async with wallet.transaction():
            await wallet.execute("LOCK TABLE entry")
            await until(lambda: wallet.fetch(WAITING, "entry"), bool)
            await asyncio.to_thread(world.stack.kill, "wallet")
    finally:
        await wallet.close()
    await asyncio.to_thread(world.stack.wait_ready, "wallet")
    await load.end()
    await prove(world, load)


async def test_affiliates_killed_between_the_wallets_answer_and_its_own_commit(world):
    """A lock stops it where it wakes who waits: inbox, claim and journal are written, and gone when it dies."""
    customer, _ = await world.affiliate_with()
    load = Load(world, customer, clients=0)
    affiliates = await asyncpg.connect(world.stack.admin_database_url("regulars_affiliates"))
    try:
        async with affiliates.transaction():
            await affiliates.execute("LOCK TABLE answer IN EXCLUSIVE MODE")
            claim_id = await load.settle()
            await until(lambda: world.sql("wallet", "SELECT FROM entry WHERE cause_id = $1", claim_id), bool)
            await until(lambda: affiliates.fetch(WAITING, "answer"), bool)
            load.join(8)
            await asyncio.to_thread(world.stack.kill, "affiliates")
    finally:
        await affiliates.close()
    assert await world.sql("affiliates", "SELECT FROM claim WHERE claim_id = $1 AND status = 'PROCESSING'", claim_id)
    await asyncio.to_thread(world.stack.wait_ready, "affiliates")
    await until(lambda: load.done, lambda done: len(done) > 8)
    await load.end()
    await prove(world, load)


async def test_the_broker_killed_for_twenty_seconds(world):
    customer, _ = await world.affiliate_with()
    load = Load(world, customer)
    await until(lambda: load.done, lambda done: len(done) > 8)
    await asyncio.to_thread(world.stack.kill, "kafka", restart=False)
    await asyncio.sleep(20)
    await until(lambda: readiness(world, "wallet"), lambda told: told == (503, ["Kafka does not answer"]))
    async with world.session.get(world.stack.url("wallet") + "/livez") as alive:
        assert alive.status == 200
    await asyncio.to_thread(world.stack.start, "kafka")
    before = len(load.done)
    await until(lambda: load.done, lambda done: len(done) > before + 8)
    await load.end()
    await prove(world, load)
