"""The command `regulars`: the local stack, up and down, and what one does with it."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from regulars import programs, repair, room
from regulars.elsewhere import Elsewhere
from regulars.ports import HOST, PROGRAMS
from regulars.stack import Stack
from regulars.trouble import Trouble

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(repair.app, name="dead-letters")
app.command()(repair.parked)
out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)

_INTERRUPTED = 130  # as a shell says it of a command that Ctrl-C ended


def main() -> None:
    """Run the command; trouble is one sentence on stderr and exit code 1."""
    _listen(_interrupt)
    try:
        app()
    except Trouble as trouble:
        err.print(str(trouble), markup=False, style="red")
        sys.exit(1)


@app.command()
def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Leave it running and return.")] = False,
    test_clock: Annotated[bool, typer.Option("--test-clock", help="Let `.regulars/clock` move business time.")] = False,
) -> None:
    """Start PostgreSQL, Kafka and the services; Ctrl-C stops them."""
    stack = Stack.at(folder(), test_clock=test_clock)
    if test_clock and not stack.test_clock:
        raise Trouble("The stack is up without a test clock: run `regulars down` first.")
    if not started(stack):
        out.print("The stack is already up.")
    elif not detach:
        _stay(stack)
        return
    _show(stack)


@app.command()
def down() -> None:
    """Stop everything that `up` started."""
    stack = Stack.at(folder())
    was_up = stack.is_up
    stack.down()
    out.print("The stack is down." if was_up else "The stack was not up.")


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show where everything is and whether it is healthy."""
    stack = Stack.at(folder())
    if as_json:
        print(json.dumps(stack.status(), indent=2))
    else:
        _show(stack)


@app.command()
def logs(
    service: Annotated[
        str | None, typer.Argument(help="A service, postgres, kafka or supervisord; all without it.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines come.")] = False,
) -> None:
    """Print the last lines of the logs."""
    where = Stack.at(folder()).places
    files = [where.log(service)] if service else sorted(where.logs.glob("*.log"))
    if not files or not all(file.exists() for file in files):
        raise Trouble(f"There is no log {files[0] if files else where.logs}: run `regulars up` first.")
    os.execvp("tail", ["tail", "-n", "100", *(["-F"] if follow else []), *map(str, files)])  # noqa: S606


@app.command()
def trace(order_id: Annotated[str, typer.Argument(help="The order's id, as the API gives it.")]) -> None:
    """Show the way of one order through all services, with times."""
    from regulars import order_trace  # noqa: PLC0415

    wide = out if out.is_terminal else Console(highlight=False, width=200)  # a pipe has no edge to cut at
    order_trace.show(running(), order_id, wide)


@app.command()
def verify(
    whole: Annotated[bool, typer.Option("--whole", help="Prove again what was found clean before.")] = False,
) -> None:
    """Let every service check its own promises on its data."""
    stack = running()
    failed = [name for name in PROGRAMS if not _verified(stack, name, whole=whole)]
    if failed:
        raise Trouble(f"verify failed: {', '.join(failed)}.")


@app.command()
def demo(
    url: Annotated[str | None, typer.Option(help="The gateway of a stack elsewhere, such as in containers.")] = None,
    keys: Annotated[
        typer.FileText | None, typer.Option(help="With --url: what its `seed` printed; `-` is standard input.")
    ] = None,
) -> None:
    """Run the main job through the gateway and show what each service now knows."""
    from regulars import demo as work  # noqa: PLC0415

    if (url is None) != (keys is None):
        raise Trouble("--url and --keys go together.")
    work.run(Elsewhere.at(url, keys.read()) if url and keys else _started_quietly())


@app.command()
def seed(
    customers: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many customers to add.")],
    entries: Annotated[
        int | None, typer.Option(min=0, help="Entries of their wallets in all; ten for each customer without it.")
    ] = None,
) -> None:
    """Add customers with years of store credit to the demo store; what is there stays."""
    from regulars import seed as work  # noqa: PLC0415 - only a seed pays for it

    stack = _started_quietly()
    with err.status("seeding") as shown:
        entries = 10 * customers if entries is None else entries
        done = asyncio.run(work.add(stack, customers, entries, shown.update))
    out.print(f"Added {done.customers:,} customers with {done.entries:,} entries in {done.seconds:,.1f} s.")


