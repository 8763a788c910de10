"""Only some accounts are users of the training system, and each change of one of these is one event, by whichever model."""

from __future__ import annotations

import pytest
from django.db import connections

from tests.hosts.people.models import Account, Learner, Person, Study, Team
from tests.hosts.routes import CHANGES, CREATIONS, DELETIONS
from tests.outbox import prune_events
from tms_webhooks.checks.sources import check_sources
from tms_webhooks.sources import registry

CHILD_CREATIONS = {name: create for name, create in CREATIONS.items() if name != "bulk_create"}


@pytest.fixture
def learner(tenant):
    learner = Learner.objects.create(tenant=tenant, name="Alice")
    prune_events()
    return learner


@pytest.fixture
def account(tenant):
    return Account.objects.create(tenant=tenant, name="Bob")


# Learners: rows that extend those of a model that is not registered


def test_no_check_reports_the_parent_that_is_captured():
    assert "tms_webhooks.W058" not in {message.id for message in check_sources()}
    assert Account not in {one.model for one in registry.all_sources()}


@pytest.mark.parametrize("create", CHILD_CREATIONS.values(), ids=CHILD_CREATIONS)
def test_a_new_learner_is_one_event(create, tenant, recorded):
    create(Learner, tenant=tenant, name="Alice", city="Bergen")

    (event,) = recorded()
    assert (event["type"], event["data"]["user_name"], event["data"]["city"]) == ("user.created", "Alice", "Bergen")


@pytest.mark.parametrize("create", CREATIONS.values(), ids=CREATIONS)
def test_a_new_account_is_no_event(create, tenant, recorded):
    create(Account, tenant=tenant, name="Bob")

    assert recorded() == []


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_a_learners_own_column_is_one_event(change, learner, recorded):
    change(learner, city="Bergen")

    (event,) = recorded()
    assert (event["type"], event["changed"], event["previous"]) == ("user.updated", ["city"], {"city": "Oslo"})


@pytest.mark.parametrize("by", ["child", "parent"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_a_learners_account_is_one_event_with_the_learners_values(change, by, learner, recorded):
    change(learner if by == "child" else learner.account_ptr, name="Carol")

    (event,) = recorded()
    assert (event["type"], event["changed"], event["previous"]) == (
        "user.updated",
        ["user_name"],
        {"user_name": "Alice"},
    )
    assert (event["data"]["id"], event["data"]["city"]) == (str(learner.pk), "Oslo")


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_an_account_that_is_no_learner_is_no_event(change, account, learner, recorded):
    change(account, name="Carol")

    assert recorded() == []


def test_an_upsert_of_accounts_is_an_event_for_the_learner(tenant, learner, recorded):
    Account.objects.bulk_create(
        [Account(pk=learner.pk, tenant=tenant, name="Carol"), Account(tenant=tenant, name="New")],
        update_conflicts=True,
        unique_fields=[] if connections["training"].vendor == "mysql" else ["id"],
        update_fields=["name"],
    )

    (event,) = recorded()
    assert (event["type"], event["previous"]) == ("user.updated", {"user_name": "Alice"})


@pytest.mark.parametrize("by", ["child", "parent"])
def test_a_list_of_the_account_is_captured_by_both_models(by, learner, account, recorded):
    team = Team.objects.create(name="Blue")
    key = str(team.pk)

    (learner if by == "child" else learner.account_ptr).teams.add(team)
    account.teams.add(team)
    team.delete()

    added, removed = recorded()
    assert (added["changed"], added["data"]["role_ids"], removed["data"]["role_ids"]) == (
        ["role_ids"],
        [key],
        [],
    )


@pytest.mark.parametrize("by", ["child", "parent"])
@pytest.mark.parametrize("delete", DELETIONS.values(), ids=DELETIONS)
def test_a_deletion_of_a_learner_is_one_event(delete, by, learner, recorded):
    delete(learner if by == "child" else learner.account_ptr)

    (event,) = recorded()
    assert (event["type"], event["data"]["user_name"], event["data"]["city"]) == ("user.deleted", "Alice", "Oslo")


@pytest.mark.parametrize("delete", DELETIONS.values(), ids=DELETIONS)
def test_a_deletion_of_an_account_is_no_event(delete, account, learner, recorded):
    delete(account)

    assert recorded() == []


def test_a_learner_who_remains_as_an_account_is_deleted(learner, recorded):
    learner.delete(keep_parents=True)

    assert [event["type"] for event in recorded()] == ["user.deleted"]
    assert Account.objects.get().name == "Alice"


def test_an_account_that_becomes_a_learner_is_created(account, recorded):
    Learner(account_ptr_id=account.pk).save_base(raw=True)

    (event,) = recorded()
    assert (event["type"], event["data"]["id"], event["previous"]) == ("user.created", str(account.pk), {})


# Students: rows that another row makes objects


@pytest.fixture
def person(tenant):
    return Person.objects.create(tenant=tenant, name="Dan")


@pytest.fixture
def student(person):
    Study.objects.create(person=person)
    prune_events()
    return person


@pytest.mark.parametrize("create", CREATIONS.values(), ids=CREATIONS)
def test_the_row_that_makes_a_student_is_the_first_event(create, person, recorded):
    assert recorded() == []

    create(Study, person=person)

    (event,) = recorded()
    assert (event["type"], event["data"]["user_name"], event["previous"]) == ("user.created", "Dan", {})


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_row_that_makes_a_student_no_more_is_the_last_event(change, student, recorded):
    change(student.study, kind="alumnus")

    assert [event["type"] for event in recorded()] == ["user.deleted"]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_a_student_is_one_event_and_of_another_person_none(change, student, tenant, recorded):
    change(student, name="Eve")
    change(Person.objects.create(tenant=tenant, name="Frank"), name="Grace")

    assert [(event["type"], event["changed"]) for event in recorded()] == [("user.updated", ["user_name"])]


@pytest.mark.parametrize("delete", DELETIONS.values(), ids=DELETIONS)
@pytest.mark.parametrize("which", ["person", "study"])
def test_a_student_is_deleted_with_either_row(delete, which, student, recorded):
    delete(student if which == "person" else student.study)

    (event,) = recorded()
    assert (event["type"], event["data"]["user_name"]) == ("user.deleted", "Dan")


def test_a_study_that_moves_to_another_person_moves_the_student(student, tenant, recorded):
    other = Person.objects.create(tenant=tenant, name="Eve")

    student.study.person = other
    student.study.save()

    assert sorted((event["type"], event["data"]["user_name"]) for event in recorded()) == [
        ("user.created", "Eve"),
        ("user.deleted", "Dan"),
    ]
