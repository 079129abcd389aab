"""Waiting for a program to answer, and saying why when it does not."""

import asyncio
import contextlib
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, TypeVar

from regulars import supervision
from regulars.places import Places
from regulars.trouble import Trouble

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end from code that is not async, even inside somebody's running event loop."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def together(*jobs: Callable[[], object]) -> None:
    """Run the jobs side by side; the first failure, or Ctrl-C, is raised at once, and the other jobs are left to notice."""
    pool = ThreadPoolExecutor(len(jobs))
    try:
        running = [pool.submit(job) for job in jobs]
        for job in as_completed(running):
            job.result()
    finally:
        pool.shutdown(wait=False)


def reasons(url: str, seconds: float = 6) -> list[str]:
    """Why a service is not ready, in its own words if it answers; none when it is."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=seconds):  # noqa: S310 - our own http URL
            return []
    except urllib.error.HTTPError as error:
        said: list[str] = []
        with error, contextlib.suppress(ValueError, TypeError, KeyError):
            said = [str(reason) for reason in json.loads(error.read())["reasons"]]
        return said or [f"/readyz answers with status {error.code}"]
    except TimeoutError:
        return [f"it does not answer within {seconds:.0f} s"]
    except (OSError, http.client.HTTPException) as error:
        return [f"nothing answers ({getattr(error, 'reason', error)})"]


def until(places: Places, name: str, missing: Callable[[], str | None], seconds: float, *, patient: bool) -> None:
    """Wait until `missing` is None for a program that runs.

    Raises:
        Trouble: it stopped, or the time is over.
    """
    deadline, reason = time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        info = supervision.processes(places).get(name, {})
        if info.get("statename", "UNKNOWN") in (supervision.DOWN if patient else supervision.NOT_UP):
            detail = info.get("spawnerr") or "it stopped while starting"
            raise Trouble(f"{name} does not start ({detail}): see {places.log(name)}.")
        if (reason := missing()) is None:
            return
        time.sleep(0.1)
    raise Trouble(f"{name} was not ready after {seconds:.0f} s ({reason or 'no answer'}): see {places.log(name)}.")


def answer(ask: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], str | None]:
    """Turn a question that raises until it is answered into a reason."""

    def missing() -> str | None:
        try:
            run(ask())
        except Exception as error:  # noqa: BLE001 - whatever it is, it is not ready
            return f"{type(error).__name__}: {error}"
        return None

    return missing
