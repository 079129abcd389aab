"""What a request brings: its size is limited before it is read whole, and it is JSON by its own word."""

import re

from fastapi import Request

from chassis.problems import TooLarge

_JSON = re.compile(r"application/(\S+\+)?json", re.IGNORECASE)


def is_json(request: Request) -> bool:
    """Whether the request says that its body is JSON."""
    content_type = request.headers.get("content-type", "")
    return _JSON.fullmatch(content_type.partition(";")[0].strip()) is not None


async def read(request: Request, limit: int) -> bytes:
    """The whole body, read before a connection is taken. Raises ``TooLarge`` past ``limit`` bytes."""
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > limit:
        raise TooLarge(f"a body may have {limit} bytes")
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise TooLarge(f"a body may have {limit} bytes")
        chunks.append(chunk)
    body = request._body = b"".join(chunks)  # noqa: SLF001  (where Starlette keeps a body that was read)
    return body
