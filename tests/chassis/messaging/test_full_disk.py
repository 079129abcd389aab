"""PostgreSQL's disk is really full: no event is blamed, the log says what is wrong, and it goes on when there is room."""

import contextlib
import subprocess

import pytest
import structlog
from patience import until

from chassis import inbox
from chassis.inbox import Router
from regulars import postgres


def nothing_is_transient(patch) -> None:
    patch.setattr(inbox, "is_transient", lambda _: False)
    patch.setattr(inbox, "_AGAIN", ())


@pytest.fixture
def disk(parts):
    """A disk of 4 MB that PostgreSQL may write to. Skips where we may not mount one."""
    folder, owner = parts.places.data / "small-disk", parts.places.owner
    if owner is None or not postgres.cluster(parts.places).exists():
        pytest.skip("no right to mount a disk, or PostgreSQL is in a container")
    folder.mkdir()
    options = f"size=4m,mode=0700,uid={owner.pw_uid}"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=False).returncode:
        folder.rmdir()
        pytest.skip("no right to mount a disk")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)
    folder.rmdir()


@pytest.fixture
async def small_disk(world, disk):
    """That disk, with the table `seen` on it."""
    await world.admin.execute(f"CREATE TABLESPACE small LOCATION '{disk}'")
    await world.admin.execute("ALTER TABLE seen SET TABLESPACE small")
    yield disk
    await world.admin.execute("ALTER TABLE seen SET TABLESPACE pg_default")
    await world.admin.execute("DROP TABLESPACE small")


@pytest.mark.parametrize("fault", [None, nothing_is_transient])
async def test_a_full_disk_costs_no_event_and_is_named_in_the_log(world, small_disk, planted, fault):
    contract = await world.contract()
    router = Router()

    @router.on(contract.added)
    async def on_added(event, conn) -> None:
        await conn.execute(
            "INSERT INTO seen (subject, number) VALUES (repeat($1, 7000), $2)", event.subject, event.number
        )

    filler = small_disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 65536)
    await world.send(*(contract.added(store_id=world.store_id, subject="äß", number=n) for n in range(40)))
    with planted(fault), structlog.testing.capture_logs() as logs:
        async with world.consuming(router) as consumer:
            await world.joined(consumer)
            await until(lambda: any(line.get("error") == "DiskFullError" for line in logs), seconds=60)
            assert await world.admin.fetchval("SELECT count(*) FROM inbox") == 0
            filler.unlink()
            await world.until("SELECT count(*) FROM seen", equals=40, seconds=2 if fault else 60)
        assert await world.count("dead_letter") == 0
        assert {line["log_level"] for line in logs if line.get("error") == "DiskFullError"} == {"warning"}
