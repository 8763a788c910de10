"""Traces by OpenTelemetry: a span for each attempt, and ``traceparent`` in its request.

A receiver that traces, too, sees its own work under the attempt. Nothing else goes along: neither baggage nor
``tracestate``, which may hold what is nobody's business outside.
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
    """Makes a span of each attempt."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def __call__(self, request: OutgoingRequest) -> AttemptSpan:
        """Begin the span of one attempt."""
        return AttemptSpan(self._tracer, request)


class AttemptSpan:
    """One attempt. The URL's path and query are left out: receivers put keys there."""

    def __init__(self, tracer: Tracer, request: OutgoingRequest) -> None:
        endpoint = request.endpoint
        self._span = tracer.start_span(
            f"{endpoint.verb} webhook",
            kind=SpanKind.CLIENT,
            attributes={
                "http.request.method": endpoint.verb,
                "server.address": urlsplit(endpoint.url).hostname or "",
                "tms.webhook_id": request.webhook_id,
                "tms.delivery_id": request.delivery_id,
                "tms.event_id": request.event_id,
                "tms.attempt": request.number,
            },
        )

    @property
    def headers(self) -> Mapping[str, str]:
        """The span's own ``traceparent``; nothing where no tracing is set up."""
        carrier: dict[str, str] = {}
        _propagator.inject(carrier, context=trace.set_span_in_context(self._span))
        return {name: value for name, value in carrier.items() if name == HEADER}

    def end(self, result: SendResult) -> None:
        """Say what came of it, and end the span."""
        if result.status is not None:
            self._span.set_attribute("http.response.status_code", result.status)
        if result.outcome.error_class is not None:
            self._span.set_attribute("error.type", result.outcome.error_class.value)
            self._span.set_status(StatusCode.ERROR, result.outcome.message)
        self._span.end()


def connect(provider: TracerProvider | None = None) -> None:
    """Begin to trace, with the host's own provider unless another one is given. Idempotent."""
    if not any(isinstance(observer, Tracing) for observer in observers):
        observers.append(Tracing(trace.get_tracer("tms_webhooks", __version__, tracer_provider=provider)))


def disconnect() -> None:
    """Undo `connect`."""
    observers[:] = [observer for observer in observers if not isinstance(observer, Tracing)]
