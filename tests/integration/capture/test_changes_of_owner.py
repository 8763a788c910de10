"""The organization behind an object's row is compared itself, whatever a payload shows, on each way to change the row.

The table: where the organization is, times the ways to change it, times the changes of one object in a row.
"""

import json

import pytest
from django.db import connection
from django.utils import timezone

from example_project.training.factories import OrganizationFactory, UserFactory
from tests import uncaptured
from tests.factories import WebhookFactory
from tests.integration.capture.lessons import BARE
from tests.outbox import prune_events
from tests.testapp.models import Guest, Lease, Lesson, Region, Series, Site, Visitor
from tms_webhooks import reconciliation, sources
from tms_webhooks.models import Event, Subscription

OWNERS = {
    "its own column": "tenant",
    "one row away": "site.tenant",
    "two rows away": "site.region.tenant",
    "behind a reverse one-to-one": "site.lease.tenant",
    "one of several": sources.First("site.tenant", "tenant"),
    "made by a method": lambda _source, visitor: visitor.site and visitor.site.region.tenant,
    "a property": "landlord",
}


def _assign(visitor, values):
    for name, value in values.items():
        setattr(visitor, name, value)


def save(visitor, **values):
    visitor.refresh_from_db()
    _assign(visitor, values)
    visitor.save()


def save_named(visitor, **values):
    visitor = type(visitor).objects.get(pk=visitor.pk)
    _assign(visitor, values)
    visitor.save(update_fields=list(values))


def save_deferred(visitor, **values):
    visitor = type(visitor).objects.only("code").get(pk=visitor.pk)
    _assign(visitor, values)
    visitor.save()


def save_ids(visitor, **values):
    visitor = type(visitor).objects.get(pk=visitor.pk)
    ids = {f"{name}_id": getattr(values.pop(name), "pk", None) for name in ("site", "tenant")}
    _assign(visitor, values | ids)
    visitor.save()


def update(visitor, **values):
    type(visitor).objects.filter(pk=visitor.pk).update(**values)


def bulk_update(visitor, **values):
    visitor = type(visitor).objects.get(pk=visitor.pk)
    _assign(visitor, values)
    type(visitor).objects.bulk_update([visitor], list(values))


def upsert(visitor, **values):
    visitor.refresh_from_db()
    _assign(visitor, values)
    Visitor.objects.bulk_create(
        [Visitor(code=visitor.code, first_name=visitor.first_name, site=visitor.site, tenant=visitor.tenant)],
        update_conflicts=True,
        update_fields=list(values),
        unique_fields=None if connection.vendor == "mysql" else ["code"],
    )


def reconcile(visitor, **values):
    uncaptured.update(type(visitor).objects.filter(pk=visitor.pk), **values)
    (source,) = reconciliation.reconciled_sources()
    reconciliation.reconcile(source, now=timezone.now())


WAYS = [save, save_named, save_deferred, save_ids, update, bulk_update, upsert, reconcile]


def _places():
    """Return the values that place a visitor with an organization, whatever the path to it, and that organization."""
    tenant = OrganizationFactory()
    region = Region.objects.create(tenant=tenant)
    site = Site.objects.create(tenant=tenant, region=region)
    Lease.objects.create(site=site, tenant=tenant)
    return {"site": site, "tenant": tenant}


def _another_site(place):
    site = Site.objects.create(tenant=place["tenant"], region=place["site"].region)
    Lease.objects.create(site=site, tenant=place["tenant"])
    return {**place, "site": site}


NOWHERE = {"site": None, "tenant": None}


