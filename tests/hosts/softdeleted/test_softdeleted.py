"""A class that is hidden emits the event of a deletion; shown again, it emits the event of a new class."""

import pytest
from django.db import models
from django.utils import timezone

from tests.hosts.routes import CHANGES
from tests.hosts.softdeleted.models import Clinic
from tests.outbox import prune_events
from tms_webhooks.sources.registry import sources_of
from tms_webhooks.sources.rows import read_rows, rows_of


@pytest.fixture
def hidden(clinic):
    clinic.delete()
    prune_events()
    return clinic


SHOW = {name: change for name, change in CHANGES.items() if name in {"save", "update_fields"}} | {
    "restore": lambda clinic, **_values: clinic.restore(),
    "update": lambda clinic, **values: Clinic.all_objects.update(**values),
    "bulk_update": lambda clinic, **values: (
        setattr(clinic, "deleted_at", None),
        Clinic.all_objects.bulk_update([clinic], ["deleted_at"]),
    ),
}


@pytest.mark.parametrize("show", SHOW.values(), ids=SHOW)
def test_a_class_that_is_shown_again_is_a_new_one(show, hidden, recorded):
    show(hidden, deleted_at=None)

    (event,) = recorded()
    assert (event["type"], event["data"]["id"]) == ("class.scheduled", str(hidden.pk))
    assert (event["changed"], event["previous"], event["sequence"]) == ([], {}, 3)


def test_a_change_of_a_hidden_class_is_no_event(hidden, recorded):
    hidden.title = "Renamed"
    hidden.save()
    Clinic.all_objects.update(state="cancelled")
    models.QuerySet(Clinic).delete()

    assert not Clinic.all_objects.exists()
    assert recorded() == []


def test_a_class_that_is_hidden_and_changed_at_once_is_deleted_with_its_last_values(clinic, recorded):
    clinic.title, clinic.state, clinic.deleted_at = "Renamed", "cancelled", timezone.now()
    clinic.save()

    (event,) = recorded()
    assert (event["type"], event["data"]["name"], event["data"]["status"]["code"]) == ("class.deleted", "Azure", 0)


def test_a_snapshot_leaves_hidden_classes_out(clinic, tenant, topic):
    Clinic.objects.create(tenant=tenant, topic=topic, title="Python").delete()
    (source,) = sources_of(Clinic)

    assert [key for key, _values in read_rows(source, rows_of(source))] == [clinic.pk]