@app.command()
def bench(
    parts: Annotated[
        list[str] | None, typer.Argument(metavar="[PART]...", help="Which parts; all without one.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the figures to this file.")] = None,
    rounds: Annotated[int, typer.Option(min=1, max=20, help="How often each figure is measured.")] = 3,
    seconds: Annotated[float, typer.Option(min=1, max=30, help="How long each measurement takes.")] = 5,
) -> None:
    """Measure the stack, each figure beside its floor; about half an hour for all of it."""
    from regulars.bench import Size, run  # noqa: PLC0415
    from regulars.bench_table import PARTS  # noqa: PLC0415

    if unknown := set(parts or ()) - set(PARTS):
        raise Trouble(f"There is no part {min(unknown)}: the parts are {', '.join(PARTS)}.")
    run(_started_quietly(), Size(rounds=rounds, seconds=seconds), json_file, parts or PARTS)


def folder() -> Path:
    """REGULARS_FOLDER, or `.regulars` in the clone that we are in."""
    if named := os.environ.get("REGULARS_FOLDER"):
        return Path(named)
    here = Path.cwd()
    return next((above for above in (here, *here.parents) if (above / "deploy/local").is_dir()), here) / ".regulars"


def started(stack: Stack) -> bool:
    """Bring the stack up with its steps on stderr; False when it already was."""
    begun = time.monotonic()
    try:
        with _one_interrupt(), err.status("starting the stack"):
            return stack.up(
                say=lambda text: err.print(f"[green]✓[/] {text} [dim]({time.monotonic() - begun:.1f} s)[/]")
            )
    except KeyboardInterrupt:
        left = "what ran before still runs" if stack.is_up else "nothing of it runs any more"
        err.print(f"The start of the stack was interrupted: {left}.")
        raise typer.Exit(_INTERRUPTED) from None


def _started_quietly() -> Stack:
    stack = Stack.at(folder())
    started(stack)
    return stack


def running() -> Stack:
    """The stack of our folder. Raises ``Trouble`` when it is not up."""
    stack = Stack.at(folder())
    if not stack.is_up:
        raise Trouble("The stack is not up: run `regulars up`.")
    return stack


def _verified(stack: Stack, service: str, *, whole: bool) -> bool:
    command = [sys.executable, "-m", programs.module(service), "verify", *(["--whole"] if whole else [])]
    environment = {**os.environ, **stack.environment(service)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    out.print((done.stdout + done.stderr).rstrip(), markup=False, style=None if done.returncode == 0 else "red")
    return done.returncode == 0


def _show(stack: Stack) -> None:
    """Print what is where."""
    found = stack.status()
    table = Table(box=None, pad_edge=False)
    for title in ("service", "address", "healthy"):
        table.add_column(title)
    for name, service in found["services"].items():
        table.add_row(name, service["url"], _health("; ".join(service["reasons"])))
    running = stack.pids()
    for name in ("postgres", "kafka"):
        reason = stack.missing(name)() if name in running else "it does not run"
        table.add_row(name, f"{HOST}:{stack.ports[name]}", _health(reason))
    out.print(table)
    out.print(f"API key of the demo store: {found['api_key']}", markup=False)
    out.print(f"Publishable key: {found['publishable_key']}", markup=False)
    out.print(f"Logs: {stack.places.logs}", markup=False)
    if short := room.shortage(stack.places):
        out.print(short, markup=False, style="red")


def _health(reason: str | None) -> Text:
    return Text(f"no: {reason}", "red") if reason else Text("yes", "green")


def _stay(stack: Stack) -> None:
    """Stay until Ctrl-C, or until somebody else brings the stack down."""
    pause: Callable[[float], object] = threading.Event().wait
    with _one_interrupt():
        try:
            _show(stack)
            out.print("Ctrl-C stops everything.")
            while stack.is_up:
                pause(1)
            out.print("The stack was brought down.")
        except KeyboardInterrupt:
            with err.status("stopping the stack"):
                stack.down()
            out.print("The stack is down.")


@contextlib.contextmanager
def _one_interrupt() -> Iterator[None]:
    """Hear one Ctrl-C; a second one does not cut short the stopping that the first one led to."""

    def hear(_number: int, _frame: object) -> None:
        _listen(lambda _number, _frame: None)
        logging.disable()  # half-done work that loses its server complains
        raise KeyboardInterrupt

    _listen(hear)
    yield
    _listen(_interrupt)


def _listen(heard: Callable[[int, object], None]) -> None:
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # SIGINT too: a shell starts background jobs without it
        signal.signal(name, heard)


def _interrupt(_number: int, _frame: object) -> None:
    err.print("Interrupted.")
    raise KeyboardInterrupt
