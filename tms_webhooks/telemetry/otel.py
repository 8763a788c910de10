"""Traces by OpenTelemetry: a span for each attempt, and the header ``traceparent`` in its request.

A receiver with tracing can add its own spans to the same trace. Baggage and ``tracestate`` are not sent, because they may
hold internal data.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode, Tracer, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tms_webhooks import __version__
from tms_webhooks.delivery.outgoing import OutgoingRequest, SendResult
from tms_webhooks.worker.send import observers

HEADER = "traceparent"

_propagator = TraceContextTextMapPropagator()


class Tracing:
    """An observer of the worker that begins a span for each attempt."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def __call__(self, request: OutgoingRequest) -> AttemptSpan:
        return AttemptSpan(self._tracer, request)


class AttemptSpan:
    """The span of one attempt. It holds the host of the URL, but no path and no query, which may contain keys."""

    def __init__(self, tracer: Tracer, request: OutgoingRequest) -> None:
        webhook = request.endpoint.webhook
        self._span = tracer.start_span(
            f"{webhook.verb} webhook",
            kind=SpanKind.CLIENT,
            attributes={
                "http.request.method": webhook.verb,
                "server.address": urlsplit(webhook.url).hostname or "",
                "tms.webhook_id": request.webhook_id,
                "tms.delivery_id": request.delivery_id,
                "tms.event_id": request.event_id,
                "tms.attempt": request.number,
            },
        )

    @property
    def headers(self) -> Mapping[str, str]:
        """The header ``traceparent`` of the span; empty if no tracer provider is configured."""
        carrier: dict[str, str] = {}
        _propagator.inject(carrier, context=trace.set_span_in_context(self._span))
        return {name: value for name, value in carrier.items() if name == HEADER}

    def end(self, result: SendResult) -> None:
        """Set the status of the result, and end the span."""
        if result.status is not None:
            self._span.set_attribute("http.response.status_code", result.status)
        if result.outcome.error_class is not None:
            self._span.set_attribute("error.type", result.outcome.error_class.value)
            self._span.set_status(StatusCode.ERROR, result.outcome.message)
        self._span.end()


def connect(provider: TracerProvider | None = None) -> None:
    """Begin to trace with this provider; the default is the host's global one. Idempotent."""
    if not any(isinstance(observer, Tracing) for observer in observers):
        observers.append(Tracing(trace.get_tracer("tms_webhooks", __version__, tracer_provider=provider)))
