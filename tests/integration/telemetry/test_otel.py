"""Traces, in the real library's words."""

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tests.integration.delivery.rows import subscribed, write_event
from tests.integration.delivery.wire import answer, broken, verify
from tms_webhooks.models import Delivery
from tms_webhooks.models.encryption import reveal
from tms_webhooks.telemetry import otel
from tms_webhooks.worker.send import observers


@pytest.fixture
def exporter():
    """Where finished spans go."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    otel.connect(provider)
    yield exporter
    observers.clear()
    provider.shutdown()


def only(exporter):
    (span,) = exporter.get_finished_spans()
    return span


def parent_in(headers):
    """Read a request's headers as a receiver does."""
    found = TraceContextTextMapPropagator().extract(dict(headers))
    return trace.get_current_span(found).get_span_context()


def test_a_receiver_finds_the_span_of_the_attempt_in_its_request(run, wire, exporter):
    webhook = subscribed(happened=1)

    run()

    (request,) = wire.requests
    verify(request, reveal(webhook.secrets.get().value))
    span, parent = only(exporter), parent_in(request.headers)
    assert (parent.trace_id, parent.span_id, parent.is_remote) == (span.context.trace_id, span.context.span_id, True)
    assert "tracestate" not in request.headers


def test_the_span_describes_the_attempt_without_secrets(run, wire, exporter):
    webhook = subscribed("/hook?key=s3cret", headers="Authorization=Basic hunter2")
    event = write_event(webhook.organization)

    run()

    span = only(exporter)
    assert (span.name, span.kind, span.parent) == ("POST webhook", trace.SpanKind.CLIENT, None)
    assert dict(span.attributes) == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "server.address": "receiver.example.com",
        "tms.webhook_id": webhook.pk,
        "tms.delivery_id": Delivery.objects.get().pk,
        "tms.event_id": event.public_id,
        "tms.attempt": 1,
    }
    assert span.status.status_code == trace.StatusCode.UNSET
    assert "s3cret" not in span.to_json()
    assert "hunter2" not in span.to_json()


@pytest.mark.parametrize(
    "what, status, error, message",
    [
        (answer(503), 503, "http_status", "HTTP 503 Service Unavailable"),
        (broken("timeout"), None, "timeout", "receiver.example.com: timeout"),
    ],
)
def test_a_failure_is_an_error(run, wire, exporter, what, status, error, message):
    wire.answers = [what]
    subscribed(happened=1)

    run()

    span = only(exporter)
    assert span.attributes.get("http.response.status_code") == status
    assert span.attributes["error.type"] == error
    assert (span.status.status_code, span.status.description) == (trace.StatusCode.ERROR, message)


def test_baggage_is_not_sent(run, wire, exporter):
    token = context.attach(baggage.set_baggage("customer", "secret"))
    try:
        subscribed(happened=1)
        run()
    finally:
        context.detach(token)

    assert "baggage" not in wire.requests[0].headers
