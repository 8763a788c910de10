"""Those who watch attempts may add headers, and can neither take the place of ours nor keep anything from being sent."""

import pytest

from tests.integration.delivery.rows import subscribed, write_event
from tests.integration.delivery.wire import verify
from tms_webhooks.models import Delivery
from tms_webhooks.models.encryption import reveal
from tms_webhooks.worker.send import observers


class Observer:
    """Watches, and gives its headers along."""

    def __init__(self, headers):
        self.headers = headers
        self.begun = []
        self.ended = []

    def __call__(self, request):
        self.begun.append(request)
        return self

    def end(self, result):
        self.ended.append(result)


@pytest.fixture
def watch():
    """Add an observer for the length of the test."""
    before = list(observers)

    def watch(observer):
        observers.append(observer)
        return observer

    yield watch
    observers[:] = before


def test_its_headers_are_sent_and_it_gets_the_result(run, wire, watch):
    observer = watch(Observer({"Traceparent": "00-abc"}))
    wire.answers = [202]
    webhook = subscribed(happened=1)

    run()

    (request,) = wire.requests
    assert request.headers["traceparent"] == "00-abc"
    verify(request, reveal(webhook.secrets.get().value))
    ((request,), (result,)) = observer.begun, observer.ended
    assert (request.webhook_id, result.request, result.status) == (webhook.pk, request, 202)


def test_headers_of_ours_can_not_be_replaced(run, wire, watch):
    watch(
        Observer(
            {
                "Webhook-Signature": "v1,forged",
                "webhook-id": "evt_forged",
                "WEBHOOK-TIMESTAMP": "1",
                "tms-delivery-id": "0",
                "Content-Type": "text/plain",
                "User-Agent": "other",
            }
        )
    )
    webhook = subscribed()
    event = write_event(webhook.organization)

    run()

    (request,) = wire.requests
    verify(request, reveal(webhook.secrets.get().value))
    names = [name.lower() for name in request.headers]
    assert len(set(names)) == len(names)
    assert request.headers["webhook-id"] == event.public_id
    assert request.headers["tms-delivery-id"] == Delivery.objects.get().public_id
    assert request.headers["content-type"] == "application/json"
    assert "forged" not in str(request.headers)


def test_a_header_that_the_webhook_sets_itself_stays(run, wire, watch):
    watch(Observer({"traceparent": "ours", "x-other": "sent"}))
    subscribed(headers="TraceParent=theirs", happened=1)

    run()

    (request,) = wire.requests
    assert request.headers["TraceParent"] == "theirs"
    assert request.headers["x-other"] == "sent"
    assert "traceparent" not in request.headers


def broken_at_the_beginning(request):
    raise RuntimeError("beginning")


class BrokenHeaders(Observer):
    headers = property(lambda self: 1 / 0)  # type: ignore[assignment]

    def __init__(self):
        self.ended = []

    def __call__(self, request):
        return self


class BrokenEnd(Observer):
    def end(self, result):
        raise RuntimeError("end")


@pytest.mark.parametrize(
    "broken",
    [lambda: broken_at_the_beginning, BrokenHeaders, lambda: BrokenEnd({})],
)
def test_one_that_raises_is_logged_and_the_others_go_on(run, wire, watch, caplog, broken):
    watch(broken())
    other = watch(Observer({"x-other": "sent"}))
    subscribed(happened=1)

    run()

    (request,) = wire.requests
    assert request.headers["x-other"] == "sent"
    assert len(other.ended) == 1
    assert Delivery.objects.get().status == "delivered"
    assert "An observer of an attempt failed." in caplog.text


def test_an_attempt_that_can_not_be_sent_is_observed_too(run, wire, watch):
    observer = watch(Observer({}))
    webhook = subscribed()
    webhook.secrets.update(value="plain")
    write_event(webhook.organization)

    run()

    assert wire.requests == []
    assert [result.outcome.error_class for result in observer.ended] == ["secret_unreadable"]
