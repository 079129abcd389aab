"""The command's first second: loading it takes that long, and Ctrl-C is heard here meanwhile."""

import sys


def main() -> None:
    """Load the command and run it."""
    try:
        from regulars import cli  # noqa: PLC0415 - what loads is what may be interrupted
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)
    cli.main()


if __name__ == "__main__":
    main()
