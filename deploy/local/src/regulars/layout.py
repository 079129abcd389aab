"""What an earlier start left: refused, before anything is touched, where today's code cannot go on with it."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regulars import jars, memory, postgres, programs, waiting
from regulars.places import POINTER, Places
from regulars.ports import PROGRAMS, Ports
from regulars.trouble import Trouble

LAYOUT = 1  # of `.regulars` and what it points to; raised when an older clone could not find its way in it


def refuse_foreign(places: Places) -> None:
    """Compare the folder with what this clone brings.

    Raises:
        Trouble: another one wrote it, and what to do.
    """
    for reason in (_layout(places), _moved(places), _postgres(places), _state(places), _kafka(places)):
        if reason is not None:
            raise Trouble(f"{reason}; to begin anew: `regulars down`, then remove {_all_of_it(places)}.")


def note(places: Places) -> None:
    """Write down, once, which layout this is and which Kafka formatted its storage."""
    if not _noted(places):
        memory.save(places.folder / "layout.json", {"layout": LAYOUT, "kafka": jars.VERSION})


def refuse_newer_schemas(places: Places, ports: Ports, password: str) -> None:
    """Ask every database which migrations it has had.

    Raises:
        Trouble: one that this clone does not know, or knows otherwise.
    """
    from chassis import migrations  # noqa: PLC0415 - loads while the server starts

    async def foreign(name: str) -> list[str]:
        return await migrations.foreign(
            programs.admin_url(ports, password, programs.database(name)), programs.module(name)
        )

    async def all_of_them() -> list[list[str]]:
        return await asyncio.gather(*map(foreign, PROGRAMS))

    for name, unknown in zip(PROGRAMS, waiting.run(all_of_them()), strict=True):
        if unknown:
            raise Trouble(
                f"The database of {name} has had migration {', '.join(unknown)}, which this clone does not know, or knows otherwise: update the clone; "
                f"to begin anew: `regulars down`, then remove {_all_of_it(places)}."
            )


def _layout(places: Places) -> str | None:
    found = _noted(places).get("layout", LAYOUT)
    if found == LAYOUT:
        return None
    age, advice = ("newer", "update the clone") if found > LAYOUT else ("older", "use the clone that wrote it")
    return f"{places.folder} was written by {age} code (layout {found}, and this is {LAYOUT}): {advice}"


def _moved(places: Places) -> str | None:
    """Root's data lies elsewhere, under a name made of the folder's path; that of a copy may be in use."""
    pointer = places.folder / POINTER
    found = pointer.read_text().strip() if pointer.exists() else str(places.data)
    if found == str(places.data) or not Path(found).exists():
        return None
    return f"{places.folder} was moved or copied here, and PostgreSQL's data is in {found}: put it back where it was"


def _postgres(places: Places) -> str | None:
    try:
        wrote = (postgres.cluster(places) / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        return None
    major = postgres.VERSION.partition(".")[0]
    if wrote == major:
        return None
    return f"{postgres.cluster(places)} was written by PostgreSQL {wrote}, which {major} cannot read: use the clone that wrote it"


def _state(places: Places) -> str | None:
    """Without the passwords nobody gets in, and a cluster cannot be given new ones."""
    kept = [data for data in (postgres.cluster(places) / "PG_VERSION", _storage(places)) if data.exists()]
    if not kept or "password" in memory.load(places.folder / "state.json"):
        return None
    return (
        f"{kept[0].parent} has data, but the passwords in {places.folder / 'state.json'} are gone: put that file back"
    )


def _kafka(places: Places) -> str | None:
    wrote = _noted(places).get("kafka", jars.VERSION)
    if _number(wrote) > _number(jars.VERSION):
        return f"{_storage(places).parent} was written by Kafka {wrote}, and this is {jars.VERSION}: update the clone"
    wanted = memory.load(places.folder / "state.json").get("cluster_id")
    found = _properties(_storage(places)).get("cluster.id", wanted)
    if found == wanted:
        return None
    return f"{_storage(places).parent} belongs to the Kafka cluster {found}, and this stack's is {wanted}: put back what was there"


def _storage(places: Places) -> Path:
    return places.folder / "kafka" / "data" / "meta.properties"


def _properties(file: Path) -> Mapping[str, str]:
    try:
        lines = file.read_text().splitlines()
    except FileNotFoundError:
        return {}
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _noted(places: Places) -> dict[str, Any]:
    try:
        return dict(json.loads((places.folder / "layout.json").read_text()))
    except FileNotFoundError:
        return {}


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _all_of_it(places: Places) -> str:
    return " and ".join(str(folder) for folder in dict.fromkeys((places.folder, places.data)))
