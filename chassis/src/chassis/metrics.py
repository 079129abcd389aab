"""What a process counts and times, for Prometheus; ``gauges`` adds what it knows at the moment it is asked."""

from prometheus_client import Counter, Histogram

from chassis import telemetry

REQUESTS = Histogram(
    "regulars_request_seconds",
    "Time to answer a request",
    ["service", "method", "route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
HANDLERS = Histogram(
    "regulars_handler_seconds",
    "Time of one call of an event handler, for all events it was given",
    ["service", "type"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
EVENTS = Counter(
    "regulars_events_handled", "Events that handlers were given, repeats after an error included", ["service", "type"]
)
BATCHES = Histogram(
    "regulars_batch_size",
    "Members of one commit: requests of a coalesced endpoint, or events",
    ["service", "of"],
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500),
)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def answered(service: str, method: str, route: str, status: int, seconds: float) -> None:
    """Count a request and close its span's account. ``route`` is a pattern: what callers make up names no series."""
    method = method if method in _METHODS else "_OTHER"
    telemetry.answered(method, route, status)
    REQUESTS.labels(service, method, route, status).observe(seconds)
