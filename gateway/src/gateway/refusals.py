"""The refusals that only an edge makes."""

from collections.abc import Mapping

from chassis.problems import MethodNotAllowed, Problem, Unauthenticated

_SOON: Mapping[str, str] = {"retry-after": "1"}


class MalformedRequest(Problem):
    """Something about the request line or its headers that no honest client sends."""

    code = "malformed_request"
    title = "The request is not well-formed"


class OnlyRead(MethodNotAllowed):
    """What is only there to be followed or read."""

    headers: Mapping[str, str] = {"allow": "GET, HEAD"}


class OnlyPosted(MethodNotAllowed):
    """What is only there to be told."""

    headers: Mapping[str, str] = {"allow": "POST"}


class KeyNotValid(Unauthenticated):
    """A key that never was, was revoked, or has expired; which of them is nobody's business."""

    title = "This API key is not valid"


class TooSlow(Problem):
    """The body did not arrive in time."""

    status = 408
    code = "request_timeout"
    title = "The body did not arrive in time"
    headers: Mapping[str, str] = {"connection": "close"}


class UriTooLong(Problem):
    """A path or query longer than any of ours."""

    status = 414
    code = "uri_too_long"
    title = "The path or query is too long"


class HeadersTooLarge(Problem):
    """More header than any request of ours needs."""

    status = 431
    code = "headers_too_large"
    title = "The headers are too large"


class BadUpstream(Problem):
    """The service broke off; whether it did the work is not known."""

    status = 502
    code = "upstream_broke_off"
    title = "The answer broke off"
    headers = _SOON


class UpstreamAway(Problem):
    """The service did not take the request, so nothing was done."""

    status = 503
    code = "upstream_away"
    title = "This part of the platform is away for the moment"
    headers = _SOON


class UpstreamBusy(Problem):
    """The service has as much to do as it can; the request was not handed on, so nothing was done."""

    status = 503
    code = "upstream_busy"
    title = "This part of the platform has too much to do for the moment"
    headers = _SOON


class TooManyAtOnce(Problem):
    """One store's requests to a service are bounded, so that others have theirs; nothing was done."""

    status = 429
    code = "too_many_at_once"
    title = "Too many requests of this store are under way at once"
    headers = _SOON


class UpstreamTooSlow(Problem):
    """The service did not answer before the deadline; whether it did the work is not known."""

    status = 504
    code = "upstream_timeout"
    title = "The answer took too long"
    headers = _SOON
