"""A wallet of the bench's own: a process beside the stack's, on a port of its own and, if so wished, another database."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from regulars import ports, waiting
from regulars.ports import HOST
from regulars.stack import Stack
from regulars.trouble import Trouble

WALLET = ("wallet", "--kind", "api")

_PATIENCE = 60.0


@contextlib.contextmanager
def serving(stack: Stack, program: Sequence[str] = WALLET, database: str | None = None) -> Iterator[str]:
    """Run a Python module with the wallet's settings; where it listens.

    Raises:
        Trouble: it does not become ready.
    """
    port, log = ports.free()["wallet"], stack.places.log("bench-wallet")
    environment = os.environ | stack.environment("wallet") | {"REGULARS_PORT": str(port)}
    if database is not None:
        environment |= {
            "REGULARS_API_DATABASE_URL": stack.database_url("wallet", "api", database),
            "REGULARS_WORKER_DATABASE_URL": stack.database_url("wallet", "worker", database),
        }
    command, url = [sys.executable, "-m", *program], f"http://{HOST}:{port}"
    with log.open("ab") as output, subprocess.Popen(command, env=environment, stdout=output, stderr=output) as process:
        try:
            deadline = time.monotonic() + _PATIENCE
            while reasons := waiting.reasons(url):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise Trouble(f"{' '.join(program)} is not ready ({'; '.join(reasons)}): see {log}.")
                time.sleep(0.1)
            yield url
        finally:
            process.terminate()