@pytest.fixture
def steps(recorded):
    """Return the events since the last call, each with its receiver and what it quotes."""

    def read():
        events = recorded()
        prune_events()
        return [
            {
                "type": event["type"],
                "to": event["organization"]["id"],
                "previous": event["previous"],
                "name": event["data"].get("first_name"),
            }
            for event in events
        ]

    return read


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("owner", OWNERS)
@pytest.mark.parametrize(
    "model, is_mapped",
    [
        pytest.param(Visitor, False, id="unmapped"),
        pytest.param(Visitor, True, id="mapped", marks=pytest.mark.slow),
        pytest.param(Guest, False, id="inherited", marks=pytest.mark.slow),
    ],
)
def test_an_object_that_changes_its_organization_leaves_the_old_one_and_quotes_it_nothing(
    model, owner, way, is_mapped, listen, steps
):
    if way is upsert and model is Guest:
        pytest.skip("Django inserts no rows of models that extend others in bulk.")
    declared = {
        "owner": OWNERS[owner],
        "custom": {"site": "site_id"} if is_mapped else {},
        "reconcile": way is reconcile,
    }
    listen(type("Visitors", (sources.UserSource,), declared), model)
    ours, theirs = _places(), _places()
    for place in (ours, theirs):
        WebhookFactory(organization=place["tenant"], events=["user.*"])
    old, new = ours["tenant"].pk, theirs["tenant"].pk

    def updated(to, name, **previous):
        return {"type": "user.updated", "to": to, "name": name, "previous": previous}

    def created(to, name):
        return {"type": "user.created", "to": to, "name": name, "previous": {}}

    def removed(to):
        return {"type": "user.removed", "to": to, "name": None, "previous": {}}

    def added(to, name):
        return {"type": "user.added", "to": to, "name": name, "previous": {}}

    visitor = model.objects.create(code="V-1", first_name="A", **ours)
    other = model.objects.create(code="V-2", first_name="Z", **theirs)
    assert steps() == [created(old, "A"), created(new, "Z")]
    if way is reconcile:
        reconcile(visitor)

    way(visitor, **theirs)
    assert steps() == [removed(old), added(new, "A")]
    way(visitor, **ours, first_name="B")
    assert steps() == [removed(new), added(old, "B")]
    elsewhere = _another_site(ours)
    way(visitor, **elsewhere, first_name="C")
    (event,) = steps()
    event["previous"].pop("custom", None)
    assert event == updated(old, "C", first_name="B")
    way(visitor, **ours)
    assert len(steps()) == is_mapped
    way(visitor, **NOWHERE, first_name="D")
    assert steps() == [removed(old)]
    way(visitor, **theirs, first_name="E")
    assert steps() == [created(new, "E")]
    way(visitor, **theirs)
    way(other, **theirs)
    assert steps() == []


@pytest.fixture
def visitors(listen):
    """The source of visitors with an organization behind the site, which is reconciled."""
    return listen(type("Visitors", (sources.UserSource,), {"owner": "site.tenant", "reconcile": True}), Visitor)


@pytest.fixture
def places():
    """Three places of organizations that receive the events of users."""
    places = [_places() for _number in range(3)]
    for place in places:
        WebhookFactory(organization=place["tenant"], events=["user.*"])
    return places


def recipients(recorded):
    """Return the type and the recipient of each event, and forget them; none quotes an old value."""
    events = recorded()
    prune_events()
    assert not any(event["previous"] for event in events)
    return [(event["type"], event["organization"]["id"]) for event in events]


def test_reconciling_reports_a_captured_move_no_second_time(visitors, places, recorded):
    first, second, third = places
    saved = Visitor.objects.create(code="V-1", first_name="A", **first)
    updated = Visitor.objects.create(code="V-2", first_name="A", **first)
    reconcile(saved)
    save(saved, **second)
    update(updated, **second)
    assert len(recipients(recorded)) == 6

    reconcile(saved)
    assert recipients(recorded) == []
    reconcile(saved, **third)
    assert recipients(recorded) == [
        ("user.removed", second["tenant"].pk),
        ("user.added", third["tenant"].pk),
    ]


@pytest.mark.parametrize("values", [{}, {"first_name": "B"}], ids=["alone", "with the object"])
def test_reconciling_detects_that_the_row_on_the_way_got_another_organization(visitors, places, recorded, values):
    first, second, third = places
    # Otherwise a new name is recorded for it: it may show the visitor, too.
    Subscription.objects.filter(webhook__organization=third["tenant"]).delete()
    visitor = Visitor.objects.create(code="V-1", first_name="A", **first)
    reconcile(visitor)
    prune_events()

    Site.objects.filter(pk=first["site"].pk).update(tenant=second["tenant"])
    reconcile(visitor, **values)

    assert recipients(recorded) == [
        ("user.removed", first["tenant"].pk),
        ("user.added", second["tenant"].pk),
    ]


