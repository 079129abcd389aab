"""Saying no: RFC 9457 problems with a stable ``code``, and nothing of our insides."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, TypedDict

from pydantic_core import to_json

MEDIA_TYPE = "application/problem+json"


class Flaw(TypedDict):
    """One thing wrong with a request body: ``pointer`` is a JSON pointer (RFC 6901)."""

    pointer: str
    code: str
    message: str


class Problem(Exception):  # noqa: N818  (RFC 9457 calls it a problem)
    """A refusal. Subclasses beside the rule that raises them set ``status``, ``code`` and ``title``.

    One that stands for a decision (``pinned``) is kept under the caller's idempotency key and repeated, and what was
    written on the way to it is undone.
    """

    status: ClassVar[int] = 400
    code: ClassVar[str] = "bad_request"
    title: ClassVar[str] = "Bad request"
    pinned: ClassVar[bool] = False
    headers: Mapping[str, str] = {}

    def __init__(self, detail: str | None = None, *, errors: Sequence[Flaw] = ()) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.errors = errors

    def body(self, request_id: str) -> bytes:
        """The problem document."""
        document: dict[str, object] = {
            "type": f"urn:regulars:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "request_id": request_id,
        }
        if self.errors:
            document["errors"] = list(self.errors)
        return to_json(document)


class Refused(Problem):
    """A decision against the request, by a rule of the business."""

    status = 409
    code = "refused"
    title = "Refused"
    pinned = True


class Invalid(Problem):
    """A body or parameter that is not what the route takes."""

    status = 422
    code = "invalid"
    title = "The request is not valid"


class MalformedJson(Problem):
    """A body that is not JSON, or holds NaN, Infinity or a number no one writes."""

    code = "malformed_json"
    title = "The body is not valid JSON"


class IdempotencyKeyMissing(Problem):
    """A POST that moves money or makes an order came without its key."""

    code = "idempotency_key_missing"
    title = "This request needs an Idempotency-Key header"


class IdempotencyKeyInvalid(Problem):
    """A key is 1 to 255 printable ASCII characters, bare or quoted."""

    code = "idempotency_key_invalid"
    title = "The Idempotency-Key header is not 1 to 255 printable ASCII characters"


class IdempotencyKeyReused(Problem):
    """The key was used with another body."""

    status = 422
    code = "idempotency_key_reused"
    title = "This Idempotency-Key was used with another body"


class InFlight(Problem):
    """The same key is still at work."""

    status = 409
    code = "idempotency_key_in_flight"
    title = "A request with this Idempotency-Key is still at work"
    headers: Mapping[str, str] = {"retry-after": "1"}


class Unauthenticated(Problem):
    """No valid token of the gateway."""

    status = 401
    code = "unauthenticated"
    title = "Who is calling is not known"
    headers: Mapping[str, str] = {"www-authenticate": "Bearer"}


class Forbidden(Problem):
    """The caller lacks the scope."""

    status = 403
    code = "insufficient_scope"
    title = "This key or session may not do that"


class NotFound(Problem):
    """There is no such thing in this store."""

    status = 404
    code = "not_found"
    title = "There is no such thing"


class MethodNotAllowed(Problem):
    """The path exists, the method does not."""

    status = 405
    code = "method_not_allowed"
    title = "This method is not allowed here"


class TooLarge(Problem):
    """The body is larger than the service takes."""

    status = 413
    code = "body_too_large"
    title = "The body is too large"


class UnsupportedMediaType(Problem):
    """The body is not JSON by its own word."""

    status = 415
    code = "unsupported_media_type"
    title = "The body must be application/json"


class InvalidCursor(Problem):
    """A cursor that is not ours, or was made under other filters."""

    code = "invalid_cursor"
    title = "This cursor does not belong to this list"


class Internal(Problem):
    """A fault of ours."""

    status = 500
    code = "internal"
    title = "Something went wrong here"


class Unavailable(Problem):
    """What the answer needs is away for the moment; try again."""

    status = 503
    code = "unavailable"
    title = "Try again in a moment"
    headers: Mapping[str, str] = {"retry-after": "1"}
