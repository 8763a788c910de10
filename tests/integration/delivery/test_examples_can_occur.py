"""The example of an event about a real object is one that can occur, in whatever state the object is."""

import itertools
import json
from contextlib import ExitStack
from datetime import timedelta

import pytest

from example_project.training.factories import (
    ClassEnrollmentFactory,
    ClassroomFactory,
    CompanyFactory,
    CourseAssignmentFactory,
    CourseFactory,
    CourseFeedbackFactory,
    DepartmentFactory,
    OrganizationFactory,
    SubscriptionAssignmentFactory,
    SubscriptionProfileFactory,
    TrainingClassFactory,
    UserAchievementFactory,
    UserFactory,
    VoucherFactory,
)
from tests.catalogue import temporary_type
from tests.examples import canonical, check_example, states_named
from tests.factories import WebhookFactory
from tests.integration.capture.workshops import EVENT_TYPES, WorkshopSource
from tests.registration import temporarily
from tests.testapp.models import Workshop
from tms_webhooks.actors import SYSTEM
from tms_webhooks.catalogue import registry
from tms_webhooks.catalogue.types import BUILT_IN
from tms_webhooks.event_names import is_move, is_operational
from tms_webhooks.outbox.example_events import example_event
from tms_webhooks.sources.registry import all_sources, sources_of
from tms_webhooks.sources.rows import read_whole
from tms_webhooks.sources.tms import ComputedLearningPathSource

FACTORIES = {
    "class": TrainingClassFactory,
    "enrollment": ClassEnrollmentFactory,
    "course_assignment": CourseAssignmentFactory,
    "subscription": SubscriptionAssignmentFactory,
    "voucher": VoucherFactory,
    "user": UserFactory,
    "achievement": UserAchievementFactory,
    "feedback": CourseFeedbackFactory,
    "course": CourseFactory,
    "classroom": ClassroomFactory,
    "company": CompanyFactory,
    "organization": OrganizationFactory,
    "profile": SubscriptionProfileFactory,
    "department": DepartmentFactory,
}
SOURCES = {noun: sources_of(factory._meta.model)[0] for noun, factory in FACTORIES.items()}
# The rows of activities emit it, not those of assignments.
OF_ANOTHER_MODEL = "course_assignment.progressed"
NAMED = [
    (noun, name)
    for noun, source in SOURCES.items()
    for name in source.event_types
    if name != OF_ANOTHER_MODEL and not is_move(name)
]


def test_every_source_with_a_row_for_each_object_is_tried():
    sources = [one for one in all_sources() if not isinstance(one, ComputedLearningPathSource)]

    assert {source.noun.name for source in sources if source.snapshot} == FACTORIES.keys()


def test_every_type_of_the_package_has_a_source_that_emits_it():
    sources = all_sources()
    emitted = {name for source in sources for name in source.event_types}
    expiring = {source.deadline.expiring for source in sources if source.deadline}

    offered = {one.name for one in BUILT_IN if one.offered and not is_operational(one.name)}
    assert offered - emitted - expiring == set()


@pytest.mark.parametrize("noun, name", NAMED)
def test_in_each_state_of_the_object(noun, name, clock):
    subject, source = FACTORIES[noun](), SOURCES[noun]
    values = source.canonical(read_whole(source, subject.pk, using="default") or {})
    webhook = WebhookFactory(organization_id=values["organization.id"])
    for columns in states_named(source, now=clock()):
        type(subject)._base_manager.filter(pk=subject.pk).update(**columns)
        check_example(webhook, source, subject, name, now=clock())


@pytest.mark.parametrize("state", ["planned", "called off"])
def test_of_a_host_s_own_noun_whose_events_have_no_old_values_in_their_samples(state, clock):
    workshop = Workshop.objects.create(organization=OrganizationFactory(), title="Pairing", state=state)
    webhook = WebhookFactory(organization=workshop.organization)

    with ExitStack() as stack:
        for event_type in EVENT_TYPES:
            stack.enter_context(temporary_type(event_type))
        source = stack.enter_context(temporarily(WorkshopSource, Workshop))
        for name in itertools.filterfalse(is_move, source.event_types):
            check_example(webhook, source, workshop, name, now=clock())


def test_moves_have_the_ids_of_the_object_and_the_whole_object(clock):
    training_class = TrainingClassFactory()
    webhook = WebhookFactory(organization=training_class.organization)

    removed, added = (
        json.loads(example_event(webhook, name, subject=f"class:{training_class.pk}", actor=SYSTEM, now=clock()).body)
        for name in ("class.removed", "class.added")
    )

    assert (removed["data"]["id"], "name" in removed["data"]) == (training_class.pk, False)
    assert (added["data"]["name"], added["changed"], added["previous"]) == (training_class.name, [], {})


@pytest.mark.parametrize("name", ["course_assignment.expiring", "subscription.expiring", "voucher.expiring"])
def test_an_object_that_expires_soon_is_open_and_has_the_days_that_are_left(name, clock):
    noun = name.partition(".")[0]
    subject, source, now = FACTORIES[noun](), SOURCES[noun], clock()
    values = source.canonical(read_whole(source, subject.pk, using="default") or {})
    webhook = WebhookFactory(organization_id=values["organization.id"])
    for columns in states_named(source, now=now):
        type(subject)._base_manager.filter(pk=subject.pk).update(**columns)
        if columns.get("expires_at", now) is None:
            continue
        event = example_event(webhook, name, subject=f"{noun}:{subject.pk}", actor=SYSTEM, now=now)
        body = json.loads(event.body)
        after = canonical(registry.get(name), body["data"])
        assert source.is_open(after)
        assert after["expires_at"] > now
        assert body["details"]["days_left"] == pytest.approx(
            (after["expires_at"] - now) / timedelta(days=1), abs=0.00001
        )
