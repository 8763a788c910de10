"""A change of a field of the host's own is one `updated` event that names it, however it is written."""

from contextlib import ExitStack

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from example_project.training.factories import (
    DepartmentFactory,
    UserFactory,
)
from example_project.training.models import User
from tests.catalogue import temporary_type
from tests.integration.capture.conftest import listening
from tests.integration.capture.talks import EVENT_TYPES as TALK_EVENTS
from tests.integration.capture.talks import TALK, TalkSource
from tests.integration.capture.workshops import WorkshopSource
from tests.outbox import prune_events
from tests.testapp.models import Plaque, Talk, Workshop
from tms_webhooks.catalogue import EventType
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.outbox import emit
from tms_webhooks.sources import AnyChange, AnyOtherChange, Computed, Custom, FieldChanged, Filled, UserSource


@pytest.fixture
def sales(organization):
    return DepartmentFactory(organization=organization, name="Sales")


@pytest.fixture
def support(organization):
    return DepartmentFactory(organization=organization, name="Support")


@pytest.fixture
def user(organization, sales):
    user = UserFactory(organization=organization, department=sales, cost_center="4711")
    prune_events()
    return user


def test_an_empty_foreign_key_is_null_before_and_after(user, sales, recorded):
    user.department = None
    user.save()
    User.objects.update(department=sales)

    left, joined = recorded()
    assert (left["data"]["custom"]["department"], left["previous"]["custom"]) == (None, {"department": "Sales"})
    assert (joined["data"]["custom"]["department"], joined["previous"]["custom"]) == ("Sales", {"department": None})


def test_a_deleted_object_behind_the_key_leaves_the_old_value(user, sales, recorded):
    sales.delete()

    (event,) = recorded()
    assert event["changed"] == ["custom.department"]
    assert event["data"]["custom"]["department"] is None
    assert event["previous"]["custom"]["department"] == "Sales"


def test_many_rows_need_one_query_for_the_old_values(organization, sales, support, recorded):
    UserFactory.create_batch(3, organization=organization, department=sales)
    UserFactory.create_batch(3, organization=organization, department=support)
    prune_events()
    third = DepartmentFactory(organization=organization, name="Finance")

    with CaptureQueriesContext(connection) as queries:
        User.objects.filter(organization=organization).update(department=third)

    assert sorted(event["previous"]["custom"]["department"] for event in recorded()) == ["Sales"] * 3 + ["Support"] * 3
    read = [query["sql"] for query in queries if "training_department" in query["sql"] and "JOIN" not in query["sql"]]
    assert len(read) == 1


def test_a_save_that_changes_no_foreign_key_reads_nothing_more(user, recorded):
    user.city = "Utrecht"
    with CaptureQueriesContext(connection) as queries:
        user.save()

    assert not [one for one in queries if 'FROM "training_department"' in one["sql"]]
    (event,) = recorded()
    assert (event["changed"], event["previous"]) == (["city"], {"city": event["previous"]["city"]})


def test_creation_deletion_and_emit_have_the_values(organization, sales, recorded):
    user = UserFactory(organization=organization, department=sales, cost_center="4711")
    emit("user.deactivated", user)
    user.delete()

    assert [event["type"] for event in recorded()] == ["user.created", "user.deactivated", "user.deleted"]
    assert [event["data"]["custom"] for event in recorded()] == [{"department": "Sales", "cost_center": "4711"}] * 3


def test_a_closed_account_sends_no_old_personal_value(organization, listen, recorded):
    class Members(UserSource):
        fields = {"created_at": "date_joined"}
        rules = (Filled("closed_at", "user.closed"),)
        custom = {"costs": "cost_center", "unit": Custom("department.name", privacy="basic")}

    listen(Members, User)
    user = UserFactory(
        organization=organization,
        cost_center="4711",
        department=DepartmentFactory(organization=organization, name="Sales"),
    )
    prune_events()
    user.close()

    closed = [event for event in recorded() if event["type"] == "user.closed"]
    assert [event["previous"]["custom"].keys() for event in closed] == [
        {"department", "cost_center"},
        {"unit"},
    ]


# Other kinds of values


def size_of(seats):
    return "large" if seats > 20 else "small"


class Workshops(WorkshopSource):
    custom = {
        "banner": Custom("headline", kind="string", privacy="basic"),
        "facts": Custom("facts", kind="json", privacy="basic"),
        "size": Custom(Computed(size_of, reads={"seats": "seats"}), kind="string", privacy="basic"),
        "seats_offered": Custom("seats", privacy="basic"),
        "host": Custom("organization.name", privacy="basic"),
    }
    rules = (*WorkshopSource.rules, FieldChanged("custom.seats_offered", "workshop.recommended"))


