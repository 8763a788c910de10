"""In the format ``skillable``, an object is what the example's API returns of it: by the same names, with the same values."""

import json
from datetime import UTC, datetime

import pytest
from django.utils import timezone

from example_project.training import factories, models
from tests.factories import WebhookFactory
from tests.polled_searches import LEFT_OUT, REMARKS, SEARCHES
from tms_webhooks.choices import PayloadFormat
from tms_webhooks.payloads.envelope import from_text
from tms_webhooks.payloads.formats.skillable import flat
from tms_webhooks.snapshot import SourceReader
from tms_webhooks.sources.registry import sources_of_noun

START = datetime(2027, 3, 1, 8, tzinfo=UTC)


@pytest.fixture
def webhook():
    """A webhook of an organization that has one object of each noun, with all that the API shows."""
    organization = factories.OrganizationFactory()
    user = factories.UserFactory(
        organization=organization, department=factories.DepartmentFactory(organization=organization), cost_center="4711"
    )
    user.roles.add(models.Role.objects.create(name="Student"))
    user.managed_organizations.add(organization)
    course = factories.CourseFactory(organization=organization)
    training_class = factories.TrainingClassFactory(
        organization=organization,
        course=course,
        primary_instructor=user,
        primary_classroom=factories.ClassroomFactory(organization=organization),
        requested_by=user,
        custom_virtual_classroom_url="https://meet.example/1",
    )
    training_class.instructors.add(user)
    training_class.plan_sessions((START, START.replace(hour=16)))
    enrollment = factories.ClassEnrollmentFactory(training_class=training_class, user=user)
    factories.CourseAssignmentFactory(course=course, user=user, started_at=timezone.now())
    activity = factories.ActivityFactory(course=course)
    factories.CourseFeedbackFactory(class_enrollment=enrollment, user=user, course=course, activity=activity)
    profile = factories.SubscriptionProfileFactory(organization=organization)
    factories.SubscriptionAssignmentFactory(profile=profile, user=user)
    return WebhookFactory(organization=organization, events=["*"], format=PayloadFormat.SKILLABLE)


@pytest.mark.parametrize("operation", SEARCHES)
def test_an_object_has_the_names_and_values_of_the_api(operation, webhook, client):
    _key, clear = models.ApiKey.objects.create_key(name="HR", organization=webhook.organization)
    noun, keys = SEARCHES[operation]
    source = next(source for source in sources_of_noun(noun) if source.snapshot)
    (event,) = SourceReader(webhook, source).read("", now=timezone.now()).events
    sent = flat(from_text(event.body))

    path = f"GetUser/{sent['Id']}" if operation == "GetUser" else operation
    answer = client.get(f"/api/2.0/{path}", headers={"api-key": clear}).json()
    answered = {**answer["User"], **answer} if operation == "GetUser" else answer.get("Results", [None])[0]
    answered = answered or answer["SearchSubscriptionsResults"][0]

    promised = set(keys.split())
    assert promised == answered.keys() - {"User", "Status", "Error"}
    custom = zip(answered["CustomFields"], sent["CustomFields"], strict=True) if "CustomFields" in promised else ()
    assert [one for one, other in custom if not one.items() <= other.items()] == []
    # The example maps no counts, because each would be a query of every save.
    compared = promised - LEFT_OUT.keys() - REMARKS.keys() - {"CustomFields"}
    differing = {key: (sent.get(key), answered[key]) for key in compared if sent.get(key) != answered[key]}
    assert differing == {}, json.dumps(differing, default=str)
