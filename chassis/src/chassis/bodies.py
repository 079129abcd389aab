"""What a request brings: nothing that no database keeps, a size limited before it is read whole, JSON by its own word."""

import json
import re
from collections.abc import Collection

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError

from chassis.money import parse_json
from chassis.problems import NotFound, TooLarge

_JSON = re.compile(r"application/(\S+\+)?json", re.IGNORECASE)


def check(request: Request, known: Collection[str] | None) -> None:
    """Refuse a path or query that no route takes. ``known`` is what the query may name; ``None``: anything.

    A page is asked for with what campaigns hang on a link; whoever calls anything else has misspelt what is not known.
    """
    refuse_nul(request)
    unknown = () if known is None else dict.fromkeys(name for name in request.query_params if name not in known)
    if unknown:
        has = f"it takes {', '.join(sorted(known))}" if known else "it takes none"
        flaw = {"type": "unknown_parameter", "msg": f"This route has no such parameter; {has}"}
        raise RequestValidationError([flaw | {"loc": ("query", name)} for name in unknown])


def refuse_nul(request: Request) -> None:
    """PostgreSQL keeps no NUL: no id in a path holds one, and no parameter may. ``parse_json`` does the same for bodies."""
    if "\x00" in request.scope["path"]:
        raise NotFound
    held = [name for name, value in request.query_params.multi_items() if "\x00" in value]
    if held:
        flaw = {"type": "nul", "msg": "A NUL does not belong here"}
        raise RequestValidationError([flaw | {"loc": ("query", name)} for name in held])


def parameters_of(dependant: Dependant) -> set[str]:
    """What a query may name, whichever function of a route asks for it."""
    return {field.alias for field in dependant.query_params}.union(*map(parameters_of, dependant.dependencies))


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


def customer_in(body: bytes) -> str | None:
    """The ``customer_id`` of a body. What is wrong with it is told by whoever reads the whole."""
    try:
        fields = parse_json(body)
    except json.JSONDecodeError:
        return None
    named = fields.get("customer_id") if isinstance(fields, dict) else None
    return named if isinstance(named, str) else None
