"""Traces by OpenTelemetry: a span for each attempt, and the header ``traceparent`` in its request.

An event keeps the span in which it was recorded, and the spans of its attempts link to it: they begin later, in another process.

A receiver with tracing can add its own spans to the same trace. Baggage and ``tracestate`` are not sent, because they may
hold internal data.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind, StatusCode, Tracer, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tms_webhooks import __version__
from tms_webhooks.delivery.outgoing import OutgoingRequest, SendResult
from tms_webhooks.models.event import LONGEST_TRACEPARENT
from tms_webhooks.outbox.event_row import span_readers
from tms_webhooks.worker.send import observers

HEADER = "traceparent"

_propagator = TraceContextTextMapPropagator()


class AttemptSpan:
    """The span of one attempt. It holds the host of the URL, but no path and no query, which may contain keys."""

    def __init__(self, tracer: Tracer, request: OutgoingRequest) -> None:
        webhook = request.endpoint.webhook
        # Empty for a text that is no valid span.
        recorded = _propagator.extract({HEADER: request.traceparent or ""})
        cause = trace.get_current_span(recorded).get_span_context()
        self._span = tracer.start_span(
            f"{webhook.verb} webhook",
            kind=SpanKind.CLIENT,
            links=[Link(cause)] if cause.is_valid else None,
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
        value = traceparent(trace.set_span_in_context(self._span))
        return {HEADER: value} if value else {}

    def end(self, result: SendResult) -> None:
        """Set the status of the result, and end the span."""
        if result.status is not None:
            self._span.set_attribute("http.response.status_code", result.status)
        if result.outcome.error_class is not None:
            self._span.set_attribute("error.type", result.outcome.error_class.value)
            self._span.set_status(StatusCode.ERROR, result.outcome.message)
        self._span.end()


def traceparent(context: Context | None = None) -> str:
    """Return the span of a context, by default the current one, as W3C Trace Context writes it; empty without one."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, context)
    return carrier.get(HEADER, "")[:LONGEST_TRACEPARENT]


def connect(provider: TracerProvider | None = None) -> None:
    """Begin to trace with this provider; the default is the host's global one. Idempotent."""
    if traceparent not in span_readers:
        tracer = trace.get_tracer("tms_webhooks", __version__, tracer_provider=provider)
        observers.append(partial(AttemptSpan, tracer))
        span_readers.append(traceparent)
