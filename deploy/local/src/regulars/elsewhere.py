"""A stack that somebody else started, in containers or far away: its gateway and the keys of its demo store."""

import json
from dataclasses import dataclass
from typing import Self

from regulars.trouble import Trouble


@dataclass(frozen=True)
class Elsewhere:
    """As much of a stack as a client sees."""

    gateway_url: str
    api_key: str
    publishable_key: str

    @classmethod
    def at(cls, url: str, printed: str) -> Self:
        """``printed`` is what ``python -m gateway seed`` said; of several runs the last counts, and a log's prefix is passed over.

        Raises:
            Trouble: there are no keys in it.
        """
        try:
            seeded = json.loads(printed[printed.rindex("{") :])
            return cls(url.rstrip("/"), seeded["api_key"], seeded["publishable_key"])
        except (ValueError, KeyError) as error:
            raise Trouble("--keys holds no JSON with `api_key` and `publishable_key`.") from error
