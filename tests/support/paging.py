"""Lists as a caller reads them."""

from collections.abc import AsyncIterator
from typing import Any

from serving import Client


async def pages(client: Client, asked: str) -> AsyncIterator[Any]:
    """The pages of a list, each asked for where the one before says that it goes on."""
    sign, cursor = "&" if "?" in asked else "?", ""
    while cursor is not None:
        page = (await client.get(asked + (cursor and f"{sign}cursor={cursor}"))).json
        assert page["has_more"] == (page["next_cursor"] is not None)
        yield page
        cursor = page["next_cursor"]


async def listed(client: Client, asked: str, name: str) -> list[Any]:
    """What all rows of a list have under this name."""
    return [row[name] async for page in pages(client, asked) for row in page["data"]]
