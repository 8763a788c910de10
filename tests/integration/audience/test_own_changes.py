"""A webhook with `skip_own` leaves out what its own integration did, and receives all that others did."""

import pytest
from django.core.exceptions import ValidationError
from django.urls import include, path
from django.utils import timezone
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.test import APIClient

from example_project.training.authentication import ApiKeyAuthentication
from example_project.training.factories import OrganizationFactory, TrainingClassFactory
from example_project.training.models import ApiKey, TrainingClass
from tests.factories import WebhookFactory
from tests.integration.audience.world import enrolled, listening, missed_by, organizations, told_to
from tms_webhooks.actors import actor_context
from tms_webhooks.choices import CheckResult
from tms_webhooks.models import Delivery, Event, Webhook
from tms_webhooks.outbox import feed
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.routing.explain import dry_run, explain

CANCELLED = {"events": ["enrollment.cancelled"]}
KEY = {**CANCELLED, "skip_own": True, "integration_kind": "api", "integration_id": "crm"}
OTHERS = [("api", "hr"), ("api", "CRM "), ("user", "crm"), ("administrator", "crm"), ("system", None), ("api", None)]


@api_view(["POST"])
@authentication_classes([ApiKeyAuthentication])
@permission_classes([IsAuthenticated])
def cancel(_request, key):
    TrainingClass.objects.get(pk=key).cancel()
    return Response()


urlpatterns = [
    path("cancel/<int:key>/", cancel),
    path("api/", include("tms_webhooks.api.urls")),
]


def cancelled(owner, learners, *actor):
    enrollment = enrolled(owner, learners)
    with actor_context(*actor):
        enrollment.cancel()
    fan_out(timezone.now())


@pytest.mark.parametrize("values", [{}, {"delay_seconds": 60}, {"ordered": True}])
@pytest.mark.parametrize(
    "name, audience, children",
    [("academy", "owner", False), ("globex", "learner", False), ("headquarters", "both", True)],
)
def test_its_own_changes_are_left_out_and_those_of_all_others_arrive(name, audience, children, values):
    world = organizations()
    webhook = listening(world[name], audience, children=children, **KEY, **values)
    everything = listening(world["academy"], **CANCELLED)

    cancelled(world["academy"], world["globex"], "api", "crm")
    assert (told_to(webhook), len(told_to(everything))) == ([], 1)

    for actor in OTHERS:
        cancelled(world["academy"], world["globex"], *actor)
    assert (len(told_to(webhook)), len(told_to(everything))) == (len(OTHERS), len(OTHERS) + 1)


def test_replay_of_missed_events_the_dry_run_and_the_feed_leave_them_out_too():
    world = organizations()
    webhook, other = listening(world["academy"], **KEY), listening(world["academy"], **CANCELLED)
    for key in ("crm", "hr"):
        cancelled(world["academy"], world["globex"], "api", key)
    Delivery.objects.all().delete()

    assert len(missed_by(other)) == 2
    assert len(missed_by(webhook)) == 1
    assert [event.actor_id for event in dry_run(webhook, [webhook.subscriptions.get()]).events] == ["hr"]
    page = feed.read_webhook(webhook, now=timezone.now() + feed.FAN_OUT_TIME)
    assert [event.actor_id for event in page.events] == ["hr"]


def test_the_explanation_names_it():
    world = organizations()
    webhook = listening(world["academy"], **KEY)
    listening(world["academy"], **CANCELLED)
    cancelled(world["academy"], world["globex"], "api", "crm")

    explanation = explain(webhook, Event.objects.get())

    assert explanation.verdict is CheckResult.NO
    assert [one.name for one in explanation.clauses if one.verdict is CheckResult.NO] == ["skip_own"]


@pytest.mark.parametrize(
    "values, field",
    [
        ({"skip_own": True}, "skip_own"),
        ({"integration_kind": "api"}, "integration_id"),
        ({"integration_id": "crm"}, "integration_kind"),
        ({"integration_kind": "system", "integration_id": "crm"}, "integration_kind"),
    ],
)
def test_an_incomplete_integration_is_refused_at_its_field(values, field):
    webhook = WebhookFactory.build(organization=OrganizationFactory(), **values)

    with pytest.raises(ValidationError) as error:
        webhook.full_clean()

    assert set(error.value.error_dict) == {field}


@pytest.mark.urls(__name__)
def test_a_webhook_that_a_key_makes_belongs_to_it_and_hears_of_all_others_changes(settings_of_app):
    settings_of_app(ACCESS_POLICY="example_project.training.access.TrainingPolicy")
    organization = OrganizationFactory()
    crm, hr = (client_with_key(organization, name) for name in ("CRM", "HR"))
    body = {"organization": organization.pk, "name": "CRM", "pull_only": True, "skip_own": True}
    answer = crm.post("/api/webhooks/", {**body, "subscriptions": [{"event_type": "class.*"}]})
    assert answer.status_code == 201, answer.json()
    webhook = Webhook.objects.get()
    Webhook.objects.update(pull_only=False, url="https://crm.example.com/")

    for client in (crm, hr, crm):
        training_class = TrainingClassFactory(organization=organization)
        assert client.post(f"/cancel/{training_class.pk}/").status_code == 200
    fan_out(timezone.now())

    cancelled = Event.objects.filter(type="class.cancelled")
    assert [event.actor_id for event in cancelled.order_by("pk")] == [one.prefix for one in (crm, hr, crm)]
    sent = Delivery.objects.filter(webhook=webhook, event__type="class.cancelled")
    assert [one.event.actor_id for one in sent] == [hr.prefix]
    assert answer.json()["integration_id"] == crm.prefix


def client_with_key(organization, name):
    key, clear = ApiKey.objects.create_key(name=name, organization=organization)
    client = APIClient(headers={"Authorization": f"Api-Key {clear}"})
    client.prefix = key.prefix
    return client
