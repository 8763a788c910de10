"""Bulk operations are captured whichever manager or queryset they are called on; Django's own ones, too."""

import pytest
from django.db import models

from example_project.training.factories import ClassroomFactory
from example_project.training.models import TrainingClass
from tests.integration.capture.workshops import WorkshopSource
from tests.testapp.models import Workshop


class Archive(models.QuerySet):
    """Rows that are kept when they are deleted, and whose updates set another field."""

    def delete(self):
        return self.update(state="called off")

    def update(self, **values):
        return super().update(seats=0, **values)


@pytest.fixture
def workshop(organization, listen):
    listen(WorkshopSource, Workshop)
    return Workshop.objects.create(organization=organization, title="Pair programming")


def types_of(recorded):
    return [event["type"] for event in recorded()]


def test_five_methods_of_querysets_and_save_base_are_replaced():
    replaced = {name for name, method in vars(models.QuerySet).items() if _is_of_this_app(method)}

    assert replaced == {"update", "bulk_update", "bulk_create", "_insert", "delete"}
    assert _is_of_this_app(models.Model.save_base)
    assert models.Model.save_base.alters_data
    assert models.QuerySet.delete.queryset_only, "Django's attributes of the methods stay"


def _is_of_this_app(method):
    code = getattr(method, "__code__", None)
    return code is not None and "tms_webhooks" in code.co_filename


def test_what_django_sets_to_null_is_captured_without_a_manager_of_ours(training_class, recorded):
    room = ClassroomFactory(organization=training_class.organization)
    TrainingClass.objects.update(primary_classroom=room)
    room.delete()

    _given, taken = recorded()
    assert (taken["changed"], taken["data"]["classroom"]["id"]) == (["classroom.id"], None)


def test_a_hosts_own_methods_keep_their_meaning(workshop, recorded):
    before = len(recorded())

    Archive(Workshop).filter(pk=workshop.pk).delete()

    events = recorded()[before:]
    assert "workshop.cancelled" in types_of(recorded)
    assert {tuple(event["changed"]) for event in events} == {("state", "seats")}
    assert "workshop.deleted" not in types_of(recorded)
    assert Workshop.objects.get().state == "called off"
