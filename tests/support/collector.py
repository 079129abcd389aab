"""An OTLP collector that keeps what the stack's processes send it: their spans, read as a tester wants them."""

import http.server
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Span:
    """One span. Ids are hexadecimal, ``links`` the ids of spans; ``began`` is in nanoseconds since the epoch."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    began: int
    links: tuple[str, ...]
    attributes: dict[str, Any]
    text: str


@dataclass
class Collector:
    """Everything that has come in so far, and where it is to be sent."""

    port: int = 0
    spans: list[Span] = field(default_factory=list)

    @contextmanager
    def told(self) -> Iterator[None]:
        """Processes started in here send their traces, of nothing but requests that come with a sampled trace."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(os.environ, "REGULARS_OTLP_ENDPOINT", f"http://127.0.0.1:{self.port}")
            patch.setitem(os.environ, "REGULARS_TRACE_RATIO", "0")
            patch.setitem(os.environ, "REGULARS_TRACE_TRUSTS_CALLERS", "1")
            yield

    def take(self, body: bytes) -> None:
        """Take what a process sent."""
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = next(a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
            self.spans += [_span(service, span) for scope in resource.scope_spans for span in scope.spans]

    def connected(self, trace_id: str) -> list[Span]:
        """The spans of a trace, and of those traces that are linked with it."""
        found = {span.span_id: span for span in self.spans if span.trace_id == trace_id}
        linked = {span.trace_id for span in self.spans if found.keys() & set(span.links)}
        return [*found.values(), *(span for span in self.spans if span.trace_id in linked - {trace_id})]


def _span(service: str, span: Any) -> Span:
    return Span(
        service=service,
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        kind=span.kind,
        began=span.start_time_unix_nano,
        links=tuple(link.span_id.hex() for link in span.links),
        attributes={a.key: a.value.string_value or a.value.int_value for a in span.attributes},
        text=str(span),
    )


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """What the processes of `stack` trace."""
    collected = Collector()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collected.take(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    collected.port = server.server_port
    yield collected
    server.shutdown()
    server.server_close()
