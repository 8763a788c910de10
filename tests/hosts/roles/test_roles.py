"""Only learners are enrolled: to become one is the first event of an enrollment, to be one no more is the last."""

from __future__ import annotations

import pytest

from tests.hosts.roles.models import Participation
from tests.hosts.routes import CHANGES, CREATIONS, DELETIONS
from tests.outbox import prune_events


@pytest.fixture
def learner(meetup, member):
    learner = Participation.objects.create(meetup=meetup, member=member)
    prune_events()
    return learner


@pytest.fixture
def trainer(meetup, member):
    return Participation.objects.create(meetup=meetup, member=member, role="trainer")


@pytest.mark.parametrize("create", CREATIONS.values(), ids=CREATIONS)
@pytest.mark.parametrize(("role", "types"), [("learner", ["enrollment.requested"]), ("trainer", [])])
def test_a_new_learner_is_one_event_and_a_new_trainer_none(create, role, types, meetup, member, recorded):
    create(Participation, meetup=meetup, member=member, role=role)

    assert [event["type"] for event in recorded()] == types


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_a_trainer_is_no_event(change, trainer, recorded):
    change(trainer, state="enrolled")

    assert recorded() == []


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_trainer_who_becomes_a_learner_is_a_new_enrollment(change, trainer, recorded):
    change(trainer, role="learner")

    (event,) = recorded()
    assert (event["type"], event["previous"], event["sequence"]) == ("enrollment.requested", {}, 1)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_learner_who_becomes_a_trainer_is_no_longer_enrolled(change, learner, recorded):
    change(learner, role="trainer")

    (event,) = recorded()
    assert (event["type"], event["data"]["id"]) == ("enrollment.deleted", str(learner.pk))
    assert (event["data"]["user"]["first_name"], event["data"]["class"]["name"]) == ("Alice", "Azure, mornings")


@pytest.mark.parametrize("delete", DELETIONS.values(), ids=DELETIONS)
def test_a_learner_who_is_deleted_is_one_event(delete, learner, recorded):
    delete(learner)

    assert [event["type"] for event in recorded()] == ["enrollment.deleted"]


@pytest.mark.parametrize("delete", DELETIONS.values(), ids=DELETIONS)
def test_a_trainer_who_is_deleted_is_no_event(delete, trainer, recorded):
    delete(trainer)

    assert recorded() == []


def test_a_class_that_is_deleted_ends_the_enrollments_of_its_learners_only(meetup, learner, trainer, recorded):
    prune_events()

    meetup.delete()

    assert sorted(event["type"] for event in recorded()) == ["class.deleted", "enrollment.deleted"]
