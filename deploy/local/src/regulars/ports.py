"""Every port of the local stack, in one place: a block of nine from REGULARS_PORT_BASE (8080 unless set)."""

import itertools
import os
import random
import socket

from regulars.trouble import Trouble

SERVICES = ("customers", "wallet", "affiliates", "fraud-block", "carts")
PROGRAMS = (*SERVICES, "gateway")
NAMES = ("gateway", *SERVICES, "postgres", "kafka", "kafka-controller")
HOST = "127.0.0.1"
BASES = range(1024, 65536 - len(NAMES))
_BLOCKS = range(15_000, 31_900, len(NAMES))

Ports = dict[str, int]


def standard() -> Ports:
    """The block that starts at REGULARS_PORT_BASE.

    Raises:
        Trouble: REGULARS_PORT_BASE is no number that leaves room for the block.
    """
    text = os.environ.get("REGULARS_PORT_BASE", "8080")
    if not text.isdigit() or int(text) not in BASES:
        raise Trouble(f"REGULARS_PORT_BASE must be a port number from {BASES[0]} to {BASES[-1]}, not {text!r}.")
    return {name: int(text) + offset for offset, name in enumerate(NAMES)}


def free() -> Ports:
    """A block of ports that nobody listens on now; another stack that chooses at the same time seldom chooses the same.

    They lie below the range that Linux lends to outgoing connections, so that none is lost while a killed process is down.
    """
    blocks = (dict(zip(NAMES, itertools.count(base), strict=False)) for base in random.sample(_BLOCKS, len(_BLOCKS)))
    return next(block for block in blocks if not any(map(in_use, block.values())))


def in_use(port: int) -> bool:
    """Whether somebody else holds the port on the loopback address."""
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((HOST, port))
        except OSError:
            return True
    return False


def answers(port: int) -> bool:
    """Whether something accepts connections on the port."""
    with socket.socket() as attempt:
        attempt.settimeout(0.5)
        return attempt.connect_ex((HOST, port)) == 0
