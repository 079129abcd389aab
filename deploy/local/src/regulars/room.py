"""Room on the disk: too little is refused before a start, and named when something else failed for want of it."""

import errno
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from regulars.places import Places

MB = 2**20
FRESH = 300  # MB for a new database cluster, the six databases in it and, for root, the copy of the programs (measured: 170)
GOING_ON = 64  # MB without which PostgreSQL cannot go on for long: its log of changes grows by 16 at a time
_SAID = (b"No space left on device", b"Disk quota exceeded")

Mark = Mapping[Path, int]


def shortage(places: Places, *, fresh: bool = False) -> str | None:
    """Where there is too little room, if anywhere: a sentence."""
    for folder, needed in ((places.data, FRESH if fresh else GOING_ON), (places.folder, GOING_ON)):
        if (free := _free(folder)) < needed:
            return _sentence(folder, free, needed)
    return None


def mark(places: Places) -> Mark:
    """How long the logs are before the start."""
    return {log: log.stat().st_size for log in places.logs.glob("*.log")}


def cause(places: Places, before: Mark, error: BaseException) -> str | None:
    """Whether want of room made a start fail, by the error itself or by what the logs have said since: a sentence."""
    full = next((failed for failed in _chain(error) if _is_full(failed)), None)
    if full is None and not any(_says_so(log, before.get(log, 0)) for log in places.logs.glob("*.log")):
        return shortage(places)
    folder = min((places.data, places.folder), key=_free)
    if full is not None and isinstance(full.filename, str):
        folder = Path(full.filename).parent
    return _sentence(folder, _free(folder), FRESH)


def _sentence(folder: Path, free: int, needed: int) -> str:
    return f"The disk of {folder} is full: {free} MB are free and the stack needs {needed}; make room there, then `regulars up`."


def _free(folder: Path) -> int:
    """MB that an ordinary user may still fill."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    return shutil.disk_usage(there).free // MB


def _is_full(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}


def _chain(error: BaseException | None) -> Iterator[OSError]:
    while error is not None:
        if isinstance(error, OSError):
            yield error
        if isinstance(error, shutil.Error):  # copytree collects what failed as texts
            yield OSError(errno.ENOSPC, str(error)) if _SAID[0].decode() in str(error) else OSError()
        error = error.__cause__ or error.__context__


def _says_so(log: Path, since: int) -> bool:
    with log.open("rb") as content:
        content.seek(since if since <= log.stat().st_size else 0)  # shorter: it was rotated
        return any(said in content.read() for said in _SAID)
