"""Traces, in the real library's words."""

import contextvars

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from example_project.training.factories import TrainingClassFactory
from tests.factories import WebhookFactory
from tests.integration.delivery.rows import subscribed, write_event
from tests.integration.delivery.wire import answer, broken, verify
from tms_webhooks.actors import SYSTEM
from tms_webhooks.manage.deliveries import resend
from tms_webhooks.manage.tests import send_test
from tms_webhooks.models import Delivery, Event
from tms_webhooks.models.encryption import reveal
from tms_webhooks.outbox.event_row import span_readers
from tms_webhooks.telemetry import otel
from tms_webhooks.worker.send import observers


@pytest.fixture
def exporter():
    """Where finished spans of the app go."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    otel.connect(provider)
    yield exporter
    observers.clear()
    span_readers.clear()
    provider.shutdown()


@pytest.fixture
def span_of_request():
    """Begin spans as the host's own instrumentation does for a request."""
    provider = TracerProvider(shutdown_on_exit=False)
    yield provider.get_tracer("host").start_as_current_span
    provider.shutdown()


@pytest.fixture
def training_class():
    """A class whose changes are sent."""
    found = TrainingClassFactory()
    WebhookFactory(organization=found.organization, url="https://receiver.example.com/hook", events=["class.updated"])
    return found


def rename(training_class):
    """Save a change."""
    training_class.name += "!"
    training_class.save()


def parts_of(span):
    """Return the trace, the span and the flags of a span's context."""
    return span.trace_id, span.span_id, int(span.trace_flags)


def links_of(span):
    return [parts_of(link.context) for link in span.links]


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


def test_a_delivery_links_to_the_request_that_saved_the_change(run, exporter, span_of_request, training_class):
    with span_of_request("POST /classes/") as request:
        rename(training_class)
    # As in another process: it has only the database.
    contextvars.Context().run(run)

    span, cause = only(exporter), request.get_span_context()
    assert links_of(span) == [parts_of(cause)]
    assert span.links[0].context.is_remote
    assert (span.parent, span.context.trace_id != cause.trace_id) == (None, True)


def test_each_attempt_and_each_replay_links_to_it(run, wire, clock, exporter, span_of_request, training_class):
    wire.answers = [answer(503)]
    with span_of_request("POST /classes/") as request:
        rename(training_class)
    run()
    clock.advance(hours=1)
    run()
    with span_of_request("POST /deliveries/1/resend/"):
        resend(Delivery.objects.get(), now=clock.now)
    run()

    cause = request.get_span_context()
    links = [links_of(span) for span in exporter.get_finished_spans()]
    assert links == [[parts_of(cause)]] * 3


def test_a_test_send_links_to_the_request_that_asks_for_it(receiver, clock, exporter, span_of_request):
    webhook = WebhookFactory(url=receiver.url)

    with span_of_request("POST /webhooks/1/test/") as request:
        send_test(webhook, actor=SYSTEM, clock=clock)

    cause = request.get_span_context()
    assert links_of(only(exporter)) == [parts_of(cause)]


def test_the_span_of_a_trace_that_is_not_sampled_is_kept_as_such(run, exporter, training_class):
    cause = trace.SpanContext(0xA1, 0xB2, is_remote=True)
    with trace.use_span(trace.NonRecordingSpan(cause)):
        rename(training_class)
    run()

    assert Event.objects.get().traceparent == f"00-{0xA1:032x}-{0xB2:016x}-00"
    assert links_of(only(exporter)) == [(0xA1, 0xB2, 0)]


def test_without_a_span_the_event_has_none_and_the_delivery_no_link(run, exporter, span_of_request, training_class):
    rename(training_class)
    with span_of_request("a turn of a worker"):
        run()

    assert Event.objects.get().traceparent is None
    assert links_of(only(exporter)) == []


@pytest.mark.parametrize("text", ["", "nonsense", f"00-{0:032x}-{0xB2:016x}-01", f"ff-{0xA1:032x}-{0xB2:016x}-01"])
def test_a_text_that_is_no_span_is_sent_without_a_link(run, wire, exporter, training_class, text):
    rename(training_class)
    Event.objects.update(traceparent=text)

    run()

    assert len(wire.requests) == 1
    assert links_of(only(exporter)) == []


def test_ids_that_are_too_long_for_the_header_cost_no_change(exporter, training_class):
    with trace.use_span(trace.NonRecordingSpan(trace.SpanContext(1 << 200, 0xB2, is_remote=False))):
        rename(training_class)

    assert len(Event.objects.get().traceparent) == 55


def test_a_save_has_as_many_statements_as_without_tracing(exporter, span_of_request, training_class):
    def statements():
        with CaptureQueriesContext(connection) as captured, span_of_request("POST /classes/"):
            rename(training_class)
        return len(captured)

    statements()
    traced = statements()
    span_readers.clear()

    assert traced == statements()
