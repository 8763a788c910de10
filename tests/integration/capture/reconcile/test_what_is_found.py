"""Out-of-band changes are recorded once, with their old values; changes that were recorded are not recorded again."""

import pytest
from django.db import transaction

from example_project.training.factories import (
    UserAchievementFactory,
    UserFactory,
)
from example_project.training.models import TrainingClass, UserAchievement
from example_project.training.webhooks import Achievements, TrainingClasses
from tests.factories import WebhookFactory
from tests.integration.capture.reconcile.conftest import unseen, unseen_insert
from tests.testapp.models import Workshop
from tms_webhooks.models import Event, SourceState
from tms_webhooks.reconciliation import ReconcileResult

FIVE = {"seen": 5}


def types(recorded):
    return [event["type"] for event in recorded()]


def test_the_first_pass_records_the_states_and_no_events(source, organization, reconcile):
    for seats in range(3):
        unseen_insert(Workshop(organization=organization, title="Known", seats=seats))

    assert reconcile(source) == ReconcileResult(seen=3, noted=3)
    assert reconcile(source) == ReconcileResult(seen=3)
    assert not Event.objects.exists()


def test_a_changed_row_is_recorded_with_its_old_values(source, workshops, reconcile, recorded):
    unseen("UPDATE testapp_workshop SET seats = 99, state = 'called off' WHERE seats = 3")

    assert reconcile(source) == ReconcileResult(**FIVE, changed=1, events=2)
    changed, cancelled = recorded()
    assert (changed["type"], cancelled["type"]) == ("workshop.changed", "workshop.cancelled")
    assert changed["actor"] == {"kind": "reconcile", "id": None}
    assert changed["changed"] == ["state", "seats"]
    assert changed["previous"] == {"state": {"code": 0, "name": "Scheduled"}, "seats": 3}
    assert (changed["data"]["seats"], changed["data"]["title"]) == (99, "W3")
    assert reconcile(source) == ReconcileResult(**FIVE)


def test_a_new_row_is_recorded(source, workshops, organization, reconcile, recorded):
    unseen_insert(Workshop(organization=organization, title="Restored", seats=7))

    assert reconcile(source) == ReconcileResult(seen=6, created=1, events=1)
    (event,) = recorded()
    assert (event["type"], event["data"]["title"], event["changed"]) == ("workshop.created", "Restored", [])


def test_a_row_that_is_gone_is_recorded_with_its_last_state(source, workshops, organization, reconcile, recorded):
    unseen("DELETE FROM testapp_workshop WHERE seats = 2")

    assert reconcile(source) == ReconcileResult(seen=4, deleted=1, events=1)
    (event,) = recorded()
    assert (event["type"], event["data"]["id"]) == ("workshop.deleted", workshops[2].pk)
    assert (event["data"]["title"], event["data"]["seats"]) == ("W2", 2)
    assert event["organization"]["id"] == organization.pk
    assert SourceState.objects.count() == 4


CAPTURED = {
    "save": lambda workshop: (setattr(workshop, "seats", 50), workshop.save()),
    "save again": lambda workshop: [(setattr(workshop, "seats", seats), workshop.save()) for seats in (50, 51)],
    "update": lambda workshop: Workshop.objects.filter(pk=workshop.pk).update(seats=50),
    "bulk_update": lambda workshop: (
        setattr(workshop, "seats", 50),
        Workshop.objects.bulk_update([workshop], ["seats"]),
    ),
    "create": lambda workshop: Workshop.objects.create(organization=workshop.organization, title="New"),
    "bulk_create": lambda workshop: Workshop.objects.bulk_create(
        [Workshop(organization=workshop.organization, title="New")]
    ),
    "delete": lambda workshop: workshop.delete(),
    "delete many": lambda workshop: Workshop.objects.filter(pk=workshop.pk).delete(),
    "status": lambda workshop: (setattr(workshop, "state", "called off"), workshop.save(update_fields=["state"])),
    "come and gone": lambda workshop: Workshop.objects.create(organization=workshop.organization, title="N").delete(),
}


@pytest.mark.parametrize("change", CAPTURED.values(), ids=CAPTURED)
def test_a_captured_change_is_not_recorded_again(source, workshops, reconcile, change):
    change(workshops[1])
    events = Event.objects.count()
    assert events

    found = reconcile(source)

    assert (found.created, found.changed, found.deleted, found.events) == (0, 0, 0, 0)
    assert Event.objects.count() == events


@pytest.mark.parametrize("change", CAPTURED.values(), ids=CAPTURED)
def test_what_was_seen_while_nobody_subscribed_is_not_recorded_to_those_who_subscribe_later(
    source, workshops, organization, reconcile, change
):
    organization.webhooks.all().delete()
    change(workshops[1])
    WebhookFactory(organization=organization, events=["*"])

    found = reconcile(source)

    assert (found.created, found.changed, found.deleted, found.events) == (0, 0, 0, 0)
    assert not Event.objects.exists()


