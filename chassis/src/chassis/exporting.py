"""Sending spans to an OTLP collector: what begins here and is worth a trace, and only what may be seen outside.

Loaded only where a collector is set: OpenTelemetry's SDK takes a quarter of a second to import.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event as SpanEvent
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import Link, SpanKind, Status

from chassis import telemetry
from chassis.telemetry import ALLOWED


def start(service: str, endpoint: str, ratio: float, *, trusts_callers: bool) -> TracerProvider:
    """Send spans to an OTLP collector (``http://host:4318``); ``ratio`` of the traces that begin here.

    Who does not trust its callers lets them name their trace, but not say whether it is recorded.
    """
    exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")
    provider = TracerProvider(
        sampler=Begun(ratio, trusts_callers=trusts_callers), resource=Resource.create({"service.name": service})
    )
    provider.add_span_processor(BatchSpanProcessor(Allowed(exporter), schedule_delay_millis=1000))
    record(provider)
    return provider


def record(provider: TracerProvider | None) -> None:
    """Make spans with a provider of one's own; ``None`` ends that."""
    telemetry.use(None if provider is None else provider.get_tracer("regulars"))
    postgres = AsyncPGInstrumentor()  # type: ignore[no-untyped-call]
    if provider is None:
        postgres.uninstrument()
    else:
        os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "database")
        postgres.instrument(tracer_provider=provider)


class Begun(Sampler):
    """Follows the caller's decision; of what begins here samples requests and batches, never a poll of ours."""

    def __init__(self, ratio: float, *, trusts_callers: bool = True) -> None:
        self._ratio = TraceIdRatioBased(ratio)
        self._trusts_callers = trusts_callers

    def should_sample(
        self,
        parent_context: context.Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Mapping[str, Any] | None = None,
        links: Sequence[Link] | None = None,
        trace_state: Any = None,  # noqa: ARG002  (OpenTelemetry's signature)
    ) -> SamplingResult:
        """As the parent, as any of the links, or by the ratio if it is a request."""
        parent = trace.get_current_span(parent_context).get_span_context()
        if kind is SpanKind.SERVER and not (parent.is_valid and self._trusts_callers):
            return self._ratio.should_sample(parent_context, trace_id, name, kind, attributes, links)
        if parent.is_valid:
            sampled = parent.trace_flags.sampled
        elif links:
            sampled = any(link.context.trace_flags.sampled for link in links)
        else:
            sampled = False
        return SamplingResult(Decision.RECORD_AND_SAMPLE if sampled else Decision.DROP, attributes)

    def get_description(self) -> str:
        """For people."""
        return "Begun"


class Allowed(SpanExporter):
    """Passes on what may be seen outside, whatever an instrumentation library thinks of next."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export the spans without what is not on the list."""
        return self._exporter.export([_allowed(span) for span in spans])

    def shutdown(self) -> None:
        """Shut the exporter down."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Have the exporter send what it has."""
        return self._exporter.force_flush(timeout_millis)


def _allowed(span: ReadableSpan) -> ReadableSpan:
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_only_allowed(span.attributes),
        events=[SpanEvent(e.name, _only_allowed(e.attributes), e.timestamp) for e in span.events],
        links=[Link(link.context) for link in span.links],
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _only_allowed(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (attributes or {}).items() if name in ALLOWED}
