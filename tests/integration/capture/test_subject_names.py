"""An event keeps the names of its learner and its object, to be found by, for as long as its payload is kept."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from example_project.training.factories import (
    ClassEnrollmentFactory,
    OrganizationFactory,
    TrainingClassFactory,
    UserFactory,
)
from tests.integration.delivery.rows import subscribed
from tests.outbox import prune_events
from tms_webhooks.models import Event
from tms_webhooks.models.event import LONGEST_SUBJECT_NAME, searchable
from tms_webhooks.outbox.event_row import label
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.outbox.prune import prune


def name_of(**data):
    event = Event()
    label(event, data)
    return event.subject_name


@pytest.mark.parametrize(
    "data, name",
    [
        ({"name": "Azure basics"}, "Azure basics"),
        ({"first_name": "Anna", "last_name": "Larsen", "user_name": "al"}, "Anna Larsen"),
        ({"first_name": None, "last_name": None, "user_name": "al"}, "al"),
        ({"user": {"first_name": "Anna", "last_name": "Larsen"}, "class": {"name": "Azure"}}, "Anna Larsen · Azure"),
        ({"user": {"first_name": None, "last_name": None}, "course": {"name": "Azure"}}, "Azure"),
        ({"user": None, "class": None, "name": {"en": "Azure"}}, ""),
        ({"id": 7, "external_id": "E-7"}, ""),
        ({"name": " Azure\n\x00basics \ud800"}, "Azure basics "),
    ],
)
def test_the_name_is_that_of_the_learner_and_of_the_object(data, name):
    assert name_of(**data) == name


def test_a_long_name_is_cut_to_the_column():
    assert name_of(name="x" * 500) == "x" * (LONGEST_SUBJECT_NAME - 1) + "…"
    assert name_of(name="x" * LONGEST_SUBJECT_NAME) == "x" * LONGEST_SUBJECT_NAME


def test_a_saved_object_gives_its_names_to_its_event():
    organization = OrganizationFactory()
    subscribed(organization=organization)
    ClassEnrollmentFactory(
        training_class=TrainingClassFactory(organization=organization, name="Azure basics"),
        user=UserFactory(organization=organization, first_name="Anna", last_name="Larsen"),
    )

    assert Event.objects.get(subject_type="enrollment").subject_name == "Anna Larsen · Azure basics"
    assert Event.objects.get(type="user.created").subject_name == "Anna Larsen"
    assert set(Event.objects.named("aRSen").values_list("subject_type", flat=True)) == {"user", "enrollment"}


@pytest.mark.parametrize(
    "name, searched",
    [
        ("Azure Basics", "azure basics"),
        ("José Núñez · Gestión Ágil", "jose nunez · gestion agil"),
        ("Jose\u0301 Dvořák", "jose dvorak"),
        ("Łukasz Søren Đorđe IŞIK", "lukasz soren dorde isik"),
        ("Große STRASSE ẞ", "grosse strasse ss"),
        ("ﬁnance Ⅷ", "finance viii"),
        ("한국 日本が", "한국 日本が"),
        ("한" * 100, "한" * 100),
        ("ﷺ" * LONGEST_SUBJECT_NAME, None),
    ],
)
def test_case_and_accents_do_not_matter_in_a_search(name, searched):
    assert searched in (None, searchable(name))
    event = Event(searched_name=searchable(name))
    event.full_clean(exclude={field.name for field in Event._meta.fields} - {"searched_name"})
    assert searchable(event.searched_name) == event.searched_name


def test_an_update_that_is_folded_in_renames_the_event():
    organization = OrganizationFactory()
    subscribed(organization=organization)
    training_class = TrainingClassFactory(organization=organization, name="Azure basics")
    prune_events()

    with transaction.atomic():
        training_class.name = "Azure"
        training_class.save()
        training_class.name = "Azure advanced"
        training_class.save()

    assert list(Event.objects.values_list("subject_name", "searched_name")) == [("Azure advanced", "azure advanced")]


def test_the_name_is_blanked_with_the_payload():
    organization = OrganizationFactory()
    TrainingClassFactory(organization=organization, name="Before the webhook")
    subscribed(organization=organization, events=["voucher.*", "class.*"])
    TrainingClassFactory(organization=organization, name="Azure basics")
    now = timezone.now()
    fan_out(now)
    event = Event.objects.get()
    event.deliveries.update(status="delivered", due_at=None, finished_at=now)

    prune(now + timedelta(days=31))

    event.refresh_from_db()
    assert (event.body, event.subject_name, event.searched_name) == ("", "", "")