ONE = sources.Constant(1)


class Attendances(sources.EnrollmentSource):
    owner = "host"
    learner = "learner.organization"
    fields = {"status": sources.Constant(60), "user": None, "class": None, "user.id": ONE, "class.id": ONE}
    custom = {"topic": "title"}


class AttendancesOfSeveral(Attendances):
    owner = "series.organizations"


@pytest.mark.parametrize("source", [Attendances, AttendancesOfSeveral])
@pytest.mark.parametrize("way", [save, save_named, update, bulk_update], ids=lambda way: way.__name__)
def test_a_learner_of_another_organization_leaves_the_first_ones_and_quotes_it_nothing(listen, steps, source, way):
    listen(source, Lesson)
    owner = WebhookFactory(events=["enrollment.*"]).organization
    first, second = (WebhookFactory(events=["enrollment.*"], audience="learner").organization for _number in range(2))
    series = Series.objects.create()
    series.organizations.add(owner)
    lesson = Lesson.objects.create(title="5", host=owner, series=series)

    def learner(organization):
        return UserFactory(organization=organization)

    def events(**values):
        way(lesson, **values)
        found = [
            (event.type.rpartition(".")[2], event.organization_id, event.learner_organization_id, topic)
            for event in Event.objects.order_by("pk")
            for topic in [json.loads(event.body)["previous"].get("custom", {}).get("topic")]
        ]
        prune_events()
        return found

    prune_events()
    assert events(learner=learner(first), title="6") == [
        ("updated", owner.pk, first.pk, "5"),
        ("added", owner.pk, first.pk, None),
    ]
    assert events(learner=learner(first)) == []
    assert events(learner=learner(first), title="7") == [("updated", owner.pk, first.pk, "6")]
    assert events(learner=learner(second), title="8") == [
        ("removed", owner.pk, first.pk, None),
        ("updated", owner.pk, second.pk, "7"),
        ("added", owner.pk, second.pk, None),
    ]
    assert events(learner=None, title="9") == [
        ("removed", owner.pk, second.pk, None),
        ("updated", owner.pk, None, "8"),
    ]


def owners_of(lesson):
    if lesson.role == "unknown":
        raise LookupError("The branch is closed.")
    return [one for one in (lesson.host, lesson.deputy) if one]


class OwnersByFunction(sources.ClassSource):
    owner = [owners_of]
    fields = BARE


def deputy_of(lesson):
    return owners_of(lesson) and lesson.deputy


class OwnersAtPaths(sources.ClassSource):
    owner = ["host", deputy_of]
    fields = BARE


@pytest.mark.parametrize("source", [OwnersByFunction, OwnersAtPaths])
@pytest.mark.parametrize("way", [save, save_named, update, bulk_update], ids=lambda way: way.__name__)
def test_each_of_several_owners_that_python_reads_is_compared(listen, lenient, way, source, recorded):
    first, second, third = (WebhookFactory(events=["class.*"]).organization for _number in range(3))
    listen(source, Lesson)
    lesson = Lesson.objects.create(title="A", host=first, deputy=second)
    prune_events()

    def events(**values):
        way(lesson, **values)
        found = [(one["organization"]["id"], one["type"].removeprefix("class."), one["previous"]) for one in recorded()]
        prune_events()
        return found

    assert events(deputy=third) == [(second.pk, "removed", {}), (third.pk, "added", {})]
    assert events(deputy=second, title="B") == [
        (first.pk, "updated", {"name": "A"}),
        (third.pk, "removed", {}),
        (second.pk, "added", {}),
    ]
    assert events(role="unknown", title="C") == []
    # It was kept, and is new for each of its owners.
    assert events(role="learner", title="D") == [(first.pk, "scheduled", {}), (second.pk, "scheduled", {})]
