"""A temporary stack dies with the process that holds its leash, even if that one is killed with SIGKILL."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from regulars.stack import Stack


@contextlib.contextmanager
def temporary(folder: Path, kind: type[Stack] = Stack) -> Iterator[Stack]:
    """A stack on free ports with a test clock, not started; afterwards stopped and erased, whatever happens to us."""
    stack = kind.at(folder, ports="free", test_clock=True)
    command = [sys.executable, "-W", "ignore", "-m", "regulars.leash", str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True):
        try:
            yield stack
        finally:
            stack.erase()


def main() -> None:
    """Wait until the holder closes our standard input, as its death does too, then erase the stack."""
    sys.stdin.read()
    Stack.at(Path(sys.argv[1])).erase()


if __name__ == "__main__":
    main()
