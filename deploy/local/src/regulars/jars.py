"""Apache Kafka from Maven Central: resolved by jgo (pure Python, no mvn), kept once for all clones of a user."""

import logging
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from regulars.trouble import Trouble

VERSION = "4.4.0"
WANTED = (
    f"org.apache.kafka:kafka_2.13:{VERSION}",
    "org.slf4j:slf4j-simple:1.7.36",
)  # without a binding Kafka logs nothing


def cache() -> Path:
    """The folder shared between clones: under XDG_CACHE_HOME, or the user's HOME."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if base.startswith("/") else Path.home() / ".cache"
    return root / "regulars"


def present() -> bool:
    """Whether nothing needs to be downloaded."""
    return _folder().is_dir()


def folder() -> Path:
    """The folder with Kafka's jars, downloaded (45 MB) on first use.

    Raises:
        Trouble: the download failed.
    """
    if not present():
        try:
            _folder().parent.mkdir(parents=True, exist_ok=True)
            _download()
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise Trouble(
                f"Kafka {VERSION} could not be fetched from Maven Central into {cache()}: {reason}"
            ) from error
    return _folder()


def _folder() -> Path:
    return cache() / f"kafka-{VERSION}"


def _download() -> None:
    """Resolve into a draft folder and rename it, so that a broken download never looks like a whole one."""
    from jgo.maven import MavenContext  # noqa: PLC0415 - half a second that only the first start needs

    logging.getLogger("jgo").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(dir=cache(), prefix="fetching-") as draft:
        context = MavenContext(repo_cache=Path(draft) / "repository", timeout=30)
        named, needed = context.resolver.resolve([context.create_dependency(name) for name in WANTED])
        with ThreadPoolExecutor(8) as pool:
            files = list(pool.map(lambda dependency: dependency.artifact.resolve(), [*named, *needed]))
        jars = Path(draft) / "jars"
        jars.mkdir()
        for file in files:
            shutil.move(file, jars / file.name)
        if not present():
            jars.rename(_folder())