@pytest.mark.parametrize("how", ["save", "update"])
def test_an_out_of_band_change_before_a_captured_one_is_recorded_and_the_other_not_again(
    source, workshops, reconcile, recorded, how
):
    unseen("UPDATE testapp_workshop SET title = 'Renamed' WHERE seats = 4")
    if how == "save":
        workshop = Workshop.objects.get(seats=4)
        workshop.state = "called off"
        workshop.save()
    else:
        Workshop.objects.filter(seats=4).update(state="called off")
    seen = types(recorded)

    assert reconcile(source) == ReconcileResult(**FIVE, changed=1, events=1)
    assert seen == ["workshop.changed", "workshop.cancelled"]
    assert types(recorded) == [*seen, "workshop.changed"]
    assert recorded()[-1]["previous"] == {"title": "W4"}


def test_an_out_of_band_change_that_is_undone_is_not_found(source, workshops, reconcile):
    unseen("UPDATE testapp_workshop SET seats = seats + 1")
    unseen("UPDATE testapp_workshop SET seats = seats - 1")

    assert reconcile(source) == ReconcileResult(**FIVE)


def test_a_change_that_was_rolled_back_leaves_the_recorded_state(source, workshops, reconcile):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        workshops[0].title = "Never"
        workshops[0].save()
        raise ZeroDivisionError
    with transaction.atomic(), pytest.raises(ZeroDivisionError), transaction.atomic():
        Workshop.objects.update(title="Never")
        raise ZeroDivisionError

    assert reconcile(source) == ReconcileResult(**FIVE)
    assert not Event.objects.exists()


def test_time_stamps_and_unmapped_fields_are_no_change(source, workshops, reconcile):
    unseen("UPDATE testapp_workshop SET updated_at = '2001-01-01 00:00:00'")

    assert reconcile(source) == ReconcileResult(**FIVE)


def test_another_name_of_the_organization_is_no_change_of_what_it_owns(source, workshops, organization, reconcile):
    organization.name, organization.external_id = "Renamed", "OTHER"
    organization.save()

    assert reconcile(source) == ReconcileResult(**FIVE)
    assert reconcile(source) == ReconcileResult(**FIVE)


def test_without_a_subscription_a_change_is_found_and_no_event_is_recorded(source, workshops, organization, reconcile):
    organization.webhooks.all().delete()
    unseen("UPDATE testapp_workshop SET seats = 99")

    assert reconcile(source) == ReconcileResult(**FIVE, changed=5)
    assert not Event.objects.exists()


# What does not stand in the object's own row


@pytest.fixture
def classes(monkeypatch, reconcile, training_class):
    """The example project's own source, reconciled for a while."""
    from tms_webhooks.sources.registry import sources_of

    monkeypatch.setattr(TrainingClasses, "reconcile", True)
    (source,) = sources_of(TrainingClass)
    reconcile(source)
    return source


def test_an_out_of_band_change_of_a_many_to_many_field_is_recorded(classes, training_class, reconcile, recorded):
    bob = UserFactory()
    unseen(
        "INSERT INTO training_trainingclass_instructors (trainingclass_id, user_id) VALUES (%s, %s)",
        training_class.pk,
        bob.pk,
    )

    assert reconcile(classes).changed == 1
    (event,) = recorded()
    assert (event["type"], event["changed"]) == ("class.updated", ["instructor_ids"])
    assert (event["previous"], event["data"]["instructor_ids"]) == ({"instructor_ids": []}, [bob.pk])


def test_a_captured_change_of_one_is_not_recorded_again(classes, training_class, reconcile, recorded):
    training_class.instructors.add(UserFactory())
    training_class.cancel()

    assert reconcile(classes).changed == 0
    assert types(recorded) == ["class.updated", "class.cancelled"]


def test_the_event_of_a_row_that_is_gone_belongs_to_the_learners_organization(monkeypatch, reconcile, recorded):
    from tms_webhooks.sources.registry import sources_of

    monkeypatch.setattr(Achievements, "reconcile", True)
    award = UserAchievementFactory()
    (source,) = sources_of(UserAchievement)
    reconcile(source)
    WebhookFactory(organization=award.user.organization, events=["achievement.*"])
    unseen("DELETE FROM training_userachievement")

    assert reconcile(source).deleted == 1
    (event,) = recorded()
    assert (event["type"], event["data"]["id"]) == ("achievement.revoked", award.pk)
    assert event["data"]["user"]["id"] == award.user_id
    assert event["organization"]["id"] == award.user.organization_id
