"""The name of an organization may be a property, a translation, the first of several paths, or what a function returns.

It is the same for sources with one owner and with several, however an object leads to them.
"""

import pytest

from example_project.training.factories import CompanyFactory, OrganizationFactory
from example_project.training.models import Organization
from tests.factories import WebhookFactory
from tests.integration.capture.lessons import BARE, Lessons, LessonsOfSeries, OwnedLessons
from tests.testapp.models import Lesson, Series
from tms_webhooks import sources
from tms_webhooks.outbox import emit
from tms_webhooks.outbox.owners import ObjectScope
from tms_webhooks.sources.registry import sources_of
from tms_webhooks.sources.rows import read_whole


class ByFirst(sources.ClassSource):
    owner = sources.First("deputy", "host")
    fields = BARE


class ByMethod(Lessons):
    def owner(self, lesson):
        return lesson.host


class BySeveralFunctions(sources.ClassSource):
    owner = [lambda lesson: lesson.owners.all(), lambda lesson: lesson.owners.first()]
    fields = BARE


SOURCES = [Lessons, ByFirst, ByMethod, OwnedLessons, LessonsOfSeries, BySeveralFunctions]

NAMES = {
    "column": ("name", lambda organization: organization.name),
    "property": ("label", lambda organization: organization.label),
    "First": (sources.First("parent.name", "name"), lambda organization: organization.name),
    "function": (lambda organization: organization.name.upper(), lambda organization: organization.name.upper()),
}


@pytest.fixture(params=NAMES.values(), ids=NAMES)
def name(request, settings_of_app, monkeypatch):
    """Name organizations in one of the ways; return the function that gives the expected name."""
    monkeypatch.setattr(Organization, "label", property(lambda self: f"<{self.name}>"), raising=False)
    declared, expected = request.param
    settings_of_app(ORGANIZATION_FIELDS={"name": declared})
    return expected


@pytest.fixture
def organization(organization):
    CompanyFactory(organization=organization, name="Not this one", description="en")
    return organization


@pytest.fixture
def lesson(organization):
    series = Series.objects.create()
    series.organizations.set([organization])
    lesson = Lesson.objects.create(title="Algebra", host=organization, series=series)
    lesson.owners.set([organization])
    return lesson


@pytest.mark.parametrize("source", SOURCES)
def test_it_is_in_each_event_of_each_source(listen, lesson, organization, recorded, name, source):
    listen(source, Lesson)

    lesson.title = "Geometry"
    lesson.save()
    Lesson.objects.update(title="Logic")
    lesson.delete()

    events = recorded()
    assert [event["type"] for event in events] == ["class.updated", "class.updated", "class.deleted"]
    assert {event["data"]["organization"]["name"] for event in events} == {name(organization)}
    assert {tuple(event["changed"]) for event in events} == {("name",), ()}


@pytest.mark.parametrize("source", SOURCES)
def test_it_is_in_a_snapshot(listen, lesson, organization, name, source):
    listen(source, Lesson)
    (registered,) = sources_of(Lesson)
    (webhook,) = organization.webhooks.all()

    values = ObjectScope(webhook.scope).canonical(registered, read_whole(registered, lesson.pk, using="default"))

    assert values["organization.name"] == name(organization)


def test_an_event_of_a_hosts_own_has_the_name_of_the_organization_that_it_is_for(listen, lesson, organization, name):
    listen(OwnedLessons, Lesson)

    event = emit("class.updated", lesson, organization=organization)

    assert f'"name":"{name(organization)}"' in event.body


def test_of_two_owners_each_gets_its_own(listen, lesson, organization, recorded, name):
    other = OrganizationFactory(name="Second Inc")
    WebhookFactory(organization=other, events=["*"])
    lesson.owners.add(other)
    listen(OwnedLessons, Lesson)

    Lesson.objects.update(title="Logic")

    found = {event["organization"]["id"]: event["data"]["organization"]["name"] for event in recorded()}
    assert found == {one.pk: name(one) for one in (organization, other)}


def test_the_values_of_the_first_owner_are_never_those_of_the_second(listen, lesson, recorded):
    deputy = OrganizationFactory(external_id=None)
    WebhookFactory(organization=deputy, events=["*"])
    lesson.deputy = deputy
    lesson.save()
    listen(ByFirst, Lesson)

    Lesson.objects.update(title="Logic")

    (event,) = recorded()
    assert event["organization"] == {"id": deputy.pk, "external_id": None}


@pytest.mark.usefixtures("lenient")
def test_in_production_a_name_that_can_not_be_read_is_null(listen, lesson, recorded, settings_of_app, caplog):
    def broken(_organization):
        raise RuntimeError

    settings_of_app(ORGANIZATION_FIELDS={"name": broken})
    listen(OwnedLessons, Lesson)

    lesson.title = "Geometry"
    lesson.save()

    assert recorded()[0]["data"]["organization"]["name"] is None
    assert "A value of the organizations of testapp.Lesson can't be read." in caplog.text
