"""An event comes to the owner of its subject and to the learner's organization, to those above who ask for it, and to nobody else."""

import itertools

import pytest
from django.utils import timezone

from example_project.training.factories import CourseAssignmentFactory, TrainingClassFactory, UserFactory
from tests.integration.audience.world import NAMES, enrolled, listening, missed_by, organizations, told_to
from tms_webhooks.models import Delivery, Event
from tms_webhooks.outbox.fanout import fan_out

OWNER, LEARNER = "academy", "globex"
HEARING = {
    (OWNER, "owner", False),
    (OWNER, "both", False),
    (LEARNER, "learner", False),
    (LEARNER, "both", False),
    *((name, audience, True) for name in (OWNER, "headquarters") for audience in ("owner", "both")),
    *((name, audience, True) for name in (LEARNER, "group") for audience in ("learner", "both")),
}
"""Whose webhooks hear of a learner of Globex in a class of the academy, with which audience, with child organizations or without."""
EVERYBODY = list(itertools.product(NAMES, ("owner", "learner", "both"), (False, True)))


@pytest.mark.parametrize("keys", [*([one] for one in sorted(HEARING)), sorted({*EVERYBODY} - HEARING)], ids=str)
def test_each_organization_hears_what_it_may_see_and_asks_for(keys):
    world = organizations()
    enrollment = enrolled(world[OWNER], world[LEARNER])
    webhooks = {key: listening(world[key[0]], key[1], children=key[2]) for key in keys}

    enrollment.cancel()
    fan_out(timezone.now())

    hearing = [key for key, webhook in webhooks.items() if told_to(webhook)]
    assert hearing == [key for key in keys if key in HEARING]
    # Where no webhook hears of it, nothing is written at all.
    assert Event.objects.count() == len(hearing)


def test_all_hear_at_once_and_a_replay_finds_the_same_webhooks():
    world = organizations()
    enrollment = enrolled(world[OWNER], world[LEARNER])
    webhooks = {key: listening(world[key[0]], key[1], children=key[2]) for key in EVERYBODY}

    enrollment.cancel()
    fan_out(timezone.now())

    assert {key for key, webhook in webhooks.items() if told_to(webhook)} == HEARING
    assert Event.objects.count() == 1

    Delivery.objects.all().delete()
    assert {key for key, webhook in webhooks.items() if missed_by(webhook)} == HEARING


def test_an_event_without_a_learner_comes_to_no_webhook_that_is_for_learners():
    world = organizations()
    training_class = TrainingClassFactory(organization=world[OWNER])
    owner, learner = listening(world[OWNER]), listening(world[OWNER], "learner", children=True)

    training_class.cancel()
    fan_out(timezone.now())

    assert (told_to(owner), told_to(learner), missed_by(learner)) == (["class.cancelled"], [], [])


def test_what_a_learner_owns_comes_to_both_audiences_of_the_learners_organization_once():
    world = organizations()
    assignment = CourseAssignmentFactory(
        course__organization=world[OWNER], user=UserFactory(organization=world[LEARNER])
    )
    webhooks = [listening(world[LEARNER], audience) for audience in ("owner", "learner", "both")]
    above = listening(world["group"], "both", children=True)
    of_the_course = listening(world[OWNER], "both", children=True)

    assignment.start(at=timezone.now())
    fan_out(timezone.now())

    assert [told_to(webhook) for webhook in (*webhooks, above)] == [["course_assignment.started"]] * 4
    assert told_to(of_the_course) == []


def test_a_learner_who_moves_is_told_of_where_they_were_when_it_happened():
    world = organizations()
    enrollment = enrolled(world[OWNER], world[LEARNER])
    before, after = listening(world[LEARNER], "learner"), listening(world["sister"], "learner")
    enrollment.waitlist()
    fan_out(timezone.now())
    assert (len(told_to(before)), told_to(after)) == (1, [])
    first = told_to(before)

    learner = enrollment.user
    learner.organization = world["sister"]
    learner.save()
    enrollment.refresh_from_db()
    enrollment.cancel()
    fan_out(timezone.now())

    assert told_to(before) == [*first, "user.removed"]
    assert told_to(after) == ["user.added", "enrollment.cancelled"]
    # What the learner did elsewhere before is not the new organization's to see, and what they did since not the old one's.
    Delivery.objects.all().delete()
    assert missed_by(before) == [*first, "user.removed"]
    assert missed_by(after) == ["user.added", "enrollment.cancelled"]


def test_a_webhook_that_has_come_to_include_less_replays_less():
    world = organizations()
    enrollment = enrolled(world[OWNER], world[LEARNER])
    webhook = listening(world["headquarters"], children=True, enabled=False)
    enrollment.cancel()
    fan_out(timezone.now())
    assert missed_by(webhook) == ["enrollment.cancelled"]

    webhook.include_children = False
    webhook.save()

    assert missed_by(webhook) == []
