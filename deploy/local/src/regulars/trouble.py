"""What the command tells a person when something does not work: one sentence."""


class Trouble(Exception):  # noqa: N818 - it is what happened, in the words the person reads
    """One clear sentence about what went wrong and where to look."""