def test_properties_json_and_derived_values_are_in_the_payload(organization, listen, recorded, monkeypatch):
    monkeypatch.setattr(
        Workshop, "facts", property(lambda workshop: {"Room": "2.04", "Seats": workshop.seats}), raising=False
    )
    listen(Workshops, Workshop)
    workshop = Workshop.objects.create(organization=organization, title="Pairs", seats=10)
    Workshop.objects.filter(pk=workshop.pk).update(seats=30)

    created, changed, recommended = recorded()
    assert created["data"]["custom"] == {
        "banner": "Pairs for 10",
        "facts": {"Room": "2.04", "Seats": 10},
        "size": "small",
        "seats_offered": 10,
        "host": organization.name,
    }
    assert changed["changed"] == ["seats", "custom.size", "custom.seats_offered"]
    assert changed["previous"] == {"seats": 10, "custom": {"size": "small", "seats_offered": 10}}
    assert recommended["type"] == "workshop.recommended"


def test_a_many_to_many_list_is_compared(organization, recorded):
    class Talks(TalkSource):
        fields = {"prize_ids": None}
        custom = {"awards": Custom("prizes", privacy="id")}

    with ExitStack() as stack:
        for event_type in TALK_EVENTS:
            stack.enter_context(temporary_type(event_type))
        stack.enter_context(listening(Talks, Talk))
        talk = Talk.objects.create(organization=organization, title="Opening")
        talk.prizes.add(Plaque.objects.create(code="best", title="Best talk"))
        talk.prizes.clear()

        added, removed = recorded()
    assert (added["changed"], added["data"]["custom"]["awards"]) == (["custom.awards"], ["best"])
    assert (removed["previous"], removed["data"]["custom"]["awards"]) == ({"custom": {"awards": ["best"]}}, [])


def test_one_key_may_have_several_values_behind_it(organization, sales, support, listen, recorded):
    class Members(UserSource):
        fields = {"created_at": "date_joined"}
        rules = (AnyChange("user.updated"),)
        custom = {
            "unit_key": Custom("department", privacy="id"),
            "unit_name": Custom("department.name", privacy="basic"),
            "unit_organization": Custom("department.organization.name", privacy="basic"),
        }

    user = UserFactory(organization=organization, department=sales)
    prune_events()
    listen(Members, User)
    User.objects.filter(pk=user.pk).update(department=support)

    (event,) = [event for event in recorded() if "custom.unit_key" in event["changed"]]
    assert event["changed"] == ["custom.unit_key", "custom.unit_name"]
    assert event["previous"] == {"custom": {"unit_key": sales.pk, "unit_name": "Sales"}}
    assert event["data"]["custom"]["unit_organization"] == organization.name


class Wrong(WorkshopSource):
    custom = {
        "failing": Custom("failing", kind="string", privacy="basic"),
        "broken": Custom("broken", kind="string", privacy="basic"),
        "banner": Custom("headline", kind="string", privacy="basic"),
        "number": Custom("title", kind="integer", privacy="basic"),
        "seats_offered": Custom("seats", privacy="basic"),
    }


def test_a_value_that_cannot_be_sent_is_null_and_loses_no_event(organization, listen, lenient, recorded, caplog):
    listen(Wrong, Workshop)
    workshop = Workshop.objects.create(organization=organization, title="Pairs", seats=10)
    Workshop.objects.filter(pk=workshop.pk).update(title="Threes")

    created, changed = recorded()
    assert created["data"]["custom"] == {
        "failing": None,
        "broken": None,
        "banner": "Pairs for 10",
        "number": None,
        "seats_offered": 10,
    }
    assert (changed["changed"], changed["previous"]) == (
        ["title", "custom.number"],
        {"title": "Pairs", "custom": {"number": None}},
    )
    assert "A field is sent as null: custom.number: a str can't be sent as integer" in caplog.text
    assert "Pairs is broken" not in " ".join(record.getMessage() for record in caplog.records)


def test_in_tests_it_is_an_error(organization, listen):
    listen(Wrong, Workshop)
    with pytest.raises(PayloadError, match=r"custom.failing: testapp.Workshop.failing raised \w+Error"):
        Workshop.objects.create(organization=organization, title="Pairs", seats=10)


def test_a_json_value_is_replaced_as_a_whole_where_two_updates_are_one_event(organization, recorded, monkeypatch):
    class Talks(TalkSource):
        rules = (AnyOtherChange("talk.updated"),)
        custom = {"facts": Custom("facts", kind="json", privacy="basic")}

    monkeypatch.setattr(Talk, "facts", property(lambda talk: {talk.title: 1}), raising=False)
    with temporary_type(EventType("talk.updated", TALK, "A talk changed.")), listening(Talks, Talk):
        talk = Talk.objects.create(organization=organization, title="Opening")
        with transaction.atomic():
            for talk.title in ("Welcome", "Keynote"):
                talk.save()

        (event,) = recorded()
    assert (event["data"]["custom"]["facts"], event["previous"]) == ({"Keynote": 1}, {"title": "Opening"})
