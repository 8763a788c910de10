"""A snapshot sends every object that its webhook would hear of, as it is now, and nothing else."""

import pytest

from example_project.training.factories import (
    ClassEnrollmentFactory,
    OrganizationFactory,
    TrainingClassFactory,
)
from example_project.training.models import ClassEnrollment, TrainingClass
from tests.factories import WebhookFactory
from tests.integration.audience.test_who_hears import EVERYBODY, HEARING
from tests.integration.audience.world import enrolled, listening, organizations
from tests.integration.snapshot.conftest import bodies, sent
from tests.outbox import number_events
from tms_webhooks import snapshot
from tms_webhooks.choices import JobKind, JobStatus, Priority
from tms_webhooks.delivery.replay import JobProgress, progress_by_job
from tms_webhooks.manage.jobs import start as start_job
from tms_webhooks.models import Delivery, Event, EventSequence, Subscription


@pytest.fixture
def organization():
    return OrganizationFactory()


@pytest.fixture
def webhook(organization):
    return WebhookFactory(organization=organization, events=["class.*", "enrollment.*"])


def test_every_object_is_sent_with_its_present_state(webhook, organization, take, clock):
    first, second = TrainingClassFactory.create_batch(2, organization=organization)
    enrollment = ClassEnrollmentFactory(training_class=first)
    TrainingClass.objects.filter(pk=second.pk).update(name="Renamed", confirmation_status_id=2)

    job = take(webhook, "class", "enrollment")

    assert sent(webhook) == [
        ("class.snapshot", first.pk),
        ("class.snapshot", second.pk),
        ("enrollment.snapshot", enrollment.pk),
        ("webhook.snapshot_completed", webhook.public_id),
    ]
    assert (job.status, job.total, job.done, job.skipped, job.finished_at) == (JobStatus.FINISHED, 3, 3, 0, clock.now)
    assert set(Delivery.objects.values_list("priority", flat=True)) == {Priority.REPLAY}
    body = bodies(webhook)[1]
    assert (body["data"]["name"], body["data"]["status"]) == ("Renamed", {"code": 2, "name": "Cancelled"})
    assert (body["changed"], body["previous"]) == ([], {})
    assert body["actor"] == {"kind": "system", "id": None}
    assert body["organization"] == {"id": organization.pk, "external_id": organization.external_id}


def test_no_other_webhook_hears_of_it(webhook, organization, take, run):
    other = WebhookFactory(organization=organization, events=["*", "class.*", "webhook.*"])
    TrainingClassFactory(organization=organization)
    run()
    Delivery.objects.all().delete()

    take(webhook, "class")
    run()

    assert not other.deliveries.exists()
    assert len(sent(webhook)) == 2


@pytest.mark.parametrize("pattern", ["*", "class.*", "class.cancelled", "class.deleted"])
def test_any_subscription_to_the_noun_suffices(pattern, organization, take):
    webhook = WebhookFactory(organization=organization, events=[pattern])
    training_class = TrainingClassFactory(organization=organization)

    take(webhook, "class")

    assert ("class.snapshot", training_class.pk) in sent(webhook)


def test_who_hears_of_a_change_gets_the_object(take):
    world = organizations()
    enrollment = enrolled(world["academy"], world["globex"])
    keys = EVERYBODY[::5]
    webhooks = {key: listening(world[key[0]], key[1], children=key[2]) for key in keys}

    for webhook in webhooks.values():
        take(webhook, "enrollment")

    reached = {key for key, webhook in webhooks.items() if ("enrollment.snapshot", enrollment.pk) in sent(webhook)}
    assert reached == HEARING & set(keys)


FILTERS = [
    ({"course": ["first"]}, None, True),
    ({"course": ["second"]}, None, False),
    ({"status_to": ["Cancelled"]}, None, True),
    ({"status_from": [1], "first_occurrence": True, "actor_kind": ["user"]}, None, True),
    ({}, {"data.name": "Azure"}, True),
    ({}, {"data.name": "Linux"}, False),
    ({}, {"data.max_students": {"gte": 17}}, False),
    ({}, {"changed": "name"}, True),
    ({}, {"previous.name": "Linux"}, True),
    ({}, {"data.name": "Linux", "changed": "name"}, False),
    ({}, {"any": [{"data.name": "Linux"}, {"changed": "name"}]}, True),
    ({}, {"any": [{"data.name": "Linux"}, {"data.max_students": 3}]}, False),
    ({}, {"not": {"data.name": "Azure"}}, False),
    ({}, {"not": {"data.name": "Azure", "changed": "name"}}, True),
]


@pytest.mark.parametrize("filters, condition, is_sent", FILTERS, ids=str)
def test_filters_about_the_present_state_apply_and_those_about_a_change_do_not(
    organization, take, filters, condition, is_sent
):
    training_class = TrainingClassFactory(organization=organization, name="Azure", max_students=16)
    ids = {"first": training_class.course_id, "second": training_class.course_id + 1}
    filters = {
        name: [ids.get(one, one) for one in values] if isinstance(values, list) else values
        for name, values in filters.items()
    }
    webhook = WebhookFactory(organization=organization)
    Subscription.objects.create(webhook=webhook, event_type="class.updated", filters=filters, condition=condition)

    job = take(webhook, "class")

    assert (("class.snapshot", training_class.pk) in sent(webhook)) is is_sent
    assert (job.total, job.done) == (int(is_sent), int(is_sent))


def test_the_last_event_names_the_job_its_objects_and_the_cursor(webhook, organization, take):
    TrainingClassFactory.create_batch(2, organization=organization)

    job = take(webhook, "enrollment", "class")

    last = bodies(webhook)[-1]
    assert last["data"] == {"id": webhook.public_id, "name": webhook.name}
    assert last["details"] == {
        "job_id": job.public_id,
        "nouns": "enrollment,class",
        "objects": 2,
        "failed": 0,
        "cursor": job.cursor,
    }
    assert last["sequence"] == 1


def test_the_last_event_counts_what_did_not_arrive(webhook, organization, clock, deliver):
    TrainingClassFactory.create_batch(3, organization=organization)
    job = start_job(JobKind.SNAPSHOT, webhook, nouns=["class"], now=clock.now)
    while snapshot.work_on(job, now=clock.now):
        pass
    Delivery.objects.filter(pk=Delivery.objects.first().pk).update(status="cancelled", due_at=None)
    deliver(webhook)

    snapshot.work_on(job, now=clock.now)

    assert bodies(webhook)[-1]["details"]["failed"] == 1
    assert progress_by_job([job])[job.pk] == JobProgress(delivered=2, failed=0, skipped=0, cancelled=1, waiting=0)


def test_a_second_snapshot_repeats_the_same_sequence_numbers(webhook, organization, take):
    training_class = TrainingClassFactory(organization=organization)
    training_class.cancel()
    number_events()
    number = EventSequence.objects.get(subject_type="class").last

    take(webhook, "class")
    take(webhook, "class")

    snapshots = [event for event in bodies(webhook) if event["type"] == "class.snapshot"]
    assert [event["sequence"] for event in snapshots] == [number, number]
    assert EventSequence.objects.get(subject_type="class").last == number
    assert set(Event.objects.filter(type="class.snapshot").values_list("sequence", flat=True)) == {number}


def test_an_object_without_events_has_the_number_0(webhook, take, organization):
    ClassEnrollment.objects.all().delete()
    Subscription.objects.all().delete()
    TrainingClassFactory(organization=organization)
    Subscription.objects.create(webhook=webhook, event_type="class.*")

    take(webhook, "class")

    assert bodies(webhook)[0]["sequence"] == 0
