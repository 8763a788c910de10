"""A title in a second table is the class's own: saved after the row it is part of its event, changed alone it is one."""

import pytest

from tests.hosts.models import Member
from tests.hosts.routes import CHANGES, DELETIONS
from tests.hosts.translated.models import Attendance, Lecture
from tests.outbox import prune_events


def test_a_new_class_and_its_titles_are_one_event(tenant, topic, recorded):
    Lecture.objects.create(tenant=tenant, topic=topic, titles={"de": "Azurblau", "en": "Azure"})

    (event,) = recorded()
    assert (event["type"], event["data"]["name"]) == ("class.scheduled", "Azure")
    assert (event["changed"], event["previous"]) == ([], {})


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_title_that_is_changed_alone_is_one_event(change, lecture, recorded):
    change(lecture.translations.get(language="en"), title="Renamed")

    (event,) = recorded()
    assert (event["type"], event["changed"], event["previous"]) == ("class.updated", ["name"], {"name": "Azure"})
    assert event["data"]["name"] == "Renamed"


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_title_in_a_language_that_is_not_sent_is_no_event(change, lecture, recorded):
    change(lecture.translations.get(language="de"), title="Himmelblau")

    assert recorded() == []


@pytest.mark.parametrize("delete", DELETIONS.values(), ids=DELETIONS)
def test_a_title_that_is_deleted_is_one_event(delete, lecture, recorded):
    delete(lecture.translations.get(language="en"))

    (event,) = recorded()
    assert (event["type"], event["previous"], event["data"]["name"]) == ("class.updated", {"name": "Azure"}, None)


def test_the_title_of_its_class_is_in_an_enrollment(tenant, topic, recorded):
    lecture = Lecture.objects.create(tenant=tenant, topic=topic, titles={"en": "Azure"})
    member = Member.objects.create(email="alice@example.com", given_name="Alice", tenant=tenant)
    prune_events()

    attendance = Attendance.objects.create(lecture=lecture, member=member)
    lecture.translations.update(title="Renamed")
    attendance.state = "enrolled"
    attendance.save()

    requested, updated, enrolled = recorded()
    assert (requested["type"], requested["data"]["class"]["name"]) == ("enrollment.requested", "Azure")
    assert updated["type"] == "class.updated"
    assert (enrolled["type"], enrolled["data"]["class"]["name"], enrolled["changed"]) == (
        "enrollment.enrolled",
        "Renamed",
        ["status"],
    )


def test_a_title_on_the_page_of_its_class_is_part_of_the_event(lecture, recorded):
    titles = list(lecture.translations.order_by("pk").values_list("language", flat=True))

    CHANGES["admin"](lecture, state="cancelled", **{f"translations-{titles.index('en')}-title": "Renamed"})

    (event,) = recorded()
    assert (event["type"], event["changed"], event["data"]["name"]) == (
        "class.cancelled",
        ["name", "status"],
        "Renamed",
    )
    assert event["previous"]["name"] == "Azure"
