"""What a host gets wrong in its sources, rules and receivers, and what the database refuses: the host's save survives
the first, and goes with its event in the second."""

import pytest
from django.db import DatabaseError, transaction
from django.db.models.signals import post_save
from django.utils import timezone

from example_project.training.factories import CourseAssignmentFactory
from example_project.training.models import CourseAssignment, LearningPath
from tests.factories import WebhookFactory
from tests.integration.capture.workshops import WorkshopSource
from tests.testapp.models import Workshop
from tms_webhooks import signals, sources
from tms_webhooks.models import Event
from tms_webhooks.outbox import record
from tms_webhooks.sources.registry import sources_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def workshop(organization):
    return Workshop.objects.create(organization=organization, title="Pair programming")


def rename(workshop):
    workshop.title = "Mob programming"
    workshop.save()


class Raising(sources.Rule):
    """A rule with a mistake in it."""

    @property
    def event_types(self):
        return ("workshop.changed",)

    def read(self, change):
        raise ZeroDivisionError


@pytest.mark.parametrize("strict", [True, False])
def test_a_rule_that_raises(listen, workshop, settings_of_app, caplog, strict):
    class Mistaken(WorkshopSource):
        rules = (Raising(),)

    settings_of_app(STRICT_PAYLOADS=strict)
    listen(Mistaken, Workshop)

    if strict:
        with pytest.raises(ZeroDivisionError):
            rename(workshop)
    else:
        rename(workshop)

    workshop.refresh_from_db()
    assert workshop.title == ("Pair programming" if strict else "Mob programming")
    assert not Event.objects.exists()
    assert ("could not be turned into an event" in caplog.text) is not strict


def test_one_source_with_a_mistake_costs_another_nothing(listen, lenient, workshop):
    class Mistaken(WorkshopSource):
        fields = ["title"]

    listen(Mistaken, Workshop)
    listen(WorkshopSource, Workshop)

    rename(workshop)

    assert Event.objects.get().type == "workshop.changed"


def test_an_organization_that_can_not_be_read_is_logged(listen, lenient, workshop, caplog):
    class Homeless(WorkshopSource):
        owner = "broken"

    listen(Homeless, Workshop)

    rename(workshop)

    assert not Event.objects.exists()
    assert "the organization that owns the object is unknown: organization.id" in caplog.text


def test_paths_that_can_not_be_found_are_no_error_of_the_hosts_save(lenient, monkeypatch, caplog):
    assignment = CourseAssignmentFactory()
    WebhookFactory(organization=assignment.user.organization, events=["*"])
    _assignments, paths = sources_of(CourseAssignment)
    monkeypatch.setattr(
        type(paths), "paths_with", lambda _self, _course, _learner: LearningPath.objects.extra(where=["no_such_column"])
    )

    with transaction.atomic():
        assignment.complete(at=timezone.now())
        assignment.refresh_from_db()

    assert assignment.completed_at is not None
    assert Event.objects.get().type == "course_assignment.completed"
    assert "paths_with of" in caplog.text


def test_a_receiver_of_the_signal_that_breaks_the_database_breaks_nothing(listen, workshop, caplog):
    listen(WorkshopSource, Workshop)
    heard = []

    def query(event, **_kwargs):
        heard.append(event)
        return Workshop(pk=workshop.pk).failing

    signals.event_recorded.connect(query)
    try:
        with transaction.atomic():
            rename(workshop)
            assert Event.objects.get() == heard[0]
    finally:
        signals.event_recorded.disconnect(query)

    assert Event.objects.get().type == "workshop.changed"
    assert Workshop.objects.get().title == "Mob programming"
    assert caplog.records


def test_so_does_one_that_comes_after_an_error_of_a_receivers(listen, lenient, workshop, monkeypatch, caplog):
    """The receiver's error is the one that the host sees and catches; what it commits then is nothing."""

    def refuse(**_kwargs):
        raise ZeroDivisionError

    def fail(*_args, **_kwargs):
        raise DatabaseError("The disk is full.")

    monkeypatch.setattr(record, "insertion_of", fail)
    post_save.connect(refuse, sender=Workshop)
    try:
        listen(WorkshopSource, Workshop)
        with transaction.atomic(), pytest.raises(ZeroDivisionError):
            rename(workshop)
    finally:
        post_save.disconnect(refuse, sender=Workshop)

    workshop.refresh_from_db()
    assert workshop.title == "Pair programming"
    assert "its event could not be recorded" in caplog.text
