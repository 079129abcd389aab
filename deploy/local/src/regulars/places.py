"""Where the local stack keeps its files, for root and for an ordinary user."""

import hashlib
import os
import pwd
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from regulars.trouble import Trouble

POINTER = "postgres-is-in"
LONGEST_SOCKET = 90  # bytes; Linux allows 107, and PostgreSQL and supervisor add a file name of their own


@dataclass(frozen=True)
class Places:
    """The folders of one stack; `owner` is the account PostgreSQL runs as, None for ourselves."""

    folder: Path  # .regulars: state, logs, Kafka's data, the pointer
    data: Path  # what PostgreSQL's account must reach: its data and, for root, a copy of its binaries
    sockets: Path  # short enough for unix sockets
    owner: pwd.struct_passwd | None

    @property
    def logs(self) -> Path:
        """The folder of the logs."""
        return self.folder / "logs"

    def log(self, program: str) -> Path:
        """Where a program logs."""
        return self.logs / f"{program}.log"

    @property
    def supervisor_socket(self) -> Path:
        """Where supervisord listens."""
        return self.sockets / "supervisor.sock"


def lay_out(folder: Path) -> Places:
    """Decide, without touching the disk, where the stack of this folder keeps its files."""
    folder = folder.resolve()
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    if os.geteuid() == 0:
        home = Path("/var/lib/regulars") / name
        return Places(folder, home, home, _unprivileged())
    short = len(os.fsencode(folder / "run")) <= LONGEST_SOCKET - len(".s.PGSQL.65535.lock")
    sockets = folder / "run" if short else Path(f"/tmp/regulars-{os.geteuid()}-{name}")  # noqa: S108 - checked in `make`
    return Places(folder, folder, sockets, None)


def make(places: Places) -> None:
    """Create the folders, closed to everybody else.

    Raises:
        Trouble: one cannot be made, or the socket folder belongs to somebody else.
    """
    try:
        places.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        places.logs.mkdir(exist_ok=True)
        if places.owner:
            places.data.mkdir(mode=0o711, parents=True, exist_ok=True)
            places.data.parent.chmod(0o711)
            pointer = places.folder / POINTER
            if not pointer.exists() or not Path(pointer.read_text().strip()).exists():
                pointer.write_text(f"{places.data}\n")
        else:
            places.sockets.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise Trouble(f"Cannot make the folders of the stack: {error}.") from error
    found = places.sockets.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise Trouble(f"The folder {places.sockets} belongs to somebody else: remove it, or move the clone.")


def erase(places: Places) -> None:
    """Remove everything that the stack has on disk; it must be down."""
    for folder in {places.sockets, places.data, places.folder}:
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged() -> pwd.struct_passwd:
    """An existing account without privileges, for PostgreSQL, which refuses to run as root."""
    for name in ("nobody", "daemon", "postgres"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise Trouble(
        "PostgreSQL refuses to run as root and this machine has no account 'nobody' or 'daemon' to run it as."
    )
