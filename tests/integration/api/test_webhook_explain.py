"""Why a webhook receives an event or not, and which recorded events its subscriptions would match: the API's answers."""

import pytest
from django.utils import timezone

from example_project.training.access import TrainingPolicy
from example_project.training.factories import OrganizationFactory, TrainingClassFactory
from tests.factories import WebhookFactory
from tests.integration.api.people import at, codes_of
from tests.integration.delivery.rows import write_event
from tms_webhooks.choices import Action
from tms_webhooks.models import Delivery, Event, Subscription
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.routing.explain import explain as explain_event


class PayloadsOfAcme(TrainingPolicy):
    """Lets no caller view the payloads of other organizations."""

    def organizations(self, request, action):
        rows = super().organizations(request, action)
        return rows.filter(name="Acme") if action == Action.VIEW_PAYLOAD else rows


@pytest.fixture
def webhook(acme):
    webhook = WebhookFactory(organization=acme)
    Subscription.objects.create(webhook=webhook, event_type="class.*", condition={"data.status.code": 2})
    return webhook


@pytest.fixture
def explain(client, webhook):
    def explain(*, by=client, **query):
        return by.get(at(webhook, "explain"), query)

    return explain


@pytest.fixture
def dry_run(client, webhook):
    def dry_run(body=None, *, by=client, **headers):
        return by.post(at(webhook, "dry-run"), body or {}, headers=headers)

    return dry_run


# Explain


def test_a_recorded_event_is_explained_check_by_check_as_in_the_admin(explain, webhook, acme):
    event = write_event(acme, "class.cancelled")
    fan_out(timezone.now())
    delivery = Delivery.objects.get()

    data = explain(event=event.public_id).json()

    event.refresh_from_db()
    found = explain_event(webhook, event)
    assert data == {
        "event": event.public_id,
        "event_type": "class.cancelled",
        "delivery": {"id": delivery.public_id, "status": "pending"},
        "verdict": "yes",
        "summary": "The webhook has a delivery of this event: Pending.",
        "checks": [
            {
                "name": clause.name,
                "verdict": clause.verdict,
                "detail": clause.sentence,
                "subscription": webhook.subscriptions.get().public_id if clause.subscription_id else None,
            }
            for clause in found.clauses
        ],
    }
    assert [check["name"] for check in data["checks"]] == ["audience", "enabled", "event_type", "condition"]


@pytest.mark.parametrize(
    "query, parameter, code",
    [
        ({"subject": "class:5"}, "event", "required"),
        ({"event": "evt_1", "event_type": "class.updated"}, "event", "required"),
        ({"event_type": "class.updated", "subject": "class:5\0"}, "subject", "null_character"),
        ({"event_type": "class.canceled"}, "event_type", "unknown"),
        ({"event_type": "class.updated", "subject": "user:5"}, "subject", "wrong_noun"),
    ],
)
def test_bad_parameters_are_named(explain, problem, query, parameter, code):
    assert codes_of(explain(**query)) == {parameter: code}


def test_events_and_objects_of_another_organization_do_not_exist(explain, problem):
    theirs = TrainingClassFactory()
    event = write_event(theirs.organization, "class.cancelled")

    strange = problem(explain(event=event.public_id), "not-found")
    assert strange == problem(explain(event="evt_" + "0" * 32), "not-found") == problem(explain(event="x"), "not-found")
    assert strange["errors"][0]["parameter"] == "event"

    strange = problem(explain(event_type="class.updated", subject=f"class:{theirs.pk}"), "not-found")
    assert strange == problem(explain(event_type="class.updated", subject="class:987654321"), "not-found")
    assert strange["errors"][0]["parameter"] == "subject"


def test_conditions_are_no_way_to_find_out_payloads_without_the_right_to_see_them(explain, restricted, acme, problem):
    viewer, event = restricted("view_payload"), write_event(acme, "class.cancelled")
    training_class = TrainingClassFactory(organization=acme)

    problem(explain(by=viewer, event=event.public_id), "forbidden")
    problem(explain(by=viewer, event_type="class.updated", subject=f"class:{training_class.pk}"), "forbidden")


def test_a_recorded_event_takes_the_right_to_see_payloads_in_one_of_its_organizations(
    explain, acme, settings_of_app, problem
):
    settings_of_app(ACCESS_POLICY=f"{__name__}.PayloadsOfAcme")
    child = OrganizationFactory(parent=acme)
    of_the_child = write_event(child, "class.cancelled")
    of_a_learner = write_event(child, "class.cancelled")
    Event.objects.filter(pk=of_a_learner.pk).update(learner_organization=acme)

    assert "'view_payload'" in problem(explain(event=of_the_child.public_id), "forbidden")["detail"]

    assert explain(event=of_a_learner.public_id).json()["verdict"] == "no"


# Dry run


def test_the_stored_subscriptions_are_tried_on_the_latest_events(dry_run, webhook, acme):
    matching = [write_event(acme, "class.cancelled") for _ in range(2)]
    write_event(acme, "class.scheduled")
    write_event(acme, "user.updated")
    write_event(TrainingClassFactory().organization, "class.cancelled")

    data = dry_run().json()

    assert (data["examined"], data["matched"]) == (4, 2)
    assert data["events"] == [event.public_id for event in reversed(matching)]
    assert sorted(data["misses"], key=lambda miss: miss["name"]) == [
        {
            "name": "condition",
            "detail": "Not met: data.status.code is 2.",
            "events": 1,
            "position": 0,
        },
        {
            "name": "event_type",
            "detail": "No subscription includes this event type.",
            "events": 1,
            "position": None,
        },
    ]


@pytest.mark.parametrize(
    "body, pointer, code",
    [
        ({"latest": 0}, "#/latest", "min_value"),
        ({"subscriptions": {}}, "#/subscriptions", "not_a_list"),
        (
            {"subscriptions": [{"event_type": "user.*", "filters": {"course": [1]}}]},
            "#/subscriptions/0/filters/course",
            "invalid",
        ),
    ],
)
def test_bad_bodies_name_the_field(dry_run, problem, body, pointer, code):
    assert codes_of(dry_run(body)) == {pointer: code}
