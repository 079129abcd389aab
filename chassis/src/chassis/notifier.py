"""Waking listeners after a commit: one NOTIFY per channel and 2 ms, on a connection of its own.

NOTIFY inside a business transaction serialises all commits of a database (measured: a third of the throughput), so
it is sent after, debounced. A lost one is made good by the listeners' poll.
"""

import asyncio

import asyncpg
import structlog

log = structlog.get_logger()

_DEBOUNCE = 0.002


class Notifier:
    """Sends wake-ups for one process; ``run`` it as a task."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._channels: set[str] = set()
        self._asked = asyncio.Event()

    def notify(self, channel: str) -> None:
        """Wake the listeners of a channel soon. Never waits, never fails."""
        self._channels.add(channel)
        self._asked.set()

    async def run(self) -> None:
        """Send for ever; connect again when the connection is lost."""
        while True:
            try:
                await self._send()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
                log.warning("notifier_reconnects", error=type(error).__name__)
                await asyncio.sleep(1)

    async def _send(self) -> None:
        conn = await asyncpg.connect(self._url, command_timeout=10)
        try:
            while True:
                await self._asked.wait()
                self._asked.clear()
                channels, self._channels = self._channels, set()
                await conn.execute(";".join(f'NOTIFY "{channel}"' for channel in sorted(channels)))
                await asyncio.sleep(_DEBOUNCE)
        finally:
            conn.terminate()
