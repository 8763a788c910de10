"""Bulk changes from within a save: each event begins where the last one ended."""

import pytest
from django.db.models import F
from django.db.models.signals import post_save, pre_save

from tests.registration import disconnect
from tests.testapp.models import Workshop
from tms_webhooks.capture import receivers
from tms_webhooks.sources.registry import sources_of


@pytest.mark.parametrize("signal", [pre_save, post_save])
def test_a_receiver_that_updates_the_object_is_recorded_in_its_turn(workshops, recorded, signal):
    first, other = workshops[0], workshops[1]

    def count(instance, **_kwargs):
        Workshop.objects.filter(pk__in=[instance.pk, other.pk]).update(seats=F("seats") + 10)

    signal.connect(count, sender=Workshop)
    try:
        first.title = "Renamed"
        first.save(update_fields=["title"])
    finally:
        signal.disconnect(count, sender=Workshop)

    own = [event for event in recorded() if event["data"]["id"] == first.pk]
    previous = {}
    for event in own:
        assert not previous.keys() & event["previous"].keys(), "recorded twice"
        previous |= event["previous"]
    assert previous == {"title": "W0", "seats": 0}
    assert (own[-1]["data"]["title"], own[-1]["data"]["seats"]) == ("Renamed", 10)
    assert [event["sequence"] for event in own] == list(range(2, 2 + len(own)))
    assert [event["previous"] for event in recorded() if event["data"]["id"] == other.pk] == [{"seats": 1}]


@pytest.mark.parametrize("hosts_first", [True, False])
def test_a_receiver_that_deletes_the_object_by_a_queryset_is_recorded_until_its_end(workshops, recorded, hosts_first):
    def delete(instance, **_kwargs):
        Workshop.objects.filter(pk=instance.pk).delete()

    (source,) = sources_of(Workshop)
    if hosts_first:
        disconnect(source)
    post_save.connect(delete, sender=Workshop)
    receivers.connect(source)
    try:
        workshops[0].title = "Renamed"
        workshops[0].save()
    finally:
        post_save.disconnect(delete, sender=Workshop)

    assert [(event["type"], event["data"]["title"]) for event in recorded()] == [
        ("workshop.changed", "Renamed"),
        ("workshop.deleted", "Renamed"),
    ]
