"""Connecting a source to its model, and letting go of it."""

import pytest
from django.db.models import Model
from django.db.models.signals import pre_delete

from example_project.training.factories import OrganizationFactory
from tests.factories import WebhookFactory
from tests.integration.capture.workshops import WorkshopSource
from tests.outbox import number_events
from tests.registration import disconnect, temporarily
from tests.testapp.models import OnsiteWorkshop, PastWorkshop, Workshop
from tms_webhooks.capture import receivers, replaced_methods
from tms_webhooks.models import Event

FAMILY = (Workshop, PastWorkshop, OnsiteWorkshop)


def is_captured(model):
    """Return whether saves, bulk operations and deletions of a model are captured."""
    answers = {pre_delete.has_listeners(model), model in replaced_methods.captured_models}
    assert len(answers) == 1
    return answers.pop()


@pytest.fixture
def source():
    with temporarily(WorkshopSource, Workshop) as source:
        yield source
        disconnect(source)


@pytest.mark.parametrize("model", FAMILY)
def test_a_model_and_all_that_extend_it_are_listened_to(source, model):
    assert not is_captured(model)

    receivers.connect(source)

    assert is_captured(model)


def test_a_save_base_of_the_hosts_own_is_called_and_stays(listen, organization, monkeypatch, recorded):
    calls = []

    def save_base(self, *args, **kwargs):
        calls.append(kwargs)
        return Model.save_base(self, *args, **kwargs)

    monkeypatch.setattr(Workshop, "save_base", save_base, raising=False)
    listen(WorkshopSource, Workshop)
    Workshop.objects.create(organization=organization, title="Pair programming")

    assert (len(calls), vars(Workshop)["save_base"]) == (1, save_base)
    assert [event["type"] for event in recorded()] == ["workshop.created"]


def test_arguments_reach_the_models_own_save_base(listen, organization):
    listen(WorkshopSource, Workshop)
    workshop = Workshop.objects.create(organization=organization, title="Pair programming")
    workshop.title = "Mob programming"

    workshop.save_base(
        False, False, True, "default", ["title"]
    )  # raw, force_insert, force_update, using, update_fields

    number_events()
    assert set(Event.objects.values_list("type", "sequence")) == {("workshop.created", 1), ("workshop.changed", 2)}


def test_a_save_past_the_models_own_save_base_is_recorded_too(listen):
    workshop = Workshop.objects.create(organization=OrganizationFactory(), title="Pair programming")
    WebhookFactory(organization=workshop.organization, events=["*"])
    listen(WorkshopSource, Workshop)
    workshop.title = "Mob programming"

    Model.save_base(workshop)

    assert Event.objects.get().type == "workshop.changed"


def test_two_sources_of_one_model_each_record_their_own(listen, organization, recorded):
    class Loud(WorkshopSource):
        fields = {"title": "headline_in_capitals"}

    Workshop.headline_in_capitals = property(lambda self: self.title.upper())
    try:
        listen(WorkshopSource, Workshop)
        listen(Loud, Workshop)
        Workshop.objects.create(organization=organization, title="Pair programming")
    finally:
        del Workshop.headline_in_capitals

    assert [(event["data"]["title"], event["sequence"]) for event in recorded()] == [
        ("Pair programming", 1),
        ("PAIR PROGRAMMING", 2),
    ]
