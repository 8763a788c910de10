"""A snapshot of objects with several owners or selected rows has what the webhook's organization gets events of."""

import json

import pytest

from example_project.training.factories import OrganizationFactory
from tests.factories import WebhookFactory
from tests.integration.capture.conftest import listening
from tests.integration.capture.lessons import LessonsOfSeries
from tests.integration.snapshot.conftest import bodies
from tests.outbox import number_events
from tests.testapp.models import Lesson, Series
from tms_webhooks.actors import SYSTEM
from tms_webhooks.exceptions import SubjectError
from tms_webhooks.outbox.example_events import example_event


class LearnersOfSeries(LessonsOfSeries):
    only = {"role": "learner"}


def lessons(webhook):
    """Return the name, the sequence and the organization of each lesson in a webhook's snapshot."""
    found = [event for event in bodies(webhook) if event["type"] == "class.snapshot"]
    return [(event["data"]["name"], event["sequence"], event["organization"]["external_id"]) for event in found]


def test_each_owner_gets_its_objects_with_its_own_sequence_numbers(take):
    first, second = OrganizationFactory(external_id="FIRST"), OrganizationFactory(external_id="SECOND")
    shared, other = Series.objects.create(), Series.objects.create()
    shared.organizations.set([first, second])
    other.organizations.set([second])
    webhooks = [WebhookFactory(organization=one, events=["class.*"]) for one in (first, second)]
    with listening(LearnersOfSeries, Lesson):
        for series, title in ((shared, "Algebra"), (other, "Logic")):
            Lesson.objects.create(title=title, series=series)
        Lesson.objects.create(title="Staff", series=shared, role="teacher")
        Lesson.objects.filter(title="Algebra").update(title="Geometry")

        number_events()
        for webhook in webhooks:
            take(webhook, "class")

    assert lessons(webhooks[0]) == [("Geometry", 2, "FIRST")]
    assert lessons(webhooks[1]) == [("Geometry", 2, "SECOND"), ("Logic", 1, "SECOND")]


def test_an_example_of_a_shared_object_is_the_event_of_the_webhooks_own_organization(clock):
    first, second = OrganizationFactory(external_id="FIRST"), OrganizationFactory(external_id="SECOND")
    shared = Series.objects.create()
    shared.organizations.set([first, second])
    webhooks = [WebhookFactory(organization=one, events=["class.*"]) for one in (first, second, OrganizationFactory())]
    with listening(LearnersOfSeries, Lesson):
        lesson = Lesson.objects.create(title="Algebra", series=shared)
        Lesson.objects.filter(pk=lesson.pk).update(title="Geometry")
        staff = Lesson.objects.create(title="Staff", series=shared, role="teacher")

        number_events()

        def example(webhook, subject):
            event = example_event(webhook, "class.updated", subject=f"class:{subject.pk}", actor=SYSTEM, now=clock())
            return json.loads(event.body)

        found = [example(webhook, lesson) for webhook in webhooks[:2]]
        for webhook, subject in ((webhooks[2], lesson), (webhooks[0], staff)):
            with pytest.raises(SubjectError):
                example(webhook, subject)

    assert [(one["data"]["name"], one["sequence"], one["organization"]["external_id"]) for one in found] == [
        ("Geometry", 2, "FIRST"),
        ("Geometry", 2, "SECOND"),
    ]
    assert [one["previous"] for one in found] == [{"name": "Algebra"}] * 2
