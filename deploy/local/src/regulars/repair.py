"""`regulars dead-letters` and `regulars parked`: the command lines. The work loads the chassis: `repair_work`."""

from typing import Annotated

import typer

from regulars.ports import PROGRAMS
from regulars.trouble import Trouble

app = typer.Typer(no_args_is_help=True, help="List, show and replay events that services have given up.")


def _service(name: str) -> str:
    if name not in PROGRAMS:
        raise typer.BadParameter(f"there is no service {name!r}, only {', '.join(PROGRAMS)}")
    return name


Service = Annotated[str | None, typer.Option("--service", parser=_service, metavar="SERVICE", help="Of this one only.")]
Kind = Annotated[str | None, typer.Option("--class", help="With this class of error.")]
Reason = Annotated[str | None, typer.Option("--reason", "--class", help="Waiting for this.")]
Type = Annotated[str | None, typer.Option("--type", help="Of this type of event, such as claim.converted.")]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="Show at most so many.")]


@app.command("list")
def list_letters(service: Service = None, kind: Kind = None, event_type: Type = None, limit: Limit = 50) -> None:
    """Count dead letters by service, class and type, and show the latest."""
    from regulars import repair_work  # noqa: PLC0415

    repair_work.list_letters(service, (kind, event_type), limit)


@app.command()
def show(
    service: Annotated[str, typer.Argument(parser=_service, metavar="SERVICE")],
    number: Annotated[int, typer.Argument()],
) -> None:
    """Show all there is about one dead letter, and what to do next."""
    from regulars import repair_work  # noqa: PLC0415

    repair_work.show(service, number)


@app.command()
def replay(
    numbers: Annotated[list[int] | None, typer.Argument(help="With --service: these.")] = None,
    service: Service = None,
    kind: Kind = None,
    event_type: Type = None,
    everything: Annotated[bool, typer.Option("--all", help="Every dead letter.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for what becomes of them.")] = False,
) -> None:
    """Hand dead letters back to their handlers, each to be done once, in the order of its key."""
    from regulars import repair_work  # noqa: PLC0415

    if sum([bool(numbers), bool(kind or event_type), everything]) != 1:
        raise Trouble("Say which: --class and --type, or --all, or with --service their numbers.")
    if numbers and not service:
        raise Trouble("Say --service too: every service numbers its own.")
    if not repair_work.replay(service, (kind, event_type), numbers, ask=everything and not yes, wait=wait):
        raise typer.Exit(1)


def parked(
    service: Service = None,
    reason: Reason = None,
    event_type: Type = None,
    limit: Limit = 50,
    retry_now: Annotated[bool, typer.Option("--retry-now", help="Have them tried at once.")] = False,
) -> None:
    """Count the events that wait for another by service, reason and type, and show them."""
    from regulars import repair_work  # noqa: PLC0415

    repair_work.parked(service, (reason, event_type), limit, retry_now=retry_now)
