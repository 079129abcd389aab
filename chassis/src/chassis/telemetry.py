"""Spans of what a process does, where a collector is set; without one nothing here costs more than a look at ``None``.

OpenTelemetry's messaging names are still in development, so all names stand in here. ``exporting`` sends the spans.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime
from typing import Any

from opentelemetry import context, trace
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode, TraceFlags

from chassis import tracing
from chassis.verdicts import NotYet

# https://opentelemetry.io/docs/specs/semconv/messaging/kafka/ and …/http/http-spans/, as of 1.45
_SYSTEM, _TOPIC, _GROUP = "messaging.system", "messaging.destination.name", "messaging.consumer.group.name"
_OPERATION, _OPERATION_TYPE = "messaging.operation.name", "messaging.operation.type"
_MESSAGE_ID, _KEY, _COUNT = "messaging.message.id", "messaging.kafka.message.key", "messaging.batch.message_count"
_METHOD, _ROUTE, _STATUS = "http.request.method", "http.route", "http.response.status_code"
_PEER, _ERROR = "peer.service", "error.type"

ALLOWED = frozenset(
    {
        *(_SYSTEM, _TOPIC, _GROUP, _OPERATION, _OPERATION_TYPE, _MESSAGE_ID, _KEY, _COUNT),
        *(_METHOD, _ROUTE, _STATUS, _PEER, _ERROR, "exception.type"),
        # The SQL is a literal of ours; of values it holds a store's id at the most.
        *("db.system.name", "db.namespace", "db.query.text", "server.address", "server.port"),
    }
)

_tracer: trace.Tracer | None = None


def use(tracer: trace.Tracer | None) -> None:
    """Make spans with this tracer; ``None`` ends that."""
    global _tracer  # noqa: PLW0603  (one process, one tracer, as OpenTelemetry itself has it)
    _tracer = tracer


@contextmanager
def serving(method: str, traceparent: str | None) -> Iterator[None]:
    """A request at work; ``tracing.current`` is its context from here on. ``answered`` says what came of it."""
    if _tracer is None:
        tracing.current.set(tracing.accept(traceparent))
        yield
        return
    parent = _remote(traceparent) or context.Context()
    with _tracer.start_as_current_span(method, parent, SpanKind.SERVER, {_METHOD: method}) as span:
        tracing.current.set(_traceparent(span))
        yield


def answered(method: str, route: str, status: int) -> None:
    """The request at work has its answer."""
    span = trace.get_current_span()
    if span.is_recording():
        span.update_name(f"{method} {route}".rstrip())
        span.set_attributes({_ROUTE: route, _STATUS: status})
        if status >= 500:  # noqa: PLR2004
            span.set_status(StatusCode.ERROR)


@contextmanager
def calling(service: str, method: str) -> Iterator[str]:
    """A call of a service over HTTP, until its answer begins; the trace context to send with it."""
    if _tracer is None:
        yield tracing.accept(tracing.current.get())
        return
    attributes = {_METHOD: method, _PEER: service}
    with _tracer.start_as_current_span(f"{method} {service}", kind=SpanKind.CLIENT, attributes=attributes) as span:
        yield _traceparent(span)


@contextmanager
def batch(name: str, members: Iterable[str | None]) -> Iterator[None]:
    """Many messages or requests at work together: a trace of its own, linked to theirs, since it has no one parent."""
    if _tracer is None:
        yield
        return
    found = [_context(member) for member in members]
    contexts = [known for known in found if known is not None]
    links = list({(known.trace_id, known.span_id): Link(known) for known in contexts}.values())
    root, attributes = context.Context(), {_COUNT: len(found)}
    with _tracer.start_as_current_span(name, root, SpanKind.INTERNAL, attributes, links):
        yield


@contextmanager
def processing(group: str, items: Sequence[Any]) -> Iterator[None]:
    """Received events at work in one handler: a span in each one's own trace; what they announce hangs below it."""
    if _tracer is None:
        yield
        return
    received = [item.event.traceparent for item in items]
    spans = [_processed(_tracer, group, item) for item in items]
    alone = trace.use_span(spans[0], record_exception=False) if len(spans) == 1 else nullcontext()
    error: BaseException | None = None
    try:
        with alone:
            yield
    except BaseException as raised:
        error = raised
        raise
    finally:
        for item, before, span in zip(items, received, spans, strict=True):
            if error is not None:  # it comes again, or waits: as a child of what sent it, not of this attempt
                item.event._traceparent = before  # noqa: SLF001
            _end(span, None if isinstance(error, NotYet) else error)


def _processed(tracer: trace.Tracer, group: str, item: Any) -> Span:
    at_hand = trace.get_current_span().get_span_context()
    span = tracer.start_span(
        f"process {item.topic}",
        _remote(item.event.traceparent) or context.Context(),
        SpanKind.CONSUMER,
        _message("process", item.topic, item.key, str(item.event_id)) | {_GROUP: group},
        [Link(at_hand)] if at_hand.is_valid else None,
    )
    if span.is_recording():
        item.event._traceparent = _traceparent(span)  # noqa: SLF001
    return span


def _end(span: Span, error: BaseException | None) -> None:
    if error is not None:
        span.set_attribute(_ERROR, type(error).__name__)
        span.set_status(StatusCode.ERROR)
    span.end()


def sent(
    topic: str, key: str, event_id: str, traceparent: str | None, announced_at: datetime
) -> tuple[str | None, Span]:
    """An event on its way from the outbox: the trace context for its header, and a span to end when it is acked.

    The span begins when the event was announced and belongs to the trace that announced it, not to the relay.
    """
    if _tracer is None or (parent := _remote(traceparent)) is None:
        return traceparent, trace.INVALID_SPAN
    attributes = _message("send", topic, key, event_id)
    began = int(announced_at.timestamp() * 1e9)
    span = _tracer.start_span(f"send {topic}", parent, SpanKind.PRODUCER, attributes, start_time=began)
    return (_traceparent(span) if span.is_recording() else traceparent), span


def acked(span: Span, error: BaseException | None) -> None:
    """The broker has the event, or said why not."""
    _end(span, error)


def _message(operation: str, topic: str, key: str, event_id: str) -> dict[str, str]:
    return {
        _SYSTEM: "kafka",
        _OPERATION: operation,
        _OPERATION_TYPE: operation,
        _TOPIC: topic,
        _KEY: key,
        _MESSAGE_ID: event_id,
    }


def _context(traceparent: str | None) -> SpanContext | None:
    if traceparent is None or not tracing.well_formed(traceparent):
        return None
    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))


def _remote(traceparent: str | None) -> context.Context | None:
    known = _context(traceparent)
    return None if known is None else trace.set_span_in_context(NonRecordingSpan(known), context.Context())


def _traceparent(span: Span) -> str:
    its = span.get_span_context()
    return f"00-{its.trace_id:032x}-{its.span_id:016x}-{its.trace_flags:02x}"
