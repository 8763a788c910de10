"""For any webhooks, subscriptions and events, `explain` agrees with the fan-out."""

import json

import pytest
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from example_project.training.factories import OrganizationFactory
from tests.factories import WebhookFactory
from tests.integration.delivery.rows import body_of, new_event
from tms_webhooks.choices import CheckResult, DeliveryStatus
from tms_webhooks.models import Delivery, Event, Subscription
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.routing.explain import explain

pytestmark = [
    pytest.mark.skipif(
        connection.vendor == "mysql", reason="hundreds of rows a time, which two databases are enough for"
    ),
]

TYPES = ["class.cancelled", "enrollment.enrolled", "enrollment.cancelled", "webhook.recovered"]
PATTERNS = ["*", "*", "enrollment.*", "class.*", "enrollment.enrolled", "webhook.*", "user.*"]
FILTERS = [
    *({}, {}, {}, {"course": [301]}, {"course": [302]}, {"status_to": [60]}, {"status_from": ["Waitlist"]}),
    *({"actor_kind": ["administrator"]}, {"first_occurrence": True}, {"first_occurrence": True, "course": [301]}),
    *({"organization": ["own"]}, {"organization": ["child"]}, {"planet": ["Mars"]}),
]
CONDITIONS = [
    *(None, None, None, {"data.status.code": 60}, {"not": {"data.status.code": 60}}, {"actor.id": 7}),
    *({"data.grade": {"exists": True}}, {"data.user.id": 5012, "changed": "status"}, {"data.nothing": 1}, "rubbish"),
]
PLACES = ("top", "own", "child", "learners", "stranger")
LIKELY = st.sampled_from(["own", "own", "child", "top", "learners", "stranger"])

subscriptions = st.lists(
    st.tuples(st.sampled_from(PATTERNS), st.sampled_from(FILTERS), st.sampled_from(CONDITIONS)), min_size=1, max_size=3
)
webhooks = st.lists(
    st.fixed_dictionaries(
        {
            "organization": LIKELY,
            "audience": st.sampled_from(["owner", "learner", "both"]),
            "include_children": st.booleans(),
            "enabled": st.sampled_from([True, True, False]),
            "deleted": st.sampled_from([False, False, False, True]),
            "subscriptions": subscriptions,
        }
    ),
    min_size=3,
    max_size=5,
)
events = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(TYPES),
            "owner": LIKELY,
            "learner": st.sampled_from([None, *PLACES]),
            "subject": st.integers(1, 2),
            "bound": st.sampled_from([None, None, None, 0, 1]),
            "broken": st.sampled_from([False, False, False, False, True]),
        }
    ),
    min_size=4,
    max_size=8,
)


def build(places, described_webhooks, described_events):
    made = []
    for described in described_webhooks:
        values = dict(described)
        asked, deleted = values.pop("subscriptions"), values.pop("deleted")
        values["organization"] = places[values["organization"]]
        made.append(WebhookFactory(deleted_at=timezone.now() if deleted else None, **values))
        for pattern, filters, condition in asked:
            named = {key: _keys(places, value) for key, value in filters.items()}
            Subscription.objects.create(webhook=made[-1], event_type=pattern, filters=named, condition=condition)
    all_subscriptions = list(Subscription.objects.order_by("pk"))
    for number, described in enumerate(described_events, start=1):
        body = "[]" if described["broken"] else body_of(described["type"])
        event = new_event(places[described["owner"]], described["type"], body=body)
        event.learner_organization = places.get(described["learner"])
        event.subject_id, event.sequence = str(described["subject"]), number
        if described["type"].startswith("webhook."):
            event.subject_type, event.subject_id = "webhook", str(made[0].pk)
        if described["bound"] is not None and all_subscriptions:
            event.subscription = all_subscriptions[described["bound"] % len(all_subscriptions)]
        event.save()
    return made


def _keys(places, value):
    return [places[one].pk if one in places else one for one in value] if isinstance(value, list) else value


@pytest.mark.slow
@settings(
    max_examples=60,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(described_webhooks=webhooks, described_events=events)
def test_explain_agrees_with_the_fan_out(described_webhooks, described_events):
    with transaction.atomic():
        top = OrganizationFactory()
        own = OrganizationFactory(parent=top)
        places = dict(zip(PLACES, (top, own, OrganizationFactory(parent=own)), strict=False))
        places |= {name: OrganizationFactory() for name in PLACES if name not in places}
        made = build(places, described_webhooks, described_events)

        fan_out(timezone.now())

        found = {(event, webhook): status for event, webhook, status in _deliveries()}
        for event in Event.objects.all():
            for webhook in made:
                explanation = explain(webhook, event)
                status = found.get((event.pk, webhook.pk))
                expected = {None: CheckResult.NO, DeliveryStatus.SKIPPED: CheckResult.HELD}.get(status, CheckResult.YES)
                explained = (explanation.verdict, json.dumps([str(clause) for clause in explanation.clauses]))
                assert explained[0] == expected, explained
        transaction.set_rollback(True)


def _deliveries():
    return Delivery.objects.values_list("event_id", "webhook_id", "status")
