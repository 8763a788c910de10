"""All events of one request share a correlation id: the host's own id of the request, where it has one."""

import re

import pytest
from django.http import HttpResponse
from django.test import RequestFactory
from django.urls import path

from example_project.training.models import TrainingClass
from tms_webhooks import catalogue
from tms_webhooks.actors import ActorMiddleware, actor_context, correlation_id_of, current_correlation_id
from tms_webhooks.payloads.envelope import from_text
from tms_webhooks.payloads.formats import RequestFormat, render

pytestmark = pytest.mark.urls(__name__)


def guarantee_and_cancel(_request, key):
    training_class = TrainingClass.objects.get(pk=key)
    training_class.guarantee()
    training_class.cancel()
    return HttpResponse()


urlpatterns = [path("change/<int:key>/", guarantee_and_cancel)]


def ids(events):
    return [event.get("correlation_id") for event in events]


def test_the_events_of_one_request_share_one_id_and_those_of_another_have_another(client, training_class, recorded):
    client.get(f"/change/{training_class.pk}/")
    first = ids(recorded())
    client.get(f"/change/{training_class.pk}/")
    every = ids(recorded())

    assert len(first) == 2
    assert len(set(first)) == 1
    assert re.fullmatch("[0-9a-f]{32}", first[0])
    assert set(every[2:]).isdisjoint(first)


@pytest.mark.parametrize("given", ["4bf92f3577b34da6a3ce929d0e0e4736", "a.B_c:d/e+f=g@h-i"])
def test_the_hosts_request_id_is_used(client, training_class, recorded, given):
    client.get(f"/change/{training_class.pk}/", headers={"X-Request-ID": given})

    assert ids(recorded()) == [given, given]


@pytest.mark.parametrize("given", ["", "x" * 65, "two words", "ü", "<b>"])
def test_an_id_that_no_host_would_choose_is_replaced(client, training_class, recorded, given):
    client.get(f"/change/{training_class.pk}/", headers={"X-Request-ID": given})

    (first, second) = ids(recorded())
    assert first == second != given


@pytest.mark.parametrize("attribute", ["id", "request_id"])
def test_an_attribute_that_a_middleware_has_set_comes_before_the_header(attribute):
    request = RequestFactory().get("/", headers={"X-Request-ID": "from-a-client"})
    setattr(request, attribute, "from-the-host")

    assert correlation_id_of(request) == "from-the-host"


def test_outside_a_request_an_event_has_none_unless_the_code_gives_one(training_class, recorded):
    training_class.cancel()
    with actor_context("api", "sync", correlation_id="import-7"):
        training_class.schedule()

    first, second = recorded()
    assert "correlation_id" not in first
    assert second["correlation_id"] == "import-7"


def test_an_actor_inside_a_request_keeps_the_requests_id():
    def view(_request):
        with actor_context("api", "7"):
            return current_correlation_id()

    request = RequestFactory().get("/", headers={"X-Request-ID": "r-1"})

    assert ActorMiddleware(view)(request) == "r-1"
    assert current_correlation_id() is None


def test_an_invalid_id_in_code_is_an_error_that_names_it():
    with (
        pytest.raises(ValueError, match="correlation_id is 'two words'; use 1 to 64 letters"),
        actor_context("system", correlation_id="two words"),
    ):
        pass


def test_every_format_carries_it():
    event = {**catalogue.get("class.cancelled").example(), "correlation_id": "r-1"}
    catalogue.get("class.cancelled").validate(event)

    def body(name, **values):
        return render(RequestFormat(format=name, **values), event, limit=100_000).body

    assert from_text(body("standard"))["correlation_id"] == "r-1"
    assert from_text(body("skillable"))["CorrelationId"] == "r-1"
    assert from_text(body("cloudevents"))["correlationid"] == "r-1"
    assert body("custom", content="id={correlation_id}&again={CorrelationId}") == "id=r-1&again=r-1"
