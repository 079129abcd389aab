"""What an endpoint may answer with, beside a model: a reply of its own status, a question asked, a command queued."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel
from starlette.responses import Response

from chassis import problems

T = TypeVar("T")

REPLAYED = "idempotent-replayed"


class Data(BaseModel, Generic[T]):
    """A single object: ``{"data": {…}}``."""

    data: T


@dataclass(frozen=True, slots=True)
class Reply:
    """A status and a body; 202 says that the work goes on, at ``location``."""

    status: int
    body: BaseModel
    location: str | None = None


@dataclass(frozen=True, slots=True)
class Rendered:
    """A reply as it goes over the wire, and as it is kept under an idempotency key."""

    status: int
    body: bytes
    media_type: str = "application/json"
    location: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self, *, replayed: bool = False) -> Response:
        """The HTTP response."""
        headers = {**self.headers, REPLAYED: "true"} if replayed else {**self.headers}
        if self.location is not None:
            headers["location"] = self.location
        return Response(self.body, self.status, headers, self.media_type)


def render(reply: Reply | problems.Problem, request_id: str) -> Rendered:
    """Turn a reply or a refusal into bytes."""
    if isinstance(reply, Reply):
        return Rendered(reply.status, reply.body.model_dump_json(by_alias=True).encode(), location=reply.location)
    return Rendered(reply.status, reply.body(request_id), problems.MEDIA_TYPE, headers=reply.headers)


class Asked(Response):
    """The endpoint has asked another service; the chassis waits for the answer to ``request_id``."""

    def __init__(self, request_id: str) -> None:
        super().__init__()
        self.request_id = request_id


class Command(Response):
    """The endpoint hands this to its batch; ``value`` is what the batch's writer takes."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value
