"""Apache Kafka from Maven Central: resolved by jgo (pure Python, no mvn), kept once for all clones of a user.

Beside the jars lies a list of their checksums, and every start reads them all (0.1 s): what is damaged or missing is
fetched again, and only that.
"""

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from regulars.trouble import Trouble

VERSION = "4.4.0"
WANTED = (
    f"org.apache.kafka:kafka_2.13:{VERSION}",
    "org.slf4j:slf4j-simple:1.7.36",
)  # without a binding Kafka logs nothing
SUMS = "SHA256.json"
DRAFT = "fetching-"


def cache() -> Path:
    """The folder shared between clones: under XDG_CACHE_HOME, or the user's HOME."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if base.startswith("/") else Path.home() / ".cache"
    return root / "regulars"


def folder() -> Path:
    """The folder with Kafka's jars; `fetch` fills it."""
    return cache() / f"kafka-{VERSION}"


def intact() -> bool:
    """Whether every jar is there as it was fetched."""
    sums = _sums()
    return bool(sums) and all(_sum(folder() / name) == known for name, known in sums.items())


def fetch() -> None:
    """Have all jars, downloading (45 MB) what is not intact.

    Raises:
        Trouble: the download failed.
    """
    try:
        cache().mkdir(parents=True, exist_ok=True)
        with _alone():
            if not intact():
                _download()
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Trouble(
            f"Kafka {VERSION} could not be fetched from Maven Central: {reason}; try again, or remove {cache()} first."
        ) from error


def _download() -> None:
    """Fill a draft folder and rename it, so that a broken download never looks like a whole one."""
    from jgo.maven import MavenContext  # noqa: PLC0415 - half a second that only the first start needs

    logging.getLogger("jgo").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(dir=cache(), prefix=DRAFT) as draft:
        context = MavenContext(repo_cache=Path(draft) / "repository", timeout=30)
        named, needed = context.resolver.resolve([context.create_dependency(name) for name in WANTED])
        jars, sums = Path(draft) / "jars", _sums()
        jars.mkdir()

        def have(artifact: Any) -> tuple[str, str | None]:
            jar = jars / artifact.filename
            kept = folder() / jar.name
            if sums.get(jar.name, "") == _sum(kept):
                shutil.copy(kept, jar)
            else:
                shutil.move(artifact.resolve(), jar)
                _refuse_broken(jar)  # jgo only logs a checksum that does not match
            return jar.name, _sum(jar)

        with ThreadPoolExecutor(8) as pool:
            made = dict(pool.map(have, [dependency.artifact for dependency in (*named, *needed)]))
        (jars / SUMS).write_text(json.dumps(made, indent=2, sort_keys=True) + "\n")
        if folder().exists():
            folder().rename(Path(draft) / "before")
        jars.rename(folder())


def _refuse_broken(jar: Path) -> None:
    with zipfile.ZipFile(jar) as archive:
        if broken := archive.testzip():
            raise ValueError(f"{jar.name} came damaged ({broken})")


def _sums() -> dict[str, str]:
    """The checksum of each jar, or nothing: never fetched, or the list itself is damaged."""
    try:
        return dict(json.loads((folder() / SUMS).read_text()))
    except (OSError, ValueError, TypeError):
        return {}


def _sum(file: Path) -> str | None:
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError:
        return None


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One fetch at a time per user; drafts that are there when it begins were left by one that was killed."""
    with (cache() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for draft in cache().glob(f"{DRAFT}*"):
            shutil.rmtree(draft, ignore_errors=True)
        yield
