"""What becomes of an event that was not simply done: not yet, again, or never."""

import traceback
from collections.abc import Sequence
from pathlib import Path

import asyncpg
from aiokafka.errors import KafkaError

from contracts.event import Event


class NotYet(Exception):  # noqa: N818  (it is a verdict, not an error)
    """What the event needs has not arrived here: park it and try again later.

    A batch handler names the ``events`` it cannot take yet; without it all of its events are meant.
    """

    def __init__(self, reason: str, events: Sequence[Event] | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.events = events


_AGAIN = (
    OSError,  # includes TimeoutError and ConnectionError
    KafkaError,
    asyncpg.PostgresConnectionError,
    asyncpg.TransactionRollbackError,  # deadlock, serialization failure
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,  # statement timeout
    asyncpg.InsufficientResourcesError,  # disk full, out of memory, too many connections
    asyncpg.OperatorInterventionError,  # shutdown, crash, starting up
    asyncpg.PostgresSystemError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,  # a failover is under way
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,  # the database is being put back
    asyncpg.InvalidCachedStatementError,  # a migration ran
)
_DRIVERS = ("asyncpg", "opentelemetry", "wrapt")  # between our statement and its error: they would fill the place
# How asyncpg's own errors say that the connection is gone; others of them, such as wrong arguments, stay as they are.
_LOST = ("is clos", "released back", "cannot switch to state")


def is_transient(error: BaseException) -> bool:
    """Whether the database or the broker is to blame, not the event: the same again will do."""
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError):
        return any(lost in str(error) for lost in _LOST)
    return isinstance(error, _AGAIN)


def place_of(error: BaseException) -> str:
    """Where an error was raised, innermost last, and the constraint it broke; never its text, which may hold values."""
    frames = [
        (frame.f_code, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_globals.get("__name__", "").partition(".")[0] not in _DRIVERS
    ]
    steps = [f"{Path(code.co_filename).name}:{line} {code.co_name}" for code, line in frames[-6:]]
    if isinstance(error, asyncpg.PostgresError):
        steps.append(f"{error.sqlstate} {getattr(error, 'constraint_name', None) or ''}".strip())
    return " > ".join(steps)
